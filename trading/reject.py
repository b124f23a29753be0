"""Why an order, a cancel or a replace was refused, and by whom."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, unique


@unique
class RejectedBy(StrEnum):
    """Who refused: this gateway, or the broker."""

    GATEWAY = "GATEWAY"
    BROKER = "BROKER"


@unique
class OrdRejReason(StrEnum):
    """OrdRejReason(103)."""

    BROKER_OPTION = "BROKER_OPTION"
    UNKNOWN_SYMBOL = "UNKNOWN_SYMBOL"
    EXCHANGE_CLOSED = "EXCHANGE_CLOSED"
    ORDER_EXCEEDS_LIMIT = "ORDER_EXCEEDS_LIMIT"
    TOO_LATE_TO_ENTER = "TOO_LATE_TO_ENTER"
    UNKNOWN_ORDER = "UNKNOWN_ORDER"
    DUPLICATE_ORDER = "DUPLICATE_ORDER"
    STALE_ORDER = "STALE_ORDER"
    UNSUPPORTED_ORDER_CHARACTERISTIC = "UNSUPPORTED_ORDER_CHARACTERISTIC"
    INCORRECT_QUANTITY = "INCORRECT_QUANTITY"
    UNKNOWN_ACCOUNTS = "UNKNOWN_ACCOUNTS"
    PRICE_EXCEEDS_CURRENT_PRICE_BAND = "PRICE_EXCEEDS_CURRENT_PRICE_BAND"
    INVALID_PRICE_INCREMENT = "INVALID_PRICE_INCREMENT"
    REFERENCE_PRICE_NOT_AVAILABLE = "REFERENCE_PRICE_NOT_AVAILABLE"
    NOTIONAL_VALUE_EXCEEDS_THRESHOLD = "NOTIONAL_VALUE_EXCEEDS_THRESHOLD"
    INSUFFICIENT_CREDIT_LIMIT = "INSUFFICIENT_CREDIT_LIMIT"
    EXCEEDED_MAX_NET_POSITION = "EXCEEDED_MAX_NET_POSITION"
    OTHER = "OTHER"


@unique
class CxlRejReason(StrEnum):
    """CxlRejReason(102)."""

    TOO_LATE_TO_CANCEL = "TOO_LATE_TO_CANCEL"
    UNKNOWN_ORDER = "UNKNOWN_ORDER"
    BROKER_OPTION = "BROKER_OPTION"
    ORDER_ALREADY_IN_PENDING_STATUS = "ORDER_ALREADY_IN_PENDING_STATUS"
    DUPLICATE_CL_ORD_ID = "DUPLICATE_CL_ORD_ID"
    INVALID_PRICE_INCREMENT = "INVALID_PRICE_INCREMENT"
    PRICE_EXCEEDS_CURRENT_PRICE_BAND = "PRICE_EXCEEDS_CURRENT_PRICE_BAND"
    OTHER = "OTHER"


@unique
class CxlRejResponseTo(StrEnum):
    """CxlRejResponseTo(434): which request was refused."""

    ORDER_CANCEL_REQUEST = "ORDER_CANCEL_REQUEST"
    ORDER_CANCEL_REPLACE_REQUEST = "ORDER_CANCEL_REPLACE_REQUEST"


@dataclass(frozen=True, slots=True)
class InputError:
    """One thing that is wrong by the input alone: where, a stable code, and what to do about it."""

    path: tuple[str, ...]
    code: str
    message: str
