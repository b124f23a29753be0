"""Each control passes at its limit, refuses one unit beyond, and refuses what it does not know."""

from decimal import Decimal
from typing import Any, get_args

import pytest

from risk import checks, conduct, exposure, market
from risk.control import CONTROLS, LIMIT, Control
from tests.risk.limit_cases import CASES, OPTIONAL, UNKNOWN, Case
from trading.account import TradingState
from trading.decision import Verdict
from trading.order import Side

D = Decimal

# A control, inputs that it passes, one of them at the limit, and that one a unit beyond.
BASIC: dict[str, Case] = {
    "expiry": (checks.instrument_expiry, {"market_time": 9, "expiry": 10}, "market_time", 9, 10),
    "expire time": (
        checks.expire_time,
        {"market_time": 9, "expire_time": 10},
        "market_time",
        9,
        10,
    ),
    "lot": (checks.lot_size, {"order_qty": D(20), "lot": D(10)}, "order_qty", D(20), D(21)),
    "price tick": (
        checks.tick_size,
        {"price": D("1.25"), "stop_px": None, "tick": D("0.25")},
        "price",
        D("-1.25"),
        D("1.26"),
    ),
    "stop tick": (
        checks.tick_size,
        {"price": D("1.25"), "stop_px": D(1), "tick": D("0.25")},
        "stop_px",
        D("1.50"),
        D("1.51"),
    ),
    "age": (
        checks.reference_price,
        {"reference_px": D(1), "age_ms": 5, "limit": D(10)},
        "age_ms",
        10,
        11,
    ),
    "qty": (checks.max_order_qty, {"order_qty": D(1), "limit": D(5)}, "order_qty", D(5), D("5.1")),
    "notional": (
        checks.max_order_notional,
        {"order_qty": D(2), "reserve_px": D(10), "multiplier": D(50), "limit": D(1000)},
        "order_qty",
        D(2),
        D("2.01"),
    ),
    "collar above": (
        checks.price_collar,
        {"price": D(100), "stop_px": None, "reference_px": D(100), "limit": D("0.1")},
        "price",
        D(110),
        D("110.01"),
    ),
    "collar below": (
        checks.price_collar,
        {"price": None, "stop_px": D(100), "reference_px": D(100), "limit": D("0.1")},
        "stop_px",
        D(90),
        D("89.99"),
    ),
    "collar of a negative price": (
        checks.price_collar,
        {"price": D(-100), "stop_px": None, "reference_px": D(-100), "limit": D("0.1")},
        "price",
        D(-110),
        D("-110.01"),
    ),
    "long position": (
        checks.max_position,
        {
            "side": Side.BUY,
            "net_qty": D(3),
            "open_qty": D(4),
            "leaves_qty": D(3),
            "limit": D(10),
        },
        "leaves_qty",
        D(3),
        D(4),
    ),
    "short position": (
        checks.max_position,
        {
            "side": Side.SELL,
            "net_qty": D(3),
            "open_qty": D(4),
            "leaves_qty": D(9),
            "limit": D(10),
        },
        "leaves_qty",
        D(9),
        D(10),
    ),
    "open orders": (checks.max_open_orders, {"open_orders": 1, "limit": D(3)}, "open_orders", 3, 4),
    "buying power": (
        checks.buying_power,
        {"funds": D(100), "tied_up_before": D(0), "tied_up_after": D(1), "limit": D(20)},
        "tied_up_after",
        D(80),
        D(81),
    ),
    "reducing a long position": (
        checks.trading_state,
        {
            "state": TradingState.REDUCING,
            "side": Side.SELL,
            "net_qty": D(10),
            "closing_qty": D(4),
            "leaves_qty": D(6),
        },
        "leaves_qty",
        D(6),
        D(7),
    ),
    "two open closers": (
        checks.reduce_only,
        {
            "reduce_only": True,
            "side": Side.BUY,
            "net_qty": D(-10),
            "closing_qty": D(4),
            "leaves_qty": D(6),
        },
        "closing_qty",
        D(4),
        D(5),
    ),
}

LIMITS = BASIC | CASES


def named(name: str) -> str:
    """Have `-k` find the tests of a control by its name."""
    return f"{LIMITS[name][0].name}-{name}"


@pytest.mark.parametrize("name", LIMITS, ids=named)
def test_a_control_passes_at_the_limit_and_refuses_beyond(name: str) -> None:
    control, inputs, field, at, beyond = LIMITS[name]

    assert control.check(**inputs).verdict is Verdict.PASS
    assert control.check(**inputs | {field: at}).verdict is Verdict.PASS
    refusal = control.check(**inputs | {field: beyond})
    assert refusal.verdict is Verdict.REFUSE
    assert refusal.code in control.codes
    assert refusal.reason is control.reason
    assert refusal.text is not None
    assert refusal.text.startswith(f"{refusal.code}: ")


@pytest.mark.parametrize(
    "name", [each for each, case in LIMITS.items() if "limit" in case[1]], ids=named
)
def test_a_limit_that_is_not_set_refuses(name: str) -> None:
    control, inputs, *_ = LIMITS[name]

    assert control.check(**inputs | {"limit": None}).code == checks.LIMIT_NOT_SET


NEEDED = [
    ("age", "reference_px"),
    ("age", "age_ms"),
    ("notional", "reserve_px"),
    ("collar above", "reference_px"),
    ("buying power", "funds"),
    ("buying power", "tied_up_before"),
    ("buying power", "tied_up_after"),
]


@pytest.mark.parametrize(
    ("name", "field"),
    [pytest.param(*each, id=f"{named(each[0])}-{each[1]}") for each in [*NEEDED, *UNKNOWN]],
)
def test_what_is_not_known_refuses(name: str, field: str) -> None:
    control, inputs, *_ = LIMITS[name]

    expected = UNNAMED.get(control.name, checks.REFERENCE_MISSING)
    assert control.check(**inputs | {field: None}).code == expected


UNNAMED = {"SESSION_PHASE": "CALENDAR_MISSING", "SELF_MATCH": "SELF_MATCH"}
"""What controls say that miss something else than a reference."""


@pytest.mark.parametrize("control", CONTROLS.values(), ids=CONTROLS)
def test_every_control_is_seen_at_its_limit_and_without_what_it_needs(control: Control) -> None:
    mine = {name for name, case in LIMITS.items() if case[0] is control}
    assert mine, "at the limit, and a unit beyond"
    missing = {field for name, field in [*NEEDED, *UNKNOWN] if name in mine}
    nullable = {name for name, kind in control.types.items() if type(None) in get_args(kind)}
    assert nullable - missing <= {LIMIT, *OPTIONAL}
    if control.reads is not None:
        assert any(LIMIT in LIMITS[name][1] for name in mine)


@pytest.mark.parametrize("name", [each for each, case in LIMITS.items() if "reduces" in case[1]])
def test_what_reduces_passes_where_something_is_not_known_or_too_much(name: str) -> None:
    control, inputs, field, _, beyond = LIMITS[name]
    if control not in (exposure.initial_margin, exposure.intraday_margin):
        assert control.check(**inputs | {field: beyond, "reduces": True}).code is None
    assert control.check(**inputs | {field: None, "reduces": True}).code is None
    unset = control.check(**inputs | {"limit": None, "reduces": True})
    assert unset.code == checks.LIMIT_NOT_SET


def test_what_is_margined_may_trade_below_zero() -> None:
    terms: dict[str, Any] = {"order_qty": D(1), "price": D(-37), "stop_px": D(0)}

    assert market.order_terms.check(**terms, is_margined=True).code is None
    assert market.order_terms.check(**terms, is_margined=False).code == "INVALID_PRICE"


@pytest.mark.parametrize(
    ("price", "opposite_px", "unpriced"),
    [(None, D(10), False), (D(1), None, True), (None, None, True)],
)
def test_what_has_no_price_could_trade_with_anything(
    price: Decimal | None, opposite_px: Decimal | None, *, unpriced: bool
) -> None:
    inputs: dict[str, Any] = {"price": price, "opposite_px": opposite_px}
    for side in Side:
        refusal = conduct.self_match.check(
            side=side, opposite_unpriced=unpriced, opposite_order_id="o", limit=D(0), **inputs
        )
        assert refusal.code == "SELF_MATCH"
        alone = conduct.self_match.check(
            side=side, opposite_unpriced=False, opposite_order_id=None, limit=D(0), **inputs
        )
        assert alone.code is None


def test_a_sell_matches_its_owners_buy_at_its_price_and_below() -> None:
    codes = [
        conduct.self_match.check(
            side=Side.SELL,
            price=D(px),
            opposite_px=D(10),
            opposite_unpriced=False,
            opposite_order_id="o",
            limit=D(0),
        ).code
        for px in (9, 10, 11)
    ]
    assert codes == ["SELF_MATCH", "SELF_MATCH", None]


def test_who_may_trade_with_himself_does() -> None:
    permitted = conduct.self_match.check(
        side=Side.BUY,
        price=None,
        opposite_px=None,
        opposite_unpriced=True,
        opposite_order_id="o",
        limit=D(1),
    )
    assert permitted.code is None


def test_an_oversell_is_a_matter_of_what_must_be_borrowed_alone() -> None:
    inputs: dict[str, Any] = {"net_qty": D(0), "open_qty": D(0), "leaves_qty": D(1)}
    judge = conduct.oversell.check

    refused = judge(side=Side.SELL, must_borrow=True, limit=D(0), **inputs)
    assert refused.code == "OVERSELL"
    assert judge(side=Side.SELL, must_borrow=True, limit=D(1), **inputs).code is None
    assert judge(side=Side.SELL, must_borrow=False, limit=D(0), **inputs).code is None
    assert judge(side=Side.BUY, must_borrow=True, limit=D(0), **inputs).code is None


def test_what_may_be_borrowed_may_be_sold_short() -> None:
    assert conduct.short_sale.check(sells_short=True, shortable=True).code is None


def test_a_delayed_reference_is_none() -> None:
    delayed = market.reference_quality.check(bid=D(1), ask=D(2), delayed=True)

    assert delayed.code == "REFERENCE_DELAYED"
    one_sided = market.reference_quality.check(bid=D(1), ask=None, delayed=False)
    assert one_sided.code is None


@pytest.mark.parametrize("name", ["qty", "notional", "age", "open orders", "buying power"])
def test_headroom_is_what_is_left_below_the_limit(name: str) -> None:
    control, inputs, field, at, beyond = LIMITS[name]
    left, over = (control.check(**inputs | {field: value}).headroom for value in (at, beyond))

    assert left == 0
    assert over is not None
    assert over < 0


def test_a_reference_of_zero_is_none_to_measure_by() -> None:
    control, inputs, *_ = LIMITS["collar above"]

    assert control.check(**inputs | {"reference_px": D(0)}).code == checks.REFERENCE_MISSING


def test_an_order_of_less_than_nothing_frees_no_position() -> None:
    for side in Side:
        check = checks.max_position.check(
            side=side, net_qty=D(0), open_qty=D(0), leaves_qty=D(11), limit=D(10)
        )
        assert check.verdict is Verdict.REFUSE


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [(200, 200, Verdict.PASS), (200, 150, Verdict.PASS), (200, 201, Verdict.REFUSE)],
)
def test_what_ties_up_no_more_than_before_may_pass_above_the_ceiling(
    before: int, after: int, verdict: Verdict
) -> None:
    check = checks.buying_power.check(
        funds=D(100), tied_up_before=D(before), tied_up_after=D(after), limit=D(0)
    )

    assert check.verdict is verdict


STATE: dict[str, Any] = {"net_qty": D(0), "closing_qty": D(0), "leaves_qty": D(1)}


@pytest.mark.parametrize("side", Side)
def test_active_permits_halted_refuses_and_reducing_opens_nothing(side: Side) -> None:
    verdicts = {
        state: checks.trading_state.check(state=state, side=side, **STATE).code
        for state in TradingState
    }

    assert verdicts == {
        TradingState.ACTIVE: None,
        TradingState.REDUCING: "TRADING_STATE_REDUCING",
        TradingState.HALTED: "TRADING_HALTED",
    }


@pytest.mark.parametrize("side", Side)
def test_reducing_refuses_what_adds_to_the_position(side: Side) -> None:
    inputs = STATE | {"net_qty": D(10 * side.sign)}
    state = checks.trading_state.check(state=TradingState.REDUCING, side=side, **inputs)
    only = checks.reduce_only.check(reduce_only=True, side=side, **inputs)

    assert (state.verdict, only.verdict) == (Verdict.REFUSE, Verdict.REFUSE)


def test_an_order_that_is_not_reduce_only_may_open() -> None:
    check = checks.reduce_only.check(reduce_only=False, side=Side.BUY, **STATE)

    assert check.verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("ord_type", "time_in_force", "verdict"),
    [
        ("LIMIT", "DAY", Verdict.PASS),
        ("STOP", "DAY", Verdict.REFUSE),
        ("LIMIT", "FILL_OR_KILL", Verdict.REFUSE),
        ("LIM", "DAY", Verdict.REFUSE),
    ],
)
def test_the_broker_must_take_the_type_and_the_time_in_force(
    ord_type: str, time_in_force: str, verdict: Verdict
) -> None:
    check = checks.capability.check(
        ord_type=ord_type,
        ord_types="LIMIT MARKET",
        time_in_force=time_in_force,
        times_in_force="DAY GOOD_TILL_CANCEL",
    )

    assert check.verdict is verdict


def test_a_foreign_currency_has_no_rate() -> None:
    check = checks.currency.check(instrument_currency="EUR", account_currency="USD")

    assert check.code == "NO_CONVERSION_RATE"
    assert checks.currency.check(instrument_currency="USD", account_currency="USD").code is None


@pytest.mark.parametrize("control", CONTROLS.values(), ids=CONTROLS)
def test_every_control_says_its_scope_and_its_source(control: Control) -> None:
    assert "Scope: " in control.doc
    assert "Source: " in control.doc
