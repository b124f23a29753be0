"""Commands: what clients ask for, and the ledger of what was sent to brokers."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum, unique

from trading.account import TradingState
from trading.control import MassAction
from trading.ids import AccountID, ClOrdID, OrderID, TenantID, UserID, WireID
from trading.order import OrdType, Replacement, Side, TimeInForce
from trading.quantity import Px, Qty, plain
from trading.record import record
from trading.scope import Scope


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceOrder:
    """NewOrderSingle(35=D)."""

    account_id: AccountID
    cl_ord_id: ClOrdID
    symbol: str
    side: Side
    ord_type: OrdType
    order_qty: Qty
    price: Px | None = None
    stop_px: Px | None = None
    time_in_force: TimeInForce = TimeInForce.DAY
    expire_time: int | None = None
    reduce_only: bool = False
    strategy_id: str | None = None
    manual_order_indicator: bool | None = None
    traceparent: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderTarget:
    """The order that a command is about: by any ClOrdID of its chain, or by its OrderID."""

    orig_cl_ord_id: ClOrdID | None = None
    order_id: OrderID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaceOrder:
    """OrderCancelReplaceRequest(35=G). A term of None stays as it is; `order_qty` is the total."""

    account_id: AccountID
    cl_ord_id: ClOrdID
    target: OrderTarget
    order_qty: Qty | None = None
    price: Px | None = None
    stop_px: Px | None = None
    traceparent: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelOrder:
    """OrderCancelRequest(35=F)."""

    account_id: AccountID
    cl_ord_id: ClOrdID
    target: OrderTarget
    traceparent: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelAllOrders:
    """OrderMassCancelRequest(35=q), of one account, or of its orders in one instrument or side."""

    account_id: AccountID
    cl_ord_id: ClOrdID
    symbol: str | None = None
    side: Side | None = None
    traceparent: str | None = field(default=None, compare=False)


type OrderCommand = PlaceOrder | ReplaceOrder | CancelOrder | CancelAllOrders


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTradingState:
    """A change of the trading state of one scope, and what becomes of its orders and positions.

    One account or one tenant may be named as well as given as the scope.
    """

    state: TradingState
    reason: str
    account_id: AccountID | None = None
    tenant_id: TenantID | None = None
    scope: Scope | None = None
    action: MassAction = MassAction.NONE


def body_hash(command: OrderCommand) -> str:
    """Digest a command as parsed, so that `1.50` and `1.5` are the same body: 64 hex digits.

    In which trace it came makes no difference to it.
    """
    body = {"kind": type(command).__name__} | {
        name: _canonical(getattr(command, name))
        for name, each in command.__dataclass_fields__.items()
        if each.compare
    }
    return hashlib.sha256(_IN_ORDER.encode(body).encode()).hexdigest()


_IN_ORDER = json.JSONEncoder(sort_keys=True)


def _canonical(value: object) -> object:
    match value:
        case Decimal():
            return plain(value)
        case OrderTarget():
            return [value.orig_cl_ord_id, value.order_id]
        case _:
            return value


@unique
class CommandKind(StrEnum):
    """What a ledger row asks of the broker."""

    NEW = "NEW"
    REPLACE = "REPLACE"
    CANCEL = "CANCEL"


@unique
class CommandState(StrEnum):
    """How far a command got. QUEUED was certainly not sent, SENT may have been."""

    QUEUED = "QUEUED"
    SENT = "SENT"
    ACKED = "ACKED"
    REJECTED = "REJECTED"
    IN_DOUBT = "IN_DOUBT"
    SUPERSEDED = "SUPERSEDED"
    WITHHELD = "WITHHELD"

    @property
    def is_open(self) -> bool:
        """Whether the broker's answer is still awaited, or the sending."""
        return self in OPEN_STATES

    @property
    def is_in_flight(self) -> bool:
        """Whether the broker may have it and has not answered."""
        return self in {CommandState.SENT, CommandState.IN_DOUBT}


OPEN_STATES = frozenset({CommandState.QUEUED, CommandState.SENT, CommandState.IN_DOUBT})


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One row of the command ledger. `wire_id` never changes between attempts.

    `terms` are those of a REPLACE. `epoch` is the lease under which it was last sent; `evidence`
    says on what a doubt was settled. `traceparent` is of the operation that gave it, where that is
    traced. Instants are UTC nanoseconds.
    """

    wire_id: WireID
    account_id: AccountID
    order_id: OrderID
    cl_ord_id: ClOrdID | None
    orig_cl_ord_id: ClOrdID | None
    kind: CommandKind
    state: CommandState
    created_at: int
    attempt: int = 0
    epoch: int = 0
    sent_at: int | None = None
    terms: Replacement | None = None
    evidence: str | None = None
    user_id: UserID | None = None
    traceparent: str | None = None


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A ClOrdID taken in an account's one namespace, with the first decision on it.

    `reject_seq` is the sequence number of the OrderCancelReject that answered it, if one did.
    """

    account_id: AccountID
    cl_ord_id: ClOrdID
    kind: str
    body_hash: str
    order_id: OrderID | None
    reject_seq: int | None
    claimed_at: int
