"""Limits as versioned data at scopes: what risk measures orders against."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from decimal import Decimal
from enum import StrEnum, unique
from itertools import chain, product
from typing import TYPE_CHECKING

from trading.ids import AccountID, InstrumentID, TenantID
from trading.instrument import Catalogue, SecurityType
from trading.record import record

if TYPE_CHECKING:
    from trading.account import Account


@unique
class LimitName(StrEnum):
    """What can be limited. A limit that is not set refuses.

    Of several that apply the strictest holds: the least, or the most where the name begins `MIN`.
    """

    MAX_ORDER_QTY = "MAX_ORDER_QTY"
    """Largest quantity of one order, in units of the instrument."""

    MAX_ORDER_NOTIONAL = "MAX_ORDER_NOTIONAL"
    """Largest value of one order, in money of the account's currency."""

    MAX_POSITION_QTY = "MAX_POSITION_QTY"
    """Largest position on either side, open orders included, in units of the instrument."""

    MAX_OPEN_ORDERS = "MAX_OPEN_ORDERS"
    """Largest number of open orders of the account."""

    PRICE_COLLAR = "PRICE_COLLAR"
    """Largest distance of a price from the reference, as a fraction of the reference."""

    REFERENCE_MAX_AGE_MS = "REFERENCE_MAX_AGE_MS"
    """Longest time since the reference quote was received, in milliseconds."""

    MIN_BUYING_POWER = "MIN_BUYING_POWER"
    """Buying power that must remain, in money of the account's currency. The most is strictest."""

    INSTRUMENT_PERMITTED = "INSTRUMENT_PERMITTED"
    """Whether an instrument may be traded: 1, or 0 where it is not. The least is strictest."""

    SHORT_SALE_PERMITTED = "SHORT_SALE_PERMITTED"
    """Whether more may be sold than is held: 1, or 0. The least is strictest."""

    SELF_MATCH_PERMITTED = "SELF_MATCH_PERMITTED"
    """Whether orders of one owner may trade with one another: 1, or 0. The least is strictest."""

    PRICE_COLLAR_TICKS = "PRICE_COLLAR_TICKS"
    """Largest distance of a price from the reference, in ticks. The least is strictest."""

    PRICE_COLLAR_OVER_TIME = "PRICE_COLLAR_OVER_TIME"
    """Largest distance of a price from the reference 60 seconds ago, as a fraction of that."""

    MAX_DUPLICATE_ORDERS = "MAX_DUPLICATE_ORDERS"
    """Largest number of orders alike in all terms within a second. The least is strictest."""

    MAX_STRATEGY_ORDERS = "MAX_STRATEGY_ORDERS"
    """Largest number of orders of a strategy without a person's. The least is strictest."""

    MAX_MESSAGE_RATE = "MAX_MESSAGE_RATE"
    """Largest number of messages to the broker in a second, a quarter of them for cancels."""

    MIN_EXCESS_EQUITY = "MIN_EXCESS_EQUITY"
    """Equity that must remain beyond initial margin, in money. The most is strictest."""

    MIN_INTRADAY_EXCESS = "MIN_INTRADAY_EXCESS"
    """Equity that must remain beyond maintenance margin, in money. The most is strictest."""

    MAX_OPEN_NOTIONAL = "MAX_OPEN_NOTIONAL"
    """Largest value of all open orders, in money. The least is strictest."""

    MAX_GROSS_NOTIONAL = "MAX_GROSS_NOTIONAL"
    """Largest value of all positions without netting, in money. The least is strictest."""

    MAX_LEVERAGE = "MAX_LEVERAGE"
    """Largest value of all positions, as a multiple of equity. The least is strictest."""

    MAX_CONCENTRATION = "MAX_CONCENTRATION"
    """Largest value of a position in one instrument, as a multiple of equity."""

    MAX_DAILY_LOSS = "MAX_DAILY_LOSS"
    """Largest loss since the session began, in money; beyond it the account only reduces."""

    MAX_DRAWDOWN = "MAX_DRAWDOWN"
    """Largest loss since the session's highest equity, in money; beyond it the account reduces."""

    MAX_IN_DOUBT_ORDERS = "MAX_IN_DOUBT_ORDERS"
    """Largest number of orders of which nobody knows whether the broker has them."""

    def is_stricter(self, value: Decimal, other: Decimal) -> bool:
        """Tell whether a value of this limit permits less than another."""
        return value > other if self in STRICTEST_IS_MOST else value < other


STRICTEST_IS_MOST = frozenset(name for name in LimitName if name.startswith("MIN_"))
"""The limits of which the greatest value is the strictest: what must remain."""


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class LimitScope:
    """Where a limit holds: for whom, and in what; with nothing said, for all and in everything.

    Whom: a broker's accounts, a tenant, a strategy of a tenant, or an account, and one of these at
    most. What: one security type or one instrument. A limit is a ceiling for each account in its
    scope, and no sum over them.
    """

    broker: str | None = None
    tenant_id: TenantID | None = None
    strategy_id: str | None = None
    account_id: AccountID | None = None
    security_type: SecurityType | None = None
    symbol: InstrumentID | None = None

    def __str__(self) -> str:
        """Write the scope for people: `account=equity symbol=AAPL@XNAS`, or `all`."""
        said = ((each.name.removesuffix("_id"), getattr(self, each.name)) for each in fields(self))
        return " ".join(f"{name}={value}" for name, value in said if value is not None) or "all"

    @property
    def said(self) -> frozenset[str]:
        """The names of the fields that are given, which must be one of SHAPES."""
        return frozenset(each.name for each in fields(self) if getattr(self, each.name) is not None)

    def reaches(self, account_id: AccountID, whose: Whose) -> bool:
        """Tell whether orders of this account may come under it."""
        return (
            self.account_id in {None, account_id}
            and self.tenant_id in {None, whose.tenant_id}
            and self.broker in {None, whose.broker}
        )


@dataclass(frozen=True, slots=True)
class Whose:
    """Whose an account is, and who serves it: neither ever changes."""

    tenant_id: TenantID
    broker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One limit at one scope, as a version has set it; a value of None took it away.

    Instants are UTC nanoseconds. `effective_at` is None where it held from its version on, by no
    clock; after `expires_at` what was set before it holds again. `owner` answers for the limit.
    """

    scope: LimitScope
    name: LimitName
    value: Decimal | None
    owner: str
    reason: str
    effective_at: int | None = None
    expires_at: int | None = None
    version: int = 0

    @property
    def key(self) -> tuple[LimitScope, LimitName]:
        """What a newer limit takes the place of."""
        return self.scope, self.name

    @property
    def stands(self) -> bool:
        """Whether it holds from its version on until another is set."""
        return self.effective_at is None and self.expires_at is None

    @property
    def instants(self) -> Iterator[int]:
        """When it begins and ceases to hold, by the clock."""
        return (each for each in (self.effective_at, self.expires_at) if each is not None)

    def holds(self, at: int) -> bool:
        """Tell whether an instant lies between its beginning and its end."""
        begun = self.effective_at is None or self.effective_at <= at
        return begun and (self.expires_at is None or at < self.expires_at)


type _ByName = Mapping[LimitName, tuple[Limit, ...]]
type InForce = Mapping[LimitName, Limit]
"""The strictest limit of each name, with the scope that it comes from."""

_WHOM = (("account_id",), ("tenant_id", "strategy_id"), ("tenant_id",), ("broker",), ())
_WHAT = ((), ("security_type",), ("symbol",))
SHAPES = frozenset(frozenset(whom + what) for whom, what in product(_WHOM, _WHAT))
"""What a scope may say: one of these sets of its fields, and nothing else."""

_MEMORY = 10_000


@dataclass(frozen=True, slots=True, eq=False)
class LimitSet:
    """All limits of one version. Nothing in it changes; a newer version is another set.

    Of each scope and name the newest word that holds at an instant is in force.
    """

    version: int = 0
    id: str = ""
    """The id of the version, which tells it from another of that number in a store set back."""
    _limits: Mapping[LimitScope, _ByName] = field(default_factory=dict)
    _instants: tuple[int, ...] = ()
    _strategies: frozenset[str | None] = frozenset()
    _memory: dict[tuple[object, ...], InForce] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Limit]:
        """Go through all limits: those that hold, those that do not yet, and those under them."""
        for names in self._limits.values():
            yield from chain.from_iterable(names.values())

    def then(self, version: int, version_id: str, limits: Iterable[Limit]) -> LimitSet:
        """Return the set of a later version, with the limits set since, in their order."""
        changed, instants, strategies = dict(self._limits), set(self._instants), self._strategies
        for limit in limits:
            names = changed.get(limit.scope, {})
            # What stands leaves nothing of what was before: no clock brings that back.
            earlier = () if limit.stands else names.get(limit.name, ())
            changed[limit.scope] = {**names, limit.name: (*earlier, limit)}
            instants.update(limit.instants)
            strategies |= {limit.scope.strategy_id}
        return LimitSet(version, version_id, changed, tuple(sorted(instants)), strategies)

    def newest(self, key: tuple[LimitScope, LimitName]) -> int:
        """Return the version that last said something of a limit that still matters, or 0."""
        scope, name = key
        return max((each.version for each in self._limits.get(scope, {}).get(name, ())), default=0)

    def says(self, limit: Limit, at: int) -> bool:
        """Tell whether a limit would change nothing: the newest word on it is the same already."""
        words = self._limits.get(limit.scope, {}).get(limit.name, ())
        if not words:
            return limit.stands and limit.value is None
        last = words[-1]
        begins = None if last.holds(at) else last.effective_at
        old = (last.value, last.owner, begins, last.expires_at)
        return old == (limit.value, limit.owner, limit.effective_at, limit.expires_at)

    def own(self, scope: LimitScope, name: LimitName, at: int) -> Limit | None:
        """Return the limit that is in force at exactly this scope, or None."""
        words = self._limits.get(scope, {}).get(name, ())
        word = next((each for each in reversed(words) if each.holds(at)), None)
        return None if word is None or word.value is None else word

    def in_force(self, at: int) -> Iterator[Limit]:
        """Return every limit in force, by scope and name."""
        for scope in sorted(self._limits, key=str):
            found = (self.own(scope, name, at) for name in sorted(self._limits[scope]))
            yield from (limit for limit in found if limit is not None)

    def scopes(self, name: LimitName) -> Iterator[LimitScope]:
        """Return the scopes at which something was said of a limit."""
        return (scope for scope, names in self._limits.items() if name in names)

    def is_set(self, place: LimitScope, name: LimitName, at: int) -> bool:
        """Tell whether any limit of a name applies at a place."""
        return any(self.own(scope, name, at) is not None for scope in _around(place))

    def instants(self, after: int) -> Sequence[int]:
        """Return when, after an instant, anything begins or ceases to hold by the clock."""
        return self._instants[bisect_right(self._instants, after) :]

    def strictest(self, place: LimitScope, at: int) -> InForce:
        """Return the strictest limit of each name, of all scopes that a place lies in.

        A place says all that is known of an order: broker, tenant, account, strategy and so on.
        """
        # A strategy that no limit names is like any other such, and clients invent them freely.
        strategy = place.strategy_id if place.strategy_id in self._strategies else None
        since = bisect_right(self._instants, at)
        whom = (place.broker, place.tenant_id, place.account_id, strategy)
        key = (since, whom, place.security_type, place.symbol)
        if (known := self._memory.get(key)) is not None:
            return known
        if len(self._memory) >= _MEMORY:
            self._memory.clear()
        found = self._memory[key] = self._strictest(place, at)
        return found

    def _strictest(self, place: LimitScope, at: int) -> InForce:
        found: dict[LimitName, Limit] = {}
        for scope in _around(place):
            for name in self._limits.get(scope, ()):
                limit = self.own(scope, name, at)
                if limit is not None and is_stricter(limit, found.get(name)):
                    found[name] = limit
        return found


def is_stricter(limit: Limit, other: Limit | None) -> bool:
    """Tell whether one limit permits less than another; what is missing adds nothing to others."""
    if limit.value is None or other is None or other.value is None:
        return limit.value is not None
    return limit.name.is_stricter(limit.value, other.value)


def _around(place: LimitScope) -> Iterator[LimitScope]:
    """Return the scopes that a place lies in, those of its account first."""
    for whom, what in product(_WHOM, _WHAT):
        said = {name: getattr(place, name) for name in whom + what}
        if None not in said.values():
            yield LimitScope(**said)


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of one account, out of one version of all limits."""

    account_id: AccountID
    tenant_id: TenantID
    broker: str
    known: LimitSet
    catalogue: Catalogue
    _found: dict[tuple[InstrumentID | None, str | None, int], InForce] = field(
        default_factory=dict, compare=False, repr=False
    )

    @classmethod
    def of(cls, account: Account, known: LimitSet, catalogue: Catalogue) -> Limits:
        """Take an account's limits out of a version; the catalogue tells security types."""
        return cls(
            account_id=account.id,
            tenant_id=account.tenant_id,
            broker=account.broker,
            known=known,
            catalogue=catalogue,
        )

    @property
    def version(self) -> int:
        """The version, which with the instant of a decision says what was in force."""
        return self.known.version

    def get(
        self,
        name: LimitName,
        symbol: InstrumentID | None = None,
        strategy_id: str | None = None,
        *,
        at: int,
    ) -> Decimal | None:
        """Return the strictest limit over all scopes that apply at an instant, or None."""
        limit = self.in_force(symbol, strategy_id, at=at).get(name)
        return None if limit is None else limit.value

    def in_force(self, symbol: InstrumentID | None, strategy_id: str | None, *, at: int) -> InForce:
        """Return the strictest limit of each name for an instrument and a strategy."""
        # Every control of an order asks, and all ask for the same.
        key = symbol, strategy_id, at
        if (found := self._found.get(key)) is None:
            place = self._place(symbol, strategy_id)
            found = self._found[key] = self.known.strictest(place, at)
        return found

    def _place(self, symbol: InstrumentID | None, strategy_id: str | None) -> LimitScope:
        instrument = None if symbol is None else self.catalogue.get(symbol)
        return LimitScope(
            broker=self.broker,
            tenant_id=self.tenant_id,
            account_id=self.account_id,
            strategy_id=strategy_id,
            security_type=None if instrument is None else instrument.security_type,
            symbol=symbol,
        )

    def applying(self, at: int) -> Iterator[Limit]:
        """Return every limit in force that some order of the account comes under."""
        whose = Whose(self.tenant_id, self.broker)
        known = self.known.in_force(at)
        return (each for each in known if each.scope.reaches(self.account_id, whose))
