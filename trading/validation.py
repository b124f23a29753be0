"""What can be found wrong with a command by its input alone."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from decimal import Decimal

from trading.account import TradingState
from trading.command import (
    CancelAllOrders,
    OrderCommand,
    OrderTarget,
    PlaceOrder,
    ReplaceOrder,
    SetTradingState,
)
from trading.control import MassAction
from trading.ids import CL_ORD_ID_MAX
from trading.order import OrdType, TimeInForce
from trading.quantity import ZERO
from trading.reject import InputError
from trading.scope import Scope, ScopeKind

_NAME_MAX = 64
_REASON_MAX = 500


def input_errors(command: OrderCommand) -> tuple[InputError, ...]:
    """Return everything that is wrong with a command, with paths in GraphQL's spelling."""
    return tuple(_errors(command))


def state_errors(command: SetTradingState) -> tuple[InputError, ...]:
    """Return what is wrong with a request to change a trading state."""
    why = text_errors("reason", command.reason, "say why the trading state changes")
    return tuple(why) or (*_scope_errors(command.scope), *_action_errors(command))


def _scope_errors(scope: Scope | None) -> Iterator[InputError]:
    if scope is not None and scope.kind is not ScopeKind.ALL:
        yield from _id_errors(f"scope.{scope.kind.lower()}", scope.id)


def _action_errors(command: SetTradingState) -> Iterator[InputError]:
    if command.state is TradingState.ACTIVE and command.action.cancels:
        message = "what is ACTIVE goes on: leave the action out, or set REDUCING or HALTED"
        yield _error("action", "NOT_ALLOWED", message)
    if command.action is not MassAction.FLATTEN:
        return
    if command.state is not TradingState.REDUCING:
        message = "positions are closed under REDUCING, for nothing may leave under HALTED"
        yield _error("action", "NOT_ALLOWED", message)
    if command.scope is not None and command.scope.kind in {ScopeKind.USER, ScopeKind.STRATEGY}:
        message = "a position is an account's: flatten accounts or instruments"
        yield _error("action", "NOT_ALLOWED", message)


def text_errors(field: str, text: str, ask: str, most: int = _REASON_MAX) -> Iterator[InputError]:
    """Return what is wrong with words for people; `ask` says what is missing without them."""
    name = field.rsplit(".", maxsplit=1)[-1]
    if not text.strip():
        yield _error(field, "REQUIRED", ask)
    elif len(text) > most:
        yield _error(field, "TOO_LONG", f"use at most {most} characters")
    elif not all(map(_is_writable, text)):
        message = f"{name} has control characters, or half a surrogate pair: leave them out"
        yield _error(field, "MALFORMED", message)


def _is_writable(character: str) -> bool:
    # No database and no encoding takes a lone surrogate, and PostgreSQL no NUL.
    return character in "\t\n" or unicodedata.category(character) not in {"Cc", "Cs"}


def _errors(command: OrderCommand) -> Iterator[InputError]:
    yield from _id_errors("clOrdId", command.cl_ord_id)
    match command:
        case PlaceOrder():
            yield from _place_errors(command)
        case ReplaceOrder():
            yield from _target_errors(command.target)
            yield from _replace_errors(command)
        case CancelAllOrders():
            if command.symbol is not None:
                yield from _id_errors("symbol", command.symbol)
        case _:
            yield from _target_errors(command.target)


def _place_errors(command: PlaceOrder) -> Iterator[InputError]:
    yield from _id_errors("symbol", command.symbol)
    yield from _positive("orderQty", command.order_qty)
    yield from _price_errors(
        "price", command.ord_type, command.price, needed=command.ord_type.has_price
    )
    yield from _price_errors(
        "stopPx", command.ord_type, command.stop_px, needed=command.ord_type.has_stop_px
    )
    dated = command.time_in_force is TimeInForce.GOOD_TILL_DATE
    if dated and command.expire_time is None:
        yield _error("expireTime", "REQUIRED", "a GOOD_TILL_DATE order needs an expireTime")
    if not dated and command.expire_time is not None:
        message = f"only a GOOD_TILL_DATE order has an expireTime, not {command.time_in_force}"
        yield _error("expireTime", "NOT_ALLOWED", message)
    if command.strategy_id is not None:
        yield from _id_errors("strategyId", command.strategy_id)


def _price_errors(
    field: str, ord_type: OrdType, value: Decimal | None, *, needed: bool
) -> Iterator[InputError]:
    if needed and value is None:
        yield _error(field, "REQUIRED", f"a {ord_type} order needs a {field}")
    if not needed and value is not None:
        yield _error(field, "NOT_ALLOWED", f"a {ord_type} order has no {field}: leave it out")


def _replace_errors(command: ReplaceOrder) -> Iterator[InputError]:
    if command.order_qty is not None:
        yield from _positive("orderQty", command.order_qty)
    if command.order_qty is None and command.price is None and command.stop_px is None:
        yield _error("orderQty", "REQUIRED", "say at least one of orderQty, price and stopPx")


def _target_errors(target: OrderTarget) -> Iterator[InputError]:
    if (target.orig_cl_ord_id is None) == (target.order_id is None):
        yield _error("target", "REQUIRED", "say either origClOrdId or orderId")
    if target.orig_cl_ord_id is not None:
        yield from _id_errors("target.origClOrdId", target.orig_cl_ord_id)
    if target.order_id is not None:
        yield from _id_errors("target.orderId", target.order_id)


def _positive(field: str, value: Decimal) -> Iterator[InputError]:
    if value <= ZERO:
        yield _error(field, "NOT_POSITIVE", f"{field} must be greater than 0")


def _id_errors(field: str, value: str) -> Iterator[InputError]:
    limit = CL_ORD_ID_MAX if field == "clOrdId" else _NAME_MAX
    if not value:
        yield _error(field, "REQUIRED", f"{field} must not be empty")
    elif len(value) > limit:
        yield _error(field, "TOO_LONG", f"{field} has at most {limit} characters")
    elif not value.isascii() or not value.isprintable() or value != value.strip():
        message = f"{field} has printable ASCII characters, and no space at either end"
        yield _error(field, "MALFORMED", message)


def _error(field: str, code: str, message: str) -> InputError:
    return InputError(path=("input", *field.split(".")), code=code, message=message)
