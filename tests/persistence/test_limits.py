"""Limits are changed by one person where that tightens, by two where it loosens."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from persistence.account import Tenant
from persistence.limits import KnownLimits, built, record
from persistence.store import SqlStore
from tests.persistence import servers
from tests.persistence.changes import A, B, load, statements
from tests.persistence.jobs import execute, run
from tests.persistence.samples import AAPL, TENANT, StoppedClock, account, limit
from tests.persistence.samples import limits as limits_of
from tests.trading.fakes import Sequential
from trading.books import Wants
from trading.ids import InstrumentID, TenantID, UserID
from trading.limitdesk import LIMITS_MAX, REQUEST_LIFE_NS, LimitDesk
from trading.limitrequest import LimitRequest, LimitRequestState, LimitVersion
from trading.limits import Limit, LimitName, Limits, LimitScope
from trading.outcome import (
    Forbidden,
    InvalidInput,
    LimitApprovalRequired,
    LimitsSet,
    NotFound,
)
from trading.permission import Entitlement, Permission, Principal

QTY = LimitName.MAX_ORDER_QTY
OF_A = LimitScope(account_id=A)


def officer(name: str = "officer", tenant_id: TenantID = TENANT) -> Principal:
    return Principal(
        user_id=UserID(name),
        name=name,
        tenant_id=tenant_id,
        role="risk_officer",
        permissions=frozenset({Permission.LIMITS_READ, Permission.LIMITS_WRITE}),
        accounts={A: Entitlement.READ, B: Entitlement.READ},
        expires_at=1 << 62,
    )


OFFICER, SECOND = officer(), officer("second")


@pytest.fixture
def desk(store: SqlStore, clock: StoppedClock) -> LimitDesk:
    return desk_of(store, clock)


def desk_of(store: SqlStore, clock: StoppedClock, **options: Any) -> LimitDesk:
    ids = Sequential()
    return LimitDesk(store=store.limits, catalogue=store.catalogue, clock=clock, ids=ids, **options)


def on_a(value: int | None, **fields: Any) -> Limit:
    return replace(
        limit(scope=OF_A), value=None if value is None else limit(value=value).value, **fields
    )


async def in_force(store: SqlStore, at: int = 0) -> Any:
    """Read what a transaction that locks now judges account `a` by."""
    books = await load(store)
    return books.limits[A].get(QTY, AAPL, at=at)


async def asked(desk: LimitDesk, *wanted: Limit) -> LimitRequest:
    answer = await desk.set_limits(OFFICER, wanted)
    assert isinstance(answer, LimitApprovalRequired)
    return answer.request


async def test_one_person_tightens_at_once(desk: LimitDesk, store: SqlStore) -> None:
    answer = await desk.set_limits(OFFICER, [on_a(3)])

    assert isinstance(answer, LimitsSet)
    assert (answer.version, list(answer.limits)) == (2, [on_a(3, version=2)])
    assert await in_force(store) == 3
    assert (await load(store)).limits[A].version == 2


async def test_loosening_takes_a_second_person(desk: LimitDesk, store: SqlStore) -> None:
    request = await asked(desk, on_a(9))
    assert await in_force(store) == 5
    with pytest.raises(Forbidden, match="another person"):
        await desk.approve(OFFICER, request.id)
    assert await in_force(store) == 5
    approved = await desk.approve(SECOND, request.id)

    assert approved.version == 2
    assert await in_force(store) == 9
    [newest, _] = await desk.versions(OFFICER, 9, None)
    assert (newest.requested_by, newest.approved_by) == ("officer", "second")
    assert [each.value for each in newest.limits] == [9]


async def test_an_approval_is_good_once(desk: LimitDesk, store: SqlStore) -> None:
    request = await asked(desk, on_a(9))
    await desk.approve(SECOND, request.id)
    await desk.set_limits(OFFICER, [on_a(2)])

    with pytest.raises(NotFound, match="ask anew"):
        await desk.approve(SECOND, request.id)
    assert await in_force(store) == 2


async def test_an_approval_does_not_undo_a_newer_word(desk: LimitDesk, store: SqlStore) -> None:
    request = await asked(desk, on_a(9))
    await desk.set_limits(SECOND, [on_a(4)])

    with pytest.raises(NotFound, match="set since"):
        await desk.approve(SECOND, request.id)
    assert await in_force(store) == 4


async def test_a_request_does_not_wait_for_ever(desk: LimitDesk, clock: StoppedClock) -> None:
    request = await asked(desk, on_a(9))
    clock.time += REQUEST_LIFE_NS

    with pytest.raises(NotFound):
        await desk.approve(SECOND, request.id)


async def test_a_request_is_denied_by_others_and_withdrawn_by_oneself(desk: LimitDesk) -> None:
    first, second = await asked(desk, on_a(9)), await asked(desk, on_a(8))
    with pytest.raises(Forbidden, match="withdraw"):
        await desk.deny(OFFICER, first.id, "no")
    with pytest.raises(Forbidden, match="deny"):
        await desk.withdraw(SECOND, second.id)
    denied = await desk.deny(SECOND, first.id, "too much")
    withdrawn = await desk.withdraw(OFFICER, second.id)

    assert isinstance(denied, LimitRequest)
    assert (denied.state, denied.decision_reason) == (LimitRequestState.DENIED, "too much")
    assert (withdrawn.state, withdrawn.decided_by) == (LimitRequestState.WITHDRAWN, "officer")
    for each in (first, second):
        with pytest.raises(NotFound):
            await desk.approve(SECOND, each.id)
    listed = {each.id: each.state for each in await desk.requests(OFFICER, 9)}
    assert listed == {first.id: denied.state, second.id: withdrawn.state}


async def test_what_would_loosen_holds_back_what_is_asked_with_it(
    desk: LimitDesk, store: SqlStore
) -> None:
    request = await asked(desk, on_a(4), on_a(1, scope=LimitScope(), name=LimitName.PRICE_COLLAR))
    assert await in_force(store) == 5

    assert (await desk.approve(SECOND, request.id)).version == 2
    assert await in_force(store) == 4


async def test_setting_what_is_set_changes_nothing(desk: LimitDesk) -> None:
    await desk.set_limits(OFFICER, [on_a(3)])
    again = await desk.set_limits(SECOND, [on_a(3, reason="again")])

    assert again == LimitsSet(2, ())


async def test_a_loosening_begins_and_ends_by_the_clock(
    desk: LimitDesk, store: SqlStore, clock: StoppedClock
) -> None:
    request = await asked(desk, on_a(9, effective_at=10, expires_at=20))
    clock.time = 5
    await desk.approve(SECOND, request.id)

    assert [await in_force(store, at) for at in (5, 10, 19, 20)] == [5, 9, 9, 5]


async def test_one_approved_late_begins_at_once_and_one_too_late_not_at_all(
    desk: LimitDesk, clock: StoppedClock
) -> None:
    late = await asked(desk, on_a(9, effective_at=10, expires_at=20))
    too_late = await asked(desk, on_a(9, scope=LimitScope(account_id=B), expires_at=12))
    clock.time = 15
    approved = await desk.approve(SECOND, late.id)

    assert [each.effective_at for each in approved.limits] == [None]
    with pytest.raises(NotFound, match="expired by now"):
        await desk.approve(SECOND, too_late.id)


def strategy(name: str) -> LimitScope:
    return LimitScope(tenant_id=TENANT, strategy_id=name)


@pytest.mark.parametrize(
    ("wrong", "path", "code"),
    [
        (on_a(-1), "value", "NEGATIVE"),
        (on_a(1, reason=" "), "reason", "REQUIRED"),
        (on_a(1, owner="o" * 65), "owner", "TOO_LONG"),
        (on_a(1, owner="\0"), "owner", "MALFORMED"),
        (on_a(1, effective_at=0), "effectiveAt", "PAST"),
        (on_a(1, expires_at=0), "expiresAt", "PAST"),
        (on_a(1, effective_at=5, expires_at=5), "expiresAt", "PAST"),
        (on_a(1, scope=LimitScope(account_id=A, tenant_id=TENANT)), "scope", "SCOPE"),
        (on_a(1, scope=LimitScope(strategy_id="s")), "scope", "SCOPE"),
        (
            on_a(1, scope=LimitScope(tenant_id=TENANT, strategy_id="*")),
            "scope.strategyId",
            "REQUIRED",
        ),
        (
            on_a(1, scope=LimitScope(tenant_id=TENANT, strategy_id="")),
            "scope.strategyId",
            "REQUIRED",
        ),
        (on_a(1, scope=LimitScope(symbol=InstrumentID(""))), "scope.symbol", "UNKNOWN_SYMBOL"),
        (on_a(1, scope=LimitScope(broker="")), "scope.broker", "UNKNOWN"),
        (on_a(1, scope=replace(OF_A, symbol=InstrumentID("AA"))), "scope.symbol", "UNKNOWN_SYMBOL"),
        (on_a(1, scope=LimitScope(broker="nobody")), "scope.broker", "UNKNOWN"),
    ],
)
async def test_bad_input_is_named_and_nothing_is_set(
    desk: LimitDesk, store: SqlStore, wrong: Limit, path: str, code: str
) -> None:
    answer = await desk.set_limits(OFFICER, [on_a(1, name=LimitName.MAX_OPEN_ORDERS), wrong])

    assert isinstance(answer, InvalidInput)
    assert [(".".join(each.path), each.code) for each in answer.errors] == [
        (f"input.limits.1.{path}", code)
    ]
    assert (await store.limits.now()).version == 1


@pytest.mark.parametrize(
    ("wanted", "code"),
    [([], "COUNT"), ([on_a(1)] * (LIMITS_MAX + 1), "COUNT"), ([on_a(1), on_a(2)], "REPEATED")],
)
async def test_how_many_are_set_at_a_time_is_bounded(
    desk: LimitDesk, wanted: list[Limit], code: str
) -> None:
    answer = await desk.set_limits(OFFICER, wanted)

    assert isinstance(answer, InvalidInput)
    assert [each.code for each in answer.errors] == [code]


# --- who may -------------------------------------------------------------------------------------


@pytest.fixture
async def strangers(store: SqlStore) -> TenantID:
    """Add another tenant with an account."""
    other = Tenant(id=TenantID("other"), name="Other")
    await store.accounts.add_tenant(
        other, [account("c", tenant_id=other.id)], limits_of("c", MAX_ORDER_QTY=5), []
    )
    return other.id


@pytest.mark.parametrize(
    "scope", [{"account_id": "c"}, {"account_id": "nobody"}, {"tenant_id": "other"}]
)
@pytest.mark.usefixtures("strangers")
async def test_what_is_anothers_is_not_found(desk: LimitDesk, scope: dict[str, Any]) -> None:
    with pytest.raises(NotFound):
        await desk.set_limits(OFFICER, [on_a(1, scope=LimitScope(**scope))])


@pytest.mark.usefixtures("strangers")
@pytest.mark.parametrize("scope", [{}, {"broker": "fake"}, {"symbol": AAPL}])
async def test_nobody_limits_other_tenants(
    desk: LimitDesk,
    store: SqlStore,
    clock: StoppedClock,
    scope: dict[str, Any],
) -> None:
    broker = {"broker": account("c").broker} if "broker" in scope else {}
    wanted = on_a(1, scope=LimitScope(**scope | broker))
    with pytest.raises(Forbidden, match="other tenants"):
        await desk.set_limits(OFFICER, [wanted])

    local = desk_of(store, clock, is_local=True)
    assert isinstance(await local.set_limits(OFFICER, [wanted]), LimitsSet)
    assert await in_force(store) == 1


@pytest.mark.parametrize("scope", [{}, {"symbol": AAPL}])
async def test_an_only_tenant_limits_all(
    desk: LimitDesk, store: SqlStore, scope: dict[str, Any]
) -> None:
    assert isinstance(
        await desk.set_limits(OFFICER, [on_a(1, scope=LimitScope(**scope))]), LimitsSet
    )
    assert await in_force(store) == 1


async def test_it_takes_the_permission(desk: LimitDesk) -> None:
    nobody = replace(OFFICER, permissions=frozenset())
    request = await asked(desk, on_a(9))
    for attempt in (
        desk.set_limits(nobody, [on_a(1)]),
        desk.approve(replace(SECOND, permissions=frozenset()), request.id),
        desk.deny(replace(SECOND, permissions=frozenset()), request.id, "no"),
        desk.withdraw(nobody, request.id),
    ):
        with pytest.raises(Forbidden, match="limits:write"):
            await attempt


async def test_others_see_neither_limits_nor_changes_nor_requests(
    desk: LimitDesk, strangers: TenantID
) -> None:
    request = await asked(desk, on_a(9))
    await desk.set_limits(OFFICER, [on_a(4)])
    stranger = replace(officer("stranger", strangers), accounts={})

    assert list(await desk.in_force(stranger)) == []
    assert list(await desk.versions(stranger, 9, None)) == []
    assert list(await desk.requests(stranger, 9)) == []
    for who, which in ((stranger, request.id), (OFFICER, "nothing")):
        with pytest.raises(NotFound, match="awaits a decision"):
            await desk.approve(who, which)
    assert [each.value for each in await desk.in_force(OFFICER)] == [4, 5]


async def test_requests_are_their_tenants_alone(
    desk: LimitDesk, store: SqlStore, strangers: TenantID
) -> None:
    request = await asked(desk, on_a(9))

    assert await store.limits.requests(TENANT, 9) == [request]
    assert await store.limits.requests(strangers, 9) == []


async def test_history_is_read_in_pages(desk: LimitDesk) -> None:
    for value in (4, 3, 2):
        await desk.set_limits(OFFICER, [on_a(value)])

    assert [each.version for each in await desk.versions(OFFICER, 2, None)] == [4, 3]
    assert [each.version for each in await desk.versions(OFFICER, 9, 3)] == [2, 1]


# --- what the database itself refuses ------------------------------------------------------------


def version_of(*wanted: Limit, number: int = 2, **fields: Any) -> LimitVersion:
    plain = LimitVersion(
        version=number,
        id=f"id-{number}",
        requested_by=UserID("one"),
        approved_by=None,
        changed_at=1,
        limits=wanted,
    )
    return replace(plain, **fields)


@pytest.mark.parametrize(
    "wrong",
    [
        version_of(approved_by=UserID("one")),
        version_of(number=1),
        version_of(on_a(-1)),
        version_of(on_a(1, reason="")),
        version_of(on_a(1, effective_at=5, expires_at=5)),
    ],
)
async def test_the_database_refuses_what_breaks_a_rule(
    store: SqlStore, wrong: LimitVersion
) -> None:
    with pytest.raises(IntegrityError):
        await store._database.write(record, wrong)


async def test_the_database_refuses_an_approval_of_ones_own(
    desk: LimitDesk, store: SqlStore
) -> None:
    request = await asked(desk, on_a(9))

    with pytest.raises(IntegrityError):
        async with store.limits.transaction() as transaction:
            await transaction.put(
                replace(request, state=LimitRequestState.APPROVED, decided_by=OFFICER.user_id)
            )


# --- versions, across processes ------------------------------------------------------------------


async def test_every_version_can_be_built_anew(desk: LimitDesk, store: SqlStore) -> None:
    seen = {1: await in_force(store)}
    for value in (4, 3, None):
        await desk.set_limits(OFFICER, [on_a(value)])
        await desk.set_limits(OFFICER, [on_a(value or 1, scope=LimitScope(symbol=AAPL))])
    request = await asked(
        desk, on_a(50, scope=LimitScope(symbol=AAPL), effective_at=10, expires_at=20)
    )
    await desk.approve(SECOND, request.id)
    books = await load(store)

    assert seen == {1: 5}
    assert books.limits[A].version == 8
    for number in range(1, 9):
        rebuilt = await store.limits.at_version(number)
        assert rebuilt.version == number
    found = []
    for number in range(1, 9):
        limits = Limits.of(account("a"), await store.limits.at_version(number), store.catalogue)
        found.append([limits.get(QTY, AAPL, at=at) for at in (0, 10)])
    assert found == [[5, 5], [4, 4], [4, 4], [3, 3], [3, 3], [3, 3], [1, 1], [1, 50]]
    assert set(await store.limits.at_version(8)) == set(books.limits[A].known)


async def test_another_process_hears_of_a_change_by_one_look(
    desk: LimitDesk, store: SqlStore
) -> None:
    elsewhere = KnownLimits()
    first = await store._database.read(elsewhere.read)
    with statements() as unchanged:
        assert await store._database.read(elsewhere.read) is first
    await desk.set_limits(OFFICER, [on_a(3)])
    with statements() as changed:
        second = await store._database.read(elsewhere.read)
    anew = await store._database.read(built, 2)

    looks = [[text for text, _ in each if "limit_" in text] for each in (unchanged, changed)]
    assert [len(each) for each in looks] == [1, 2]
    assert (second.version, set(second)) == (2, set(anew))


async def test_a_store_that_was_set_back_is_noticed(desk: LimitDesk, store: SqlStore) -> None:
    await desk.set_limits(OFFICER, [on_a(3)])
    assert await in_force(store) == 3
    await store._database.write(run, "DELETE FROM limit_values WHERE version = 2")
    await store._database.write(run, "DELETE FROM limit_versions WHERE version = 2")
    assert await in_force(store) == 5
    await store._database.write(record, version_of(on_a(4)))
    assert await in_force(store) == 4


async def failing(store: SqlStore) -> None:
    async with store.limits.transaction() as transaction:
        await transaction.lock()
        await transaction.record(version_of(on_a(1)))
        await transaction.lock()
        raise ZeroDivisionError


async def test_a_change_that_fails_is_known_to_nobody(store: SqlStore) -> None:
    with pytest.raises(ZeroDivisionError):
        await failing(store)

    assert await in_force(store) == 5


async def test_changes_come_one_after_the_other(desk: LimitDesk) -> None:
    names = [QTY, LimitName.PRICE_COLLAR, LimitName.MAX_OPEN_ORDERS, LimitName.MAX_ORDER_NOTIONAL]
    everywhere = [replace(on_a(1), name=name, scope=LimitScope(symbol=AAPL)) for name in names]
    await asyncio.gather(*(desk.set_limits(OFFICER, [each]) for each in everywhere))
    requests = await desk.requests(OFFICER, 9)

    # Of the other three nothing was set, and a first limit permits: they await another person.
    assert len(requests) == 3
    answers = await asyncio.gather(*(desk.approve(SECOND, each.id) for each in requests))
    assert sorted(each.version for each in answers) == [3, 4, 5]


async def test_a_name_of_a_later_release_is_left_out(store: SqlStore) -> None:
    await store._database.write(record, version_of(on_a(3)))
    later = "UPDATE limit_values SET name = 'MAX_LATER' WHERE version = 2"
    await store._database.write(run, later)

    assert await in_force(store) == 5


WAITING = (
    "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
    " WHERE NOT granted AND a.datname = current_database()"
)


@pytest.mark.services
@pytest.mark.services
@pytest.mark.parametrize("kind", ["postgresql"])
@pytest.mark.usefixtures("kind")
async def test_an_acknowledgement_waits_for_orders_that_may_rest_on_the_limits_before(
    desk: LimitDesk, store: SqlStore
) -> None:
    async with store.transaction() as transaction:
        await transaction.lock([A])
        books = await transaction.load(Wants(accounts=frozenset({A})))
        change = asyncio.create_task(desk.set_limits(OFFICER, [on_a(1)]))
        await servers.until(lambda: store._database.urgent.read(execute, WAITING))
        # It is committed, and who asks for it again hears no more of it than that it is.
        assert (await store.limits.now()).version == 2
        assert books.limits[A].get(QTY, AAPL, at=0) == 5
        assert not change.done()
    await change

    assert await in_force(store) == 1
