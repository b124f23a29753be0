"""From a token to a principal."""

from pathlib import Path
from typing import Any

import pytest

import security.authentication
from security.authentication import KEPT_DOWN_S, KEPT_S, Authentication
from security.credentials import TOKEN_MAX, Credentials
from security.development import DevelopmentIssuer, open_issuer
from security.roles import ROLE_PERMISSIONS, Role, permitted
from security.verifier import LEEWAY_S
from tests.security.fakes import FakeClock, FakeIds, FakeUser, FakeUsers, authentication
from trading.ids import AccountID, UserID
from trading.outcome import Unauthenticated
from trading.permission import Entitlement, Permission
from trading.ports import Environment
from trading.store import StoreUnavailable


@pytest.fixture
def issuer(tmp_path: Path) -> DevelopmentIssuer:
    return open_issuer(
        tmp_path,
        environment=Environment.SIM,
        host="localhost",
        clock=FakeClock(),
        ids=FakeIds(),
    )


def by(issuer: DevelopmentIssuer, *users: FakeUser) -> Authentication:
    return authentication(issuer, FakeUsers(*users), FakeClock())


def bearer(issuer: DevelopmentIssuer, *scopes: Permission) -> str:
    return f"Bearer {issuer.mint(UserID('u1'), scopes or tuple(Permission))}"


async def test_a_bearer_is_the_user_of_its_token(issuer: DevelopmentIssuer) -> None:
    principal = await by(issuer, FakeUser()).of(Credentials(authorization=bearer(issuer)))

    assert principal.user_id == "u1"
    assert principal.role == "trader"
    assert principal.permissions == ROLE_PERMISSIONS[Role.TRADER]
    assert principal.accounts == {AccountID("a1"): Entitlement.TRADE}
    assert principal.expires_at > FakeClock().now()


async def test_scopes_narrow_and_never_widen(issuer: DevelopmentIssuer) -> None:
    authorization = bearer(issuer, Permission.ORDERS_READ, Permission.TRADING_STATE_WRITE)

    principal = await by(issuer, FakeUser(role="trader")).of(
        Credentials(authorization=authorization)
    )

    assert principal.permissions == {Permission.ORDERS_READ}


async def test_the_scheme_is_of_any_case(issuer: DevelopmentIssuer) -> None:
    authorization = bearer(issuer).replace("Bearer", "bearer")

    assert (
        await by(issuer, FakeUser()).of(Credentials(authorization=authorization))
    ).user_id == "u1"


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic YTpi", "token"])
async def test_no_bearer_is_told_what_to_send(issuer: DevelopmentIssuer, header: Any) -> None:
    with pytest.raises(Unauthenticated, match="send `authorization: Bearer <token>`"):
        await by(issuer, FakeUser()).of(Credentials(authorization=header))


async def test_a_token_that_is_too_long_is_not_looked_at(issuer: DevelopmentIssuer) -> None:
    credentials = Credentials(authorization=f"Bearer {'a' * (TOKEN_MAX + 1)}")

    with pytest.raises(Unauthenticated, match=f"more than {TOKEN_MAX} characters"):
        await by(issuer, FakeUser()).of(credentials)


@pytest.mark.parametrize(
    ("users", "words"),
    [([], "its user is not known"), ([FakeUser(role="emperor")], "its user has no role")],
)
async def test_the_store_has_the_last_word(
    issuer: DevelopmentIssuer, users: list[FakeUser], words: str
) -> None:
    with pytest.raises(Unauthenticated, match=words):
        await by(issuer, *users).of(Credentials(authorization=bearer(issuer)))


# --- what is remembered ---------------------------------------------------------------------------


class Door:
    """Authentication whose clock and users a test can change."""

    def __init__(self, directory: Path) -> None:
        self.clock, self.users = FakeClock(), FakeUsers(FakeUser())
        self.issuer = open_issuer(
            directory,
            environment=Environment.SIM,
            host="localhost",
            clock=self.clock,
            ids=FakeIds(),
        )
        self.authentication = authentication(self.issuer, self.users, self.clock)

    def pass_s(self, seconds: int) -> None:
        self.clock.at += seconds * 10**9

    async def role_of(self, authorization: str) -> str:
        return (await self.authentication.of(Credentials(authorization=authorization))).role


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(tmp_path)


async def test_a_change_of_rights_is_felt_within_two_seconds(door: Door) -> None:
    token = bearer(door.issuer)
    assert await door.role_of(token) == Role.TRADER
    door.users.known = {UserID("u1"): FakeUser(role="viewer")}

    door.pass_s(KEPT_S - 1)
    assert await door.role_of(token) == Role.TRADER
    door.pass_s(1)
    assert await door.role_of(token) == Role.VIEWER


async def test_to_be_known_again_does_not_prolong_it(door: Door) -> None:
    token = bearer(door.issuer)
    for _ in range(KEPT_S):
        await door.role_of(token)
        door.pass_s(1)
    door.users.known = {}

    with pytest.raises(Unauthenticated, match="its user is not known"):
        await door.role_of(token)


async def test_a_token_that_ends_is_not_known_again(door: Door) -> None:
    token = f"Bearer {door.issuer.mint(UserID('u1'), tuple(Permission), lifetime_s=1 - LEEWAY_S)}"
    await door.role_of(token)

    door.pass_s(1)
    with pytest.raises(Unauthenticated, match="expired"):
        await door.role_of(token)


async def test_who_was_let_in_is_known_while_the_store_is_down(door: Door) -> None:
    token = bearer(door.issuer)
    await door.role_of(token)
    door.users.is_down = True

    door.pass_s(KEPT_DOWN_S - 1)
    assert await door.role_of(token) == Role.TRADER
    door.pass_s(1)
    with pytest.raises(StoreUnavailable):
        await door.role_of(token)


async def test_who_was_never_let_in_is_not_known_while_the_store_is_down(door: Door) -> None:
    door.users.is_down = True

    with pytest.raises(StoreUnavailable):
        await door.role_of(bearer(door.issuer))


async def test_a_refusal_is_not_remembered(door: Door) -> None:
    token, known = bearer(door.issuer), door.users.known
    door.users.known = {}
    with pytest.raises(Unauthenticated):
        await door.role_of(token)

    door.users.known = known
    assert await door.role_of(token) == Role.TRADER


async def test_each_token_has_its_own_scopes(door: Door) -> None:
    all_of_them, one = bearer(door.issuer), bearer(door.issuer, Permission.ORDERS_READ)
    await door.authentication.of(Credentials(authorization=all_of_them))

    principal = await door.authentication.of(Credentials(authorization=one))

    assert principal.permissions == {Permission.ORDERS_READ}


async def test_no_more_than_so_many_are_remembered(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(security.authentication, "KEPT_MAX", 2)
    tokens = [bearer(door.issuer) for _ in range(3)]
    for token in tokens:
        await door.role_of(token)
    door.users.known = {}

    assert await door.role_of(tokens[2]) == Role.TRADER
    with pytest.raises(Unauthenticated):
        await door.role_of(tokens[0])


# --- roles ---------------------------------------------------------------------------------------


def test_every_role_has_its_permissions() -> None:
    assert set(ROLE_PERMISSIONS) == set(Role)


@pytest.mark.parametrize("role", Role)
def test_who_sets_trading_states_places_no_orders(role: Role) -> None:
    both = {Permission.ORDERS_WRITE, Permission.TRADING_STATE_WRITE}

    assert not both <= ROLE_PERMISSIONS[role]


@pytest.mark.parametrize("role", [Role.VIEWER, Role.AUDITOR])
def test_who_only_reads_writes_nothing(role: Role) -> None:
    assert not any(each.endswith(":write") for each in ROLE_PERMISSIONS[role])


def test_two_roles_can_agree_to_loosen() -> None:
    able = [r for r in Role if Permission.TRADING_STATE_WRITE in ROLE_PERMISSIONS[r]]

    assert able == [Role.RISK_OFFICER, Role.OPERATOR]


def test_no_scope_permits_nothing() -> None:
    assert permitted(Role.TRADER, frozenset()) == frozenset()
