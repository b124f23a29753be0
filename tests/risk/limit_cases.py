"""Inputs of each control: some that it passes, one at the limit, and that one a unit beyond.

Kept apart by where the controls are defined; `CASES` has them all.
"""

from decimal import Decimal

from risk import checks, conduct, exposure, market
from risk.control import Control, Value
from trading.account import TradingState
from trading.order import Side

D = Decimal

type Case = tuple[Control, dict[str, Value], str, Value, Value]

MARKET: dict[str, Case] = {
    "quantity": (
        market.order_terms,
        {"order_qty": D(1), "price": None, "stop_px": None, "is_margined": False},
        "order_qty",
        D("0.1"),
        D(0),
    ),
    "price of what is paid in full": (
        market.order_terms,
        {"order_qty": D(1), "price": D(1), "stop_px": None, "is_margined": False},
        "price",
        D("0.01"),
        D(0),
    ),
    "stop price of what is paid in full": (
        market.order_terms,
        {"order_qty": D(1), "price": None, "stop_px": D(1), "is_margined": False},
        "stop_px",
        D("0.01"),
        D("-0.01"),
    ),
    "close of a session": (
        market.session_phase,
        {"market_time": 5, "opens_at": 5, "closes_at": 9},
        "market_time",
        8,
        9,
    ),
    "opening of a session": (
        market.session_phase,
        {"market_time": 6, "opens_at": 5, "closes_at": 9},
        "market_time",
        5,
        4,
    ),
    "permitted": (market.instrument_permitted, {"limit": D(1)}, "limit", D(1), D(0)),
    "crossed": (
        market.reference_quality,
        {"bid": D(9), "ask": D(10), "delayed": False},
        "bid",
        D(10),
        D("10.01"),
    ),
    "ticks above": (
        market.price_collar_ticks,
        {
            "price": D(10),
            "stop_px": None,
            "reference_px": D(10),
            "tick": D("0.25"),
            "limit": D(4),
        },
        "price",
        D(11),
        D("11.25"),
    ),
    "ticks of a stop below": (
        market.price_collar_ticks,
        {
            "price": D(0),
            "stop_px": D(0),
            "reference_px": D(0),
            "tick": D("0.25"),
            "limit": D(4),
        },
        "stop_px",
        D(-1),
        D("-1.25"),
    ),
    "a minute ago": (
        market.price_collar_over_time,
        {"price": D(100), "stop_px": None, "earlier_px": D(100), "limit": D("0.1")},
        "price",
        D(90),
        D("89.99"),
    ),
}

EXPOSURE: dict[str, Case] = {
    "initial margin": (
        exposure.initial_margin,
        {
            "equity": D(100),
            "initial_before": D(0),
            "initial_after": D(1),
            "reduces": False,
            "limit": D(20),
        },
        "initial_after",
        D(80),
        D(81),
    ),
    "intraday margin": (
        exposure.intraday_margin,
        {
            "equity": D(100),
            "maintenance_before": D(0),
            "maintenance_after": D(1),
            "reduces": False,
            "limit": D(0),
        },
        "maintenance_after",
        D(100),
        D(101),
    ),
    "open notional": (
        exposure.open_notional,
        {"open_notional": D(1), "limit": D(10)},
        "open_notional",
        D(10),
        D(11),
    ),
    "gross": (
        exposure.gross_notional,
        {"gross_after": D(1), "reduces": False, "limit": D(10)},
        "gross_after",
        D(10),
        D(11),
    ),
    "leverage": (
        exposure.leverage,
        {"gross_after": D(1), "equity": D(5), "reduces": False, "limit": D(2)},
        "gross_after",
        D(10),
        D(11),
    ),
    "concentration": (
        exposure.concentration,
        {"position_value": D(1), "equity": D(5), "reduces": False, "limit": D(2)},
        "position_value",
        D(10),
        D(11),
    ),
    "daily loss": (
        exposure.daily_loss,
        {"equity": D(100), "session_equity": D(100), "reduces": False, "limit": D(10)},
        "equity",
        D(90),
        D(89),
    ),
    "drawdown": (
        exposure.drawdown,
        {"equity": D(100), "peak_equity": D(110), "reduces": False, "limit": D(10)},
        "peak_equity",
        D(110),
        D(111),
    ),
}

CONDUCT: dict[str, Case] = {
    "short": (
        conduct.short_sale,
        {"sells_short": False, "shortable": False},
        "sells_short",
        False,
        True,
    ),
    "oversell": (
        conduct.oversell,
        {
            "side": Side.SELL,
            "must_borrow": True,
            "net_qty": D(10),
            "open_qty": D(4),
            "leaves_qty": D(1),
            "limit": D(0),
        },
        "leaves_qty",
        D(6),
        D(7),
    ),
    "self-match": (
        conduct.self_match,
        {
            "side": Side.BUY,
            "price": D(9),
            "opposite_px": D(10),
            "opposite_unpriced": False,
            "opposite_order_id": "o",
            "limit": D(0),
        },
        "price",
        D("9.99"),
        D(10),
    ),
    "duplicates": (
        conduct.duplicate_order,
        {"duplicates": 1, "limit": D(3)},
        "duplicates",
        3,
        4,
    ),
    "strategy": (
        conduct.strategy_orders,
        {"strategy_id": "s", "strategy_orders": 1, "limit": D(3)},
        "strategy_orders",
        3,
        4,
    ),
    "messages": (
        conduct.message_rate,
        {"messages": D(1), "limit": D(8)},
        "messages",
        D(6),
        D(7),
    ),
    "in doubt": (
        conduct.in_doubt,
        {"in_doubt_side": 0, "in_doubt": 0, "limit": D(3)},
        "in_doubt",
        3,
        4,
    ),
    "in doubt on the same side": (
        conduct.in_doubt,
        {"in_doubt_side": 0, "in_doubt": 1, "limit": D(3)},
        "in_doubt_side",
        0,
        1,
    ),
}

PLAIN: dict[str, Case] = {
    "capability": (
        checks.capability,
        {
            "ord_type": "LIMIT",
            "ord_types": "LIMIT MARKET",
            "time_in_force": "DAY",
            "times_in_force": "DAY",
        },
        "ord_type",
        "MARKET",
        "STOP",
    ),
    "currency": (
        checks.currency,
        {"instrument_currency": "USD", "account_currency": "USD"},
        "instrument_currency",
        "USD",
        "EUR",
    ),
    "halted": (
        checks.trading_state,
        {
            "state": TradingState.ACTIVE,
            "side": Side.BUY,
            "net_qty": D(0),
            "closing_qty": D(0),
            "leaves_qty": D(1),
        },
        "state",
        TradingState.ACTIVE,
        TradingState.HALTED,
    ),
}

CASES = PLAIN | MARKET | EXPOSURE | CONDUCT

UNKNOWN: list[tuple[str, str]] = [
    ("close of a session", "opens_at"),
    ("close of a session", "closes_at"),
    ("crossed", "delayed"),
    ("ticks above", "reference_px"),
    ("a minute ago", "earlier_px"),
    ("initial margin", "equity"),
    ("initial margin", "initial_before"),
    ("initial margin", "initial_after"),
    ("intraday margin", "equity"),
    ("intraday margin", "maintenance_before"),
    ("intraday margin", "maintenance_after"),
    ("open notional", "open_notional"),
    ("gross", "gross_after"),
    ("leverage", "gross_after"),
    ("leverage", "equity"),
    ("concentration", "position_value"),
    ("concentration", "equity"),
    ("daily loss", "equity"),
    ("daily loss", "session_equity"),
    ("drawdown", "equity"),
    ("drawdown", "peak_equity"),
    ("self-match", "opposite_px"),
]
"""Cases, each with an input that refuses where it is not known."""

OPTIONAL = {
    "expiry": "an instrument that never expires",
    "expire_time": "an order that is not good till a date",
    "price": "an order without a price",
    "stop_px": "an order without a stop price",
    "bid": "a quote of one side",
    "ask": "a quote of one side",
    "strategy_id": "an order of no strategy",
    "opposite_order_id": "nothing is open on the other side",
}
"""Inputs that may be None for a reason of the order's own, and then need not refuse."""
