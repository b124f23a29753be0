"""Bodies of requests, read as strictly as Alpaca reads them; what is wrong is a `Refused`."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from brokers.alpaca.messages import ORD_TYPES, SIDES, TIMES_IN_FORCE
from brokers.paper.messages import NewOrder
from trading.ids import AccountID, WireID
from trading.instrument import Catalogue, Instrument, SecurityType, UnknownSymbol
from trading.order import OrdType
from trading.quantity import ZERO, Px, Qty, is_multiple, parse

CLIENT_ORDER_ID_MAX = 48
_MALFORMED = 40010001
_UNPROCESSABLE = 42210000


class Refused(Exception):
    """A refusal as Alpaca says it: the HTTP status, its own code, and a message."""

    def __init__(self, status: int, code: int, message: str) -> None:
        """Take all three."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def malformed(message: str) -> Refused:
    """Refuse what is not well-formed."""
    return Refused(422, _MALFORMED, message)


def unprocessable(message: str) -> Refused:
    """Refuse what cannot be done as things are."""
    return Refused(422, _UNPROCESSABLE, message)


def not_found(what: str) -> Refused:
    """Say that there is no such thing."""
    return Refused(404, 40410000, f"{what} not found")


def tradable(catalogue: Catalogue, symbol: object) -> Instrument:
    """Find an instrument by Alpaca's name of it. Raises Refused."""
    try:
        found = catalogue.resolve(str(symbol).replace("/", ""))
    except UnknownSymbol:
        raise unprocessable(f'asset "{symbol}" not found') from None
    if found.security_type not in {SecurityType.COMMON_STOCK, SecurityType.CRYPTO_SPOT}:
        raise unprocessable(f'asset "{symbol}" is not tradable')
    return found


def new_order(
    given: Mapping[str, Any], catalogue: Catalogue, account_id: AccountID, fresh_id: str
) -> NewOrder:
    """Read the body of a new order; one without an id of the client's is given one."""
    instrument = tradable(catalogue, given.get("symbol"))
    ord_type = _member(given, "type", ORD_TYPES)
    order_qty = qty(given, "qty", instrument)
    if order_qty is None:
        raise malformed("qty or notional is required, and notional is not simulated")
    price, stop_px = px(given, "limit_price", instrument), px(given, "stop_price", instrument)
    _check_prices(ord_type, price, stop_px)
    return NewOrder(
        wire_id=WireID(client_order_id(given) or fresh_id),
        account_id=account_id,
        symbol=instrument.id,
        side=_member(given, "side", SIDES),
        ord_type=ord_type,
        time_in_force=_member(given, "time_in_force", TIMES_IN_FORCE),
        order_qty=order_qty,
        price=price,
        stop_px=stop_px,
    )


def client_order_id(given: Mapping[str, Any]) -> str | None:
    """Return the client's id, if there is one. Raises Refused for one that cannot be."""
    value = given.get("client_order_id")
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > CLIENT_ORDER_ID_MAX:
        raise malformed(f"client_order_id must be at most {CLIENT_ORDER_ID_MAX} characters")
    return value


def qty(given: Mapping[str, Any], name: str, instrument: Instrument) -> Qty | None:
    """Return a quantity, or None where there is none. Raises Refused."""
    value = _number(given, name)
    if value is not None and (value <= ZERO or not is_multiple(value, instrument.lot)):
        raise malformed(f"{name} must be a positive multiple of {instrument.lot}")
    return value


def px(given: Mapping[str, Any], name: str, instrument: Instrument) -> Px | None:
    """Return a price, or None where there is none. Raises Refused."""
    value = _number(given, name)
    if value is not None and (value <= ZERO or not is_multiple(value, instrument.tick)):
        raise unprocessable(
            f"invalid {name} {value}. sub-penny increment does not fulfill minimum pricing criteria"
        )
    return value


def _check_prices(ord_type: OrdType, price: Px | None, stop_px: Px | None) -> None:
    for name, value, belongs in (
        ("limit", price, ord_type.has_price),
        ("stop", stop_px, ord_type.has_stop_px),
    ):
        if belongs and value is None:
            raise malformed(f"{ORD_TYPES[ord_type]} orders require {name} price")
        if value is not None and not belongs:
            raise malformed(f"{ORD_TYPES[ord_type]} orders require no {name} price")


def _member[E](given: Mapping[str, Any], name: str, names: Mapping[E, str]) -> E:
    for member, theirs in names.items():
        if given.get(name) == theirs:
            return member
    raise malformed(f"invalid {name}: it must be one of {', '.join(names.values())}")


def _number(given: Mapping[str, Any], name: str) -> Decimal | None:
    value = given.get(name)
    if value is None:
        return None
    try:
        return parse(str(value))
    except (ValueError, InvalidOperation):
        raise malformed(f"{name} is not a number") from None
