"""A clock, ids and users, all in memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from security.authentication import Authentication, Demands, Tokens, Users
from security.dpop import Proofs
from security.rates import Rate
from security.replays import LocalReplays
from security.strangers import Strangers
from trading.ids import AccountID, TenantID, UserID
from trading.permission import Entitlement
from trading.store import StoreUnavailable

NOW = 1_900_000_000 * 10**9


class FakeClock:
    def __init__(self, at: int = NOW) -> None:
        self.at = at

    def now(self) -> int:
        return self.at

    def monotonic(self) -> int:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += int(seconds * 10**9)


class FakeIds:
    def __init__(self) -> None:
        self.made = 0

    def next(self) -> int:
        self.made += 1
        return self.made


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeUser:
    id: UserID = field(default_factory=lambda: UserID("u1"))
    tenant_id: TenantID = field(default_factory=lambda: TenantID("t1"))
    name: str = "Test Trader"
    role: str = "trader"
    accounts: Mapping[AccountID, Entitlement] = field(
        default_factory=lambda: {AccountID("a1"): Entitlement.TRADE}
    )
    revoked_before: int = 0


class FakeUsers:
    def __init__(self, *users: FakeUser) -> None:
        self.known = {user.id: user for user in users}
        self.is_down = False

    async def user(self, user_id: UserID) -> FakeUser | None:
        if self.is_down:
            raise StoreUnavailable("down")
        return self.known.get(user_id)


URL = "https://gateway.example/graphql"


def authentication(
    tokens: Tokens,
    users: Users,
    clock: FakeClock,
    demands: Demands | None = None,
    refused: int = 1_000,
) -> Authentication:
    """Authenticate by these tokens among these users, with proofs kept in memory."""
    proofs = Proofs(url=URL, replays=LocalReplays(clock), clock=clock)
    return Authentication(
        tokens=tokens,
        users=users,
        proofs=proofs,
        strangers=Strangers(Rate(refused), clock),
        clock=clock,
        demands=demands or Demands(),
    )
