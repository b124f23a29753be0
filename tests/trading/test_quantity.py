"""Exact decimals: what can be read, and that nothing is lost in writing or dividing."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.quantity import average, is_multiple, parse, plain, share

NUMBERS = st.decimals(-(10**15) + 1, 10**15 - 1, places=12)


@given(NUMBERS)
def test_what_is_written_plainly_is_read_back_the_same(value: Decimal) -> None:
    assert parse(plain(value)) == value
    assert "E" not in plain(value)


@pytest.mark.parametrize(
    ("text", "written"),
    [("1.50", "1.5"), ("100", "100"), ("-0", "0"), ("0.000", "0"), ("007", "7")],
)
def test_needless_zeros_are_not_written(text: str, written: str) -> None:
    assert plain(parse(text)) == written


@pytest.mark.parametrize(
    "text",
    [
        "",
        "NaN",
        "Infinity",
        "1e3",
        " 1",
        "1 ",
        "1\n",
        "+1",
        ".5",
        "5.",
        "1,000",
        "\N{ARABIC-INDIC DIGIT ONE}",
        "1" * 16,
        "0." + "1" * 13,
        "1" * 40,
    ],
)
def test_anything_but_a_plain_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="plain decimal number"):
        parse(text)


def test_an_average_has_ten_decimals_and_none_without_a_quantity() -> None:
    assert average(Decimal(10), Decimal(3)) == Decimal("3.3333333333")
    assert average(Decimal(10), Decimal(0)) is None


@given(NUMBERS, st.integers(1, 1000), st.integers(1, 1000))
def test_shares_of_a_whole_add_up_to_it(total: Decimal, part: int, rest: int) -> None:
    whole = Decimal(part + rest)
    first = share(total, Decimal(part), whole)

    assert share(total - first, Decimal(rest), whole - part) == total - first
    assert abs(first * whole - total * part) <= whole * Decimal("0.0000000001")


@given(st.integers(-1000, 1000), st.sampled_from(["0.01", "0.25", "1", "0.00005"]))
def test_a_multiple_lies_on_the_grid(steps: int, step: str) -> None:
    tick = Decimal(step)

    assert is_multiple(steps * tick, tick)
    assert not is_multiple(steps * tick + tick / 2, tick)
