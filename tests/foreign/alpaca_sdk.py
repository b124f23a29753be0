"""What is used of alpaca-py: imported late, for it loads pandas, and warns of its own sockets."""

from alpaca.common.exceptions import APIError
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import OrderSide, OrderStatus, QueryOrderStatus, TimeInForce
from alpaca.trading.requests import (
    GetOrdersRequest,
    LimitOrderRequest,
    MarketOrderRequest,
    ReplaceOrderRequest,
)
from alpaca.trading.stream import TradingStream

__all__ = [
    "APIError",
    "GetOrdersRequest",
    "LimitOrderRequest",
    "MarketOrderRequest",
    "OrderSide",
    "OrderStatus",
    "QueryOrderStatus",
    "ReplaceOrderRequest",
    "TimeInForce",
    "TradingClient",
    "TradingStream",
]
