"""The seams: what the core asks of the world, so that each part can be exchanged or faked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Protocol, runtime_checkable

from trading.account import Account, Position
from trading.books import Books
from trading.command import Command
from trading.conduct import Conduct
from trading.control import TradingStateChange
from trading.decision import RiskDecision
from trading.execution import BrokerEvent, LinkEvent, Report
from trading.ids import (
    AccountID,
    InstrumentID,
    SecondaryOrderID,
    WireID,
)
from trading.instrument import Instrument, SecurityType
from trading.order import (
    ApprovedOrder,
    ApprovedReplace,
    Order,
    OrdStatus,
    OrdType,
    Side,
    TimeInForce,
)
from trading.quantity import Money, Px, Qty
from trading.quote import Quote


class Clock(Protocol):
    """Time, so that a whole gateway can run on a simulated one."""

    def now(self) -> int:
        """Return the wall clock in UTC nanoseconds: for records, never for order or leases."""

    def monotonic(self) -> int:
        """Return nanoseconds on a clock that never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""


class MarketClock(Protocol):
    """The market's time, which sessions and good-till dates follow: a replay sets its own."""

    def now(self) -> int:
        """Return UTC nanoseconds."""


class IdSource(Protocol):
    """Source of ids that nobody else makes."""

    def next(self) -> int:
        """Return a new 128-bit integer, greater than those made before by this source."""


@unique
class Environment(StrEnum):
    """What a gateway, a token, a store and a credential belong to; they never meet another's."""

    SIM = "sim"
    PAPER = "paper"
    LIVE = "live"


# --- risk ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared[T]:
    """Risk's answer: what is approved, or None, and the decision either way.

    `conduct` is what the account is to be remembered for from here on, and `reduces` why it may
    only reduce from now on, if a limit that latches was passed.
    """

    approved: T | None
    decision: RiskDecision
    conduct: Conduct | None = None
    reduces: str | None = None


@dataclass(frozen=True, slots=True)
class Withheld:
    """Why an approved command may no longer be sent."""

    why: str


class Gate(Protocol):
    """The risk layer, asked under the account's lock."""

    def clear(
        self, order: Order, instrument: Instrument, books: Books, at: int
    ) -> Cleared[ApprovedOrder]:
        """Judge a new order; its `reserve_px` is set on the approved one."""

    def clear_replace(
        self, order: Order, command: Command, instrument: Instrument, books: Books, at: int
    ) -> Cleared[ApprovedReplace]:
        """Judge the terms of a replace against the order as it stands."""

    def readmit(
        self, order: Order, command: Command, books: Books, at: int
    ) -> ApprovedOrder | ApprovedReplace | Withheld:
        """Judge a recorded NEW or REPLACE once more before it is sent: trading state and age."""


# --- brokers -------------------------------------------------------------------------------------


class BrokerError(Exception):
    """A broker did not do what was asked. `may_have_applied` is the one question that matters."""

    may_have_applied = False


class Rejected(BrokerError):
    """The broker refused: final, and nothing took effect."""


class Unauthorized(BrokerError):
    """The broker did not accept our credential; nothing took effect."""


class RateLimited(BrokerError):
    """The broker asks to wait; nothing took effect. `retry_after_s` is in seconds."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        """Say how long to wait."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Unavailable(BrokerError):
    """The request certainly did not leave, or was certainly not applied."""


class InDoubt(BrokerError):
    """Anything else after the first byte left: it may have taken effect."""

    may_have_applied = True


class PermitRefused(Exception):
    """The gate closed between approval and sending: nothing was written."""


class Permit(Protocol):
    """Leave to write the first byte of a NEW or REPLACE."""

    def check(self) -> None:
        """Raise PermitRefused unless the gate is open now.

        No await may come between this and the write of the first byte.
        """


@unique
class ReplaceModel(StrEnum):
    """What a broker's replace does with its order id."""

    SAME_ID = "SAME_ID"
    NEW_ID = "NEW_ID"
    NONE = "NONE"


@unique
class Replay(StrEnum):
    """What a broker's stream can bring again after a break."""

    CURSOR = "CURSOR"
    FILLS = "FILLS"
    NONE = "NONE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a broker can do, as data: consulted by risk and published in GraphQL.

    `dedupes_wire_id` means that it refuses the second use of an id for ever, so that sending again
    is safe; `proves_absence`, that a clean "not found" shows an order was never accepted.
    """

    broker: str
    environment: Environment
    ord_types: frozenset[OrdType]
    times_in_force: frozenset[TimeInForce]
    replace: ReplaceModel
    dedupes_wire_id: bool
    proves_absence: bool
    trade_cancels: bool
    replay: Replay = Replay.CURSOR
    security_types: frozenset[SecurityType] = frozenset(SecurityType)


@dataclass(frozen=True, slots=True)
class Ack:
    """A broker's answer that it has a command. What comes of it is told in the stream."""

    secondary_order_id: SecondaryOrderID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerOrder:
    """An order as the broker shows it, found by a query."""

    wire_id: WireID
    secondary_order_id: SecondaryOrderID
    status: OrdStatus
    order_qty: Qty
    price: Px | None
    stop_px: Px | None
    cum_qty: Qty
    avg_px: Px | None
    symbol: InstrumentID
    side: Side
    last_request_wire_id: WireID | None = None
    """The newest replace or cancel that it has taken, which settles a doubt about that command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerAccount:
    """An account as the broker shows it: its own number for it, and money in `currency`.

    `currency` is of ISO 4217; margins are what is tied up now.
    """

    number: str
    account_id: AccountID
    currency: str
    is_blocked: bool
    cash: Money
    equity: Money
    buying_power: Money
    initial_margin: Money
    maintenance_margin: Money


@dataclass(frozen=True, slots=True)
class Snapshot[T]:
    """A broker's list. One that is not complete is never evidence that something is absent."""

    items: Sequence[T]
    complete: bool


class Broker(Protocol):
    """A broker behind the risk layer: it takes only what the gate has approved.

    Whatever goes wrong with a command is one of the BrokerErrors, and nothing else leaves here.
    """

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""

    async def connect(self, resume_from: str | None) -> None:
        """Open the session, and have `events` go on after the cursor given."""

    async def close(self) -> None:
        """End the session."""

    def events(self) -> AsyncIterator[BrokerEvent | LinkEvent]:
        """Return the one merged stream of claims, in the broker's order, for one consumer.

        A LinkEvent among them says that what came before it may not have been all.
        """

    async def submit(self, approved: ApprovedOrder, permit: Permit) -> Ack:
        """Send a new order. Raises BrokerError, PermitRefused."""

    async def replace(self, approved: ApprovedReplace, permit: Permit) -> Ack:
        """Send a replace. Raises BrokerError, PermitRefused."""

    async def cancel(self, order: Order, wire_id: WireID) -> Ack:
        """Send a cancel, which needs no permit. Raises BrokerError."""

    async def find_order(self, wire_id: WireID) -> BrokerOrder | None:
        """Look an order up by wire id; None only where absence is proven. Raises BrokerError."""

    async def orders(self, accounts: Collection[AccountID]) -> Snapshot[BrokerOrder]:
        """Return the open orders. Raises BrokerError."""

    async def positions(
        self, accounts: Collection[AccountID]
    ) -> Snapshot[tuple[AccountID, InstrumentID, Qty]]:
        """Return the net positions. Raises BrokerError."""


@runtime_checkable
class ShowsAccounts(Protocol):
    """A broker that keeps accounts of its own, with money in them, and shows those of our key."""

    async def accounts(self) -> Snapshot[BrokerAccount]:
        """Return the accounts that the session may trade. Raises BrokerError."""


class MarketData(Protocol):
    """A source of quotes, apart from orders: the latest counts, and it may lag."""

    @property
    def instruments(self) -> Sequence[Instrument]:
        """The instruments it quotes; their definitions travel with it."""

    @property
    def clock(self) -> MarketClock:
        """The market's time."""

    def quotes(self) -> AsyncIterator[Quote]:
        """Return the quotes, each once, in their order. Ends when the source does."""


# --- news ----------------------------------------------------------------------------------------


class Doorbell(Protocol):
    """Told after a commit, so that the relay need not wait for its next look. Best effort."""

    def ring(self, accounts: Collection[AccountID]) -> None:
        """Say that these accounts have new reports. Never blocks, never fails."""

    def ring_states(self, changes: Sequence[TradingStateChange]) -> None:
        """Say that trading states changed. Never blocks, never fails."""

    def ring_session(self, broker: str) -> None:
        """Say that a broker's session, wherever it runs, has QUEUED commands. Never blocks."""


class Quotes(Protocol):
    """The last quote of each symbol, as this process has seen it."""

    def last(self, symbol: InstrumentID) -> Quote | None:
        """Return the newest quote, or None before the first."""

    def want(self, symbols: Collection[InstrumentID]) -> None:
        """Say that reference prices of these symbols are needed in the store, for some minutes."""


FRESH_WAIT_S = 0.5
"""How long an order waits for a reference price that nobody has asked for before."""


class Prices(Protocol):
    """Where reference prices are made ready before a transaction locks."""

    async def fresh(
        self, symbols: Collection[InstrumentID], max_wait_s: float = FRESH_WAIT_S
    ) -> None:
        """Return when the store has a reference of each symbol, or after the wait."""


class Streams(Protocol):
    """Live streams. Each iterator is one subscriber's, and is closed by it.

    Reports come without a gap or a repeat: from the log first, then live. A slow subscriber falls
    back to the log. The others tell the latest state, never a backlog.
    """

    def reports(self, account_id: AccountID, after_seq: int | None) -> AsyncIterator[Report]:
        """Yield reports after a sequence number; None is from now. Raises CursorAhead."""

    def quotes(self, symbols: Collection[InstrumentID]) -> AsyncIterator[Quote]:
        """Yield the latest quote of each symbol whenever it has changed."""

    def positions(self, account_id: AccountID) -> AsyncIterator[Position]:
        """Yield every position, then each one that changes, or whose mark does."""

    def account(self, account_id: AccountID) -> AsyncIterator[Account]:
        """Yield the account, then again whenever it changes, or a mark that its equity rests on."""

    def trading_states(self, accounts: Collection[AccountID]) -> AsyncIterator[TradingStateChange]:
        """Yield changes of the trading state of these accounts, from now."""
