"""Why something was refused, and by whom."""

import trading.outcome
import trading.reject
from schema.definition import AUTHENTICATED, enum, field, noun
from trading.reject import CxlRejReason, CxlRejResponseTo, OrdRejReason, RejectedBy

__all__ = [
    "CxlRejReason",
    "CxlRejResponseTo",
    "InputError",
    "InvalidInput",
    "OrdRejReason",
    "RejectedBy",
]

enum(
    RejectedBy,
    "Who refused.",
    GATEWAY="This gateway: the order was never sent.",
    BROKER="The broker.",
)

enum(
    OrdRejReason,
    "OrdRejReason(103): why an order was rejected.",
    BROKER_OPTION="The broker refused, and its words are in `text`.",
    UNKNOWN_SYMBOL="No instrument has this symbol, or several have.",
    EXCHANGE_CLOSED="The market is closed, or trading is halted.",
    ORDER_EXCEEDS_LIMIT="The order is beyond a limit of its account.",
    TOO_LATE_TO_ENTER="The order came too late, such as after its own expiry.",
    UNKNOWN_ORDER="The order that it names is not known.",
    DUPLICATE_ORDER="The broker has an order with this id already.",
    STALE_ORDER="The order waited too long to be sent.",
    UNSUPPORTED_ORDER_CHARACTERISTIC="The broker cannot do this type or time in force.",
    INCORRECT_QUANTITY="The quantity is not a multiple of the lot.",
    UNKNOWN_ACCOUNTS="The broker does not know the account.",
    PRICE_EXCEEDS_CURRENT_PRICE_BAND="The price is too far from the market.",
    INVALID_PRICE_INCREMENT="The price is not on the tick.",
    REFERENCE_PRICE_NOT_AVAILABLE="There is no fresh quote to measure the order against.",
    NOTIONAL_VALUE_EXCEEDS_THRESHOLD="The value of the order is beyond its limit.",
    INSUFFICIENT_CREDIT_LIMIT="The account lacks buying power or margin.",
    EXCEEDED_MAX_NET_POSITION="The position would grow beyond its limit.",
    OTHER="Another reason, told in `text`.",
)

enum(
    CxlRejReason,
    "CxlRejReason(102): why a cancel or replace was refused.",
    TOO_LATE_TO_CANCEL="The order is finished already.",
    UNKNOWN_ORDER="No order of the account answers to the target.",
    BROKER_OPTION="The broker refused, and its words are in `text`.",
    ORDER_ALREADY_IN_PENDING_STATUS="Another cancel or replace of the order is pending.",
    DUPLICATE_CL_ORD_ID="The broker has seen the id of this request before.",
    INVALID_PRICE_INCREMENT="The new price is not on the tick.",
    PRICE_EXCEEDS_CURRENT_PRICE_BAND="The new price is too far from the market.",
    OTHER="Another reason, told in `text`.",
)

enum(
    CxlRejResponseTo,
    "CxlRejResponseTo(434): which request was refused.",
    ORDER_CANCEL_REQUEST="A cancel.",
    ORDER_CANCEL_REPLACE_REQUEST="A replace.",
)


@noun(
    "One thing that is wrong with an input.",
    requires=AUTHENTICATED,
    of=trading.reject.InputError,
)
class InputError:
    path: list[str] = field("The names that lead to what is wrong, from the input down.")
    code: str = field("A stable name of the mistake, for programs.")
    message: str = field("What is wrong and what to do about it, for people.")


@noun(
    "Wrong by the input alone: nothing was stored, and the ClOrdID is still free.",
    requires=AUTHENTICATED,
    of=trading.outcome.InvalidInput,
)
class InvalidInput:
    errors: list[InputError] = field("All that is wrong.")
