"""Tradovate's entities, read strictly; numbers stay exact, and ids are integers.

Source: Tradovate's partner OpenAPI of 2026, and its pages on the entity system and on sockets.
Prices and sizes of an order are in its versions, and what was asked about it in its commands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from brokers.instants import parse_instant
from trading.order import OrdType, Side, TimeInForce
from trading.quantity import ZERO, Px, Qty

ORD_TYPES = {
    OrdType.MARKET: "Market",
    OrdType.LIMIT: "Limit",
    OrdType.STOP: "Stop",
    OrdType.STOP_LIMIT: "StopLimit",
}
TIMES_IN_FORCE = {
    TimeInForce.DAY: "Day",
    TimeInForce.GOOD_TILL_CANCEL: "GTC",
    TimeInForce.IMMEDIATE_OR_CANCEL: "IOC",
    TimeInForce.FILL_OR_KILL: "FOK",
    TimeInForce.GOOD_TILL_DATE: "GTD",
}
ACTIONS = {Side.BUY: "Buy", Side.SELL: "Sell"}
_SIDES = {word: side for side, word in ACTIONS.items()}

REFUSED = frozenset({"ExecutionRejected", "RiskRejected"})
"""What a command's status is when it was refused; all others may have had, or have, an effect."""

FAILURES = frozenset(
    {
        "AccountClosed",
        "AdvancedTrailingStopUnsupported",
        "BackMonthProhibited",
        "ExecutionProviderNotConfigured",
        "ExecutionProviderUnavailable",
        "InvalidContract",
        "InvalidPrice",
        "KeyInformationDocumentRequired",
        "LiquidationOnly",
        "LiquidationOnlyBeforeExpiration",
        "MaxOrderQtyIsNotSpecified",
        "MaxOrderQtyLimitReached",
        "MaxPosLimitMisconfigured",
        "MaxPosLimitReached",
        "MaxTotalPosLimitReached",
        "MultipleAccountPlanRequired",
        "NoQuote",
        "NotEnoughLiquidity",
        "OtherExecutionRelated",
        "ParentRejected",
        "RiskCheckTimeout",
        "SSFNFAComplianceRequired",
        "SSFNFAComplianceRequiredJointOnly",
        "SSFRiskDisclosureAcknowledgmentRequired",
        "SessionClosed",
        "TooLate",
        "TradingLocked",
        "TrailingStopNonOrderQtyModify",
        "Unauthorized",
        "Unsupported",
    }
)
"""Reasons of `failureReason` that are a no. `UnknownReason` is not among them, for it says none."""

PENDING = "AnotherCommandPending"


class Unreadable(ValueError):
    """Tradovate said something that makes no sense to us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TradovateOrder:
    """An order; it keeps its id when it is modified."""

    id: int
    account_id: int
    contract_id: int
    side: Side
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderVersion:
    """Terms of an order, under the id of the command that asked for them."""

    id: int
    order_id: int
    qty: Qty
    px: Px | None
    stop_px: Px | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What was asked about an order: New, Modify or Cancel; `cl_ord_id` is a label of ours."""

    id: int
    order_id: int
    cl_ord_id: str | None
    kind: str
    status: str
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandReport:
    """A change of a command's status, with the reason of a refusal."""

    id: int
    command_id: int
    status: str
    reason: str | None
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionReport:
    """What happened to an order. `name` is the exchange's id of it, which revisions refer to."""

    id: int
    command_id: int
    order_id: int
    account_id: int
    exec_type: str
    name: str
    exec_ref_id: str | None
    cum_qty: Qty | None
    last_qty: Qty | None
    last_px: Px | None
    reason: str | None
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """A fill of an order; it is not active once it was busted."""

    id: int
    order_id: int
    qty: Qty
    px: Px
    is_active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NetPosition:
    """What an account holds of a contract; below zero is short."""

    id: int
    account_id: int
    contract_id: int
    net: Qty


@dataclass(frozen=True, slots=True, kw_only=True)
class TradovateAccount:
    """An account of the user: demo ones have names that begin with DEMO."""

    id: int
    name: str
    is_open: bool


def order_of(given: Mapping[str, Any]) -> TradovateOrder:
    """Read an order. Raises ValueError, KeyError."""
    return TradovateOrder(
        id=integer(given, "id"),
        account_id=integer(given, "accountId"),
        contract_id=integer(given, "contractId"),
        side=_SIDES[text(given, "action")],
        status=text(given, "ordStatus"),
    )


def version_of(given: Mapping[str, Any]) -> OrderVersion:
    """Read an order's terms. Raises ValueError, KeyError.

    The trigger of a Stop may be in either field: Tradovate's pages differ in that.
    """
    px, stop_px = number(given, "price"), number(given, "stopPrice")
    if text(given, "orderType") == ORD_TYPES[OrdType.STOP]:
        px, stop_px = None, px if stop_px is None else stop_px
    return OrderVersion(
        id=integer(given, "id"),
        order_id=integer(given, "orderId"),
        qty=needed(given, "orderQty"),
        px=px,
        stop_px=stop_px,
    )


def command_of(given: Mapping[str, Any]) -> Command:
    """Read a command. Raises ValueError, KeyError."""
    return Command(
        id=integer(given, "id"),
        order_id=integer(given, "orderId"),
        cl_ord_id=given.get("clOrdId") or None,
        kind=text(given, "commandType"),
        status=text(given, "commandStatus"),
        at=instant(given, "timestamp"),
    )


def command_report_of(given: Mapping[str, Any]) -> CommandReport:
    """Read a change of a command's status. Raises ValueError, KeyError."""
    return CommandReport(
        id=integer(given, "id"),
        command_id=integer(given, "commandId"),
        status=text(given, "commandStatus"),
        reason=_reason(given),
        at=instant(given, "timestamp"),
    )


def execution_of(given: Mapping[str, Any]) -> ExecutionReport:
    """Read an execution report. Raises ValueError, KeyError."""
    return ExecutionReport(
        id=integer(given, "id"),
        command_id=integer(given, "commandId"),
        order_id=integer(given, "orderId"),
        account_id=integer(given, "accountId"),
        exec_type=text(given, "execType"),
        name=text(given, "name"),
        exec_ref_id=given.get("execRefId") or None,
        cum_qty=number(given, "cumQty"),
        last_qty=number(given, "lastQty"),
        last_px=number(given, "lastPx"),
        reason=_reason(given),
        at=instant(given, "timestamp"),
    )


def fill_of(given: Mapping[str, Any]) -> Fill:
    """Read a fill. Raises ValueError, KeyError."""
    return Fill(
        id=integer(given, "id"),
        order_id=integer(given, "orderId"),
        qty=needed(given, "qty"),
        px=needed(given, "price"),
        is_active=bool(given["active"]),
    )


def position_of(given: Mapping[str, Any]) -> NetPosition:
    """Read a position. Raises ValueError, KeyError."""
    return NetPosition(
        id=integer(given, "id"),
        account_id=integer(given, "accountId"),
        contract_id=integer(given, "contractId"),
        net=needed(given, "netPos"),
    )


def account_of(given: Mapping[str, Any]) -> TradovateAccount:
    """Read an account. Raises ValueError, KeyError."""
    return TradovateAccount(
        id=integer(given, "id"),
        name=text(given, "name"),
        is_open=given.get("active") is True and given.get("readonly") is not True,
    )


def readable[T](read: Callable[[Mapping[str, Any]], T], given: object) -> T:
    """Read an entity. Raises Unreadable, which shows it."""
    try:
        return read(document(given))
    except (KeyError, ValueError, ArithmeticError) as error:
        raise Unreadable(f"{read.__name__}: {error!r}, in {given!r:.300}") from error


# --- cursors ---


def cursor_at(at: int) -> str:
    """Write a cursor: an instant in UTC nanoseconds, for Tradovate numbers no events."""
    return f"at:{at}"


def cursor_time(cursor: str) -> int:
    """Return when a cursor is from, in UTC nanoseconds. Raises Unreadable."""
    kind, _, at = cursor.rpartition(":")
    if kind != "at" or not at.isdecimal():
        raise Unreadable(f"{cursor} is not a cursor of Tradovate's stream")
    return int(at)


# --- fields ---


def document(given: object) -> Mapping[str, Any]:
    """Return an object. Raises ValueError for anything else."""
    if not isinstance(given, dict):
        raise ValueError("no object")  # noqa: TRY004 - callers wait for what is unreadable
    return given


def text(given: Mapping[str, Any], name: str) -> str:
    """Return a text that must be there. Raises ValueError, KeyError."""
    value = given[name]
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} is {value!r}")
    return value


def integer(given: Mapping[str, Any], name: str) -> int:
    """Return an integer that must be there. Raises ValueError, KeyError."""
    value = given[name]
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name} is {value!r}")  # noqa: TRY004 - callers wait for ValueError
    return value


def number(given: Mapping[str, Any], name: str) -> Decimal | None:
    """Return a finite number, or None where there is none. Raises ValueError."""
    value = given.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError(f"{name} is {value!r}")  # noqa: TRY004 - callers wait for ValueError
    found = Decimal(value)
    if not found.is_finite():
        raise ValueError(f"{name} is {value!r}")
    return found + ZERO


def needed(given: Mapping[str, Any], name: str) -> Decimal:
    """Return a number that must be there. Raises ValueError."""
    if (value := number(given, name)) is None:
        raise ValueError(f"{name} is missing")
    return value


def instant(given: Mapping[str, Any], name: str) -> int:
    """Return an instant in UTC nanoseconds. Raises ValueError, KeyError."""
    return parse_instant(text(given, name))


def _reason(given: Mapping[str, Any]) -> str | None:
    told = [str(given[name]) for name in ("rejectReason", "text") if given.get(name)]
    return ": ".join(told) or None
