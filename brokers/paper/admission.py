"""Why the exchange refuses a new order or a replace: pure checks of terms against its rules."""

from __future__ import annotations

from brokers.paper.book import Book
from brokers.paper.ledger import PaperOrder
from brokers.paper.messages import NewOrder, Replace
from trading.instrument import Instrument
from trading.order import OrdType, TimeInForce
from trading.quantity import ZERO, Px, is_multiple, plain
from trading.reject import CxlRejReason, OrdRejReason

type Refusal = tuple[OrdRejReason, str]
type CancelRefusal = tuple[CxlRejReason, str]


def refuse_new(request: NewOrder, book: Book, now: int) -> Refusal | None:
    """Say why a new order is refused, or None."""
    instrument = book.instrument
    if instrument.expiry is not None and instrument.expiry <= now:
        return OrdRejReason.EXCHANGE_CLOSED, f"{request.symbol} has expired"
    if text := _misshapen(request, now):
        return OrdRejReason.UNSUPPORTED_ORDER_CHARACTERISTIC, text
    if request.order_qty <= ZERO or not is_multiple(request.order_qty, instrument.lot):
        return OrdRejReason.INCORRECT_QUANTITY, _off_lot(instrument)
    if _off_tick(instrument, request.price, request.stop_px):
        return OrdRejReason.INVALID_PRICE_INCREMENT, _off_grid(instrument)
    if request.ord_type is OrdType.MARKET and not book.has_market(request.side):
        return OrdRejReason.REFERENCE_PRICE_NOT_AVAILABLE, f"no market in {request.symbol}"
    return None


def refuse_replace(request: Replace, order: PaperOrder, book: Book) -> CancelRefusal | None:
    """Say why a replace is refused, or None."""
    if late := refuse_cancel(order):
        return late
    if text := _unfit(request, order, book.instrument):
        return CxlRejReason.OTHER, text
    if _off_tick(book.instrument, request.price, request.stop_px):
        return CxlRejReason.INVALID_PRICE_INCREMENT, _off_grid(book.instrument)
    return None


def refuse_cancel(order: PaperOrder) -> CancelRefusal | None:
    """Say why a cancel is refused, or None."""
    if not order.is_open:
        return CxlRejReason.TOO_LATE_TO_CANCEL, f"the order is {order.status} already"
    return None


def _unfit(request: Replace, order: PaperOrder, instrument: Instrument) -> str | None:
    if request.order_qty <= order.cum_qty:
        return f"{plain(order.cum_qty)} has traded already"
    if not is_multiple(request.order_qty, instrument.lot):
        return _off_lot(instrument)
    if _misfits(order.request.ord_type, request.price, request.stop_px):
        return f"the prices are not those of a {order.request.ord_type} order"
    if order.triggered and request.stop_px != order.stop_px:
        return "the stop has been triggered already"
    return None


def _misshapen(request: NewOrder, now: int) -> str | None:
    if _misfits(request.ord_type, request.price, request.stop_px):
        return f"the prices are not those of a {request.ord_type} order"
    dated = request.time_in_force is TimeInForce.GOOD_TILL_DATE
    if dated != (request.expire_time is not None):
        return "a GOOD_TILL_DATE order, and no other, has an expire_time"
    if request.expire_time is not None and request.expire_time <= now:
        return "the expire_time has passed"
    return None


def _misfits(ord_type: OrdType, price: Px | None, stop_px: Px | None) -> bool:
    return ord_type.has_price != (price is not None) or ord_type.has_stop_px != (
        stop_px is not None
    )


def _off_tick(instrument: Instrument, *prices: Px | None) -> bool:
    return any(px is not None and not is_multiple(px, instrument.tick) for px in prices)


def _off_lot(instrument: Instrument) -> str:
    return f"the quantity is not a positive multiple of the lot {plain(instrument.lot)}"


def _off_grid(instrument: Instrument) -> str:
    return f"the price is not a multiple of the tick {plain(instrument.tick)}"
