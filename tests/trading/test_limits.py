"""The strictest limit of all scopes that apply holds, and whether a change loosens is found out."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trading.builders import AAPL, ACCOUNT, ES, FUTURE, OTHER, STOCK, TENANT, D, account
from trading.ids import AccountID, InstrumentID, TenantID
from trading.instrument import Catalogue, SecurityType
from trading.limits import (
    SHAPES,
    Limit,
    LimitName,
    Limits,
    LimitScope,
    LimitSet,
    Whose,
    is_stricter,
)
from trading.loosening import World, loosened

QTY, KEPT = LimitName.MAX_ORDER_QTY, LimitName.MIN_BUYING_POWER
CATALOGUE = Catalogue([STOCK, FUTURE])
STRANGER = AccountID("stranger")
ACCOUNTS = {
    ACCOUNT: Whose(TENANT, "fake"),
    OTHER: Whose(TENANT, "second"),
    STRANGER: Whose(TenantID("strangers"), "fake"),
}
WORLD = World(ACCOUNTS, CATALOGUE)


def limit(value: Any = 10, name: LimitName = QTY, **fields: Any) -> Limit:
    """Make a limit; what names a field of a scope goes there."""
    where = {key: fields.pop(key) for key in list(fields) if key in LimitScope.__slots__}
    return Limit(
        scope=LimitScope(**where),
        name=name,
        value=None if value is None else D(value),
        owner="risk",
        reason="test",
        **fields,
    )


def known(*limits: Limit) -> LimitSet:
    """Set limits one after the other, each in a version of its own."""
    found = LimitSet()
    for version, each in enumerate(limits, 1):
        found = found.then(version, str(version), [replace(each, version=version)])
    return found


def get(of: LimitSet, name: LimitName = QTY, at: int = 0, **where: Any) -> Any:
    limits = Limits.of(account(), of, CATALOGUE)
    return limits.get(name, where.get("symbol", AAPL), where.get("strategy_id"), at=at)


WIDER: list[dict[str, Any]] = [
    {},
    {"broker": "fake"},
    {"tenant_id": TENANT},
    {"tenant_id": TENANT, "strategy_id": "s"},
    {"account_id": ACCOUNT},
    {"symbol": AAPL},
    {"security_type": SecurityType.COMMON_STOCK},
    {"account_id": ACCOUNT, "symbol": AAPL},
    {"tenant_id": TENANT, "strategy_id": "s", "security_type": SecurityType.COMMON_STOCK},
]


@pytest.mark.parametrize("scope", WIDER)
@pytest.mark.parametrize("name", [QTY, KEPT])
def test_the_strictest_of_all_scopes_holds_whichever_it_is_at(
    scope: dict[str, Any], name: LimitName
) -> None:
    strict = 1 if name is QTY else 9
    limits = [limit(strict if each == scope else 5, name, **each) for each in WIDER]

    assert get(known(*limits), name, strategy_id="s") == strict
    assert get(known(*reversed(limits)), name, strategy_id="s") == strict


@pytest.mark.parametrize(
    "scope",
    [
        {"broker": "second"},
        {"tenant_id": "strangers"},
        {"tenant_id": "strangers", "strategy_id": "s"},
        {"tenant_id": TENANT, "strategy_id": "t"},
        {"account_id": OTHER},
        {"symbol": ES},
        {"security_type": SecurityType.FUTURE},
        {"account_id": ACCOUNT, "symbol": ES},
        {"account_id": OTHER, "symbol": AAPL},
    ],
)
def test_a_limit_for_others_does_not_apply(scope: dict[str, Any]) -> None:
    assert get(known(limit(1, **scope)), strategy_id="s") is None
    assert get(known(limit(5), limit(1, **scope)), strategy_id="s") == 5


def test_nothing_set_and_taken_away_are_no_limit() -> None:
    assert get(LimitSet()) is None
    assert get(known(limit(5), limit(None))) is None
    assert get(known(limit(5), limit(3, account_id=ACCOUNT), limit(None))) == 3


def test_zero_is_a_limit() -> None:
    assert get(known(limit(5), limit(0, account_id=ACCOUNT))) == 0


def test_every_name_says_which_end_is_strict() -> None:
    for name in LimitName:
        assert name.is_stricter(D(2), D(1)) is name.startswith("MIN_")
        assert name.is_stricter(D(1), D(2)) is not name.startswith("MIN_")
        assert name.startswith(("MIN_", "MAX_")) or not name.is_stricter(D(1), D(1))


def test_a_limit_holds_from_its_instant_to_its_end_and_then_falls_back() -> None:
    of = known(limit(5), limit(8, effective_at=10, expires_at=20))

    assert [get(of, at=at) for at in (0, 9, 10, 19, 20, 99)] == [5, 5, 8, 8, 5, 5]


def test_the_newest_word_holds_against_one_that_was_to_come() -> None:
    of = known(limit(5), limit(8, effective_at=10), limit(3))

    assert [get(of, at=at) for at in (0, 10, 99)] == [3, 3, 3]


def test_what_is_set_at_once_holds_by_no_clock() -> None:
    # Another process's clock may be behind by any time.
    assert get(known(limit(5), limit(3)), at=-(10**18)) == 3


def test_an_older_version_stays_what_it_was() -> None:
    before = known(limit(5))
    assert get(before) == 5
    after = before.then(2, "two", [limit(3, version=2)])

    assert (get(before), before.version) == (5, 1)
    assert (get(after), after.version) == (3, 2)


def test_strategies_that_no_limit_names_are_looked_up_once() -> None:
    of = known(limit(5), limit(1, tenant_id=TENANT, strategy_id="s"))
    for number in range(100):
        assert get(of, strategy_id=f"invented-{number}") == 5
    assert get(of, strategy_id="s") == 1

    assert len(of._memory) == 2


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trading.limits._MEMORY", 3)
    of = known(*(limit(n, symbol=InstrumentID(f"{n}")) for n in range(9)))
    for _, n in product(range(2), range(9)):
        assert get(of, symbol=InstrumentID(f"{n}")) == n

    assert len(of._memory) <= 3


def test_a_scope_reads_well() -> None:
    assert str(LimitScope()) == "all"
    assert str(LimitScope(account_id=ACCOUNT, symbol=AAPL)) == f"account={ACCOUNT} symbol={AAPL}"


# --- loosening -----------------------------------------------------------------------------------


def looser(before: LimitSet, *changes: Limit, now: int = 0) -> bool:
    after = before.then(before.version + 1, "next", changes)
    return loosened(before, after, [each.key for each in changes], WORLD, now) is not None


HERE: dict[str, Any] = {"account_id": ACCOUNT}
OURS: dict[str, Any] = {"tenant_id": TENANT}


@pytest.mark.parametrize(
    ("before", "change", "expected"),
    [
        ([limit(5)], limit(4), False),
        ([limit(5)], limit(5), False),
        ([limit(5)], limit(6), True),
        ([limit(5, KEPT)], limit(6, KEPT), False),
        ([limit(5, KEPT)], limit(4, KEPT), True),
        # Where nothing was set all was refused: a first limit permits, and its removal refuses.
        ([], limit(5), True),
        ([limit(5)], limit(None), False),
        ([limit(5)], limit(5, **HERE), False),
        ([limit(5)], limit(9, **HERE), False),
        ([limit(5, **HERE)], limit(9), True),
        # A ceiling over all tightens, where all that there are have limits of their own.
        ([limit(5, **OURS), limit(5, account_id=STRANGER)], limit(1), False),
        ([limit(5, **OURS), limit(5, account_id=STRANGER, symbol=ES)], limit(1), True),
        # What is taken away uncovers another that is less strict, or one that is not.
        ([limit(9), limit(5, **HERE)], limit(None, **HERE), True),
        ([limit(5), limit(9, **HERE)], limit(None, **HERE), False),
        ([limit(9, symbol=AAPL), limit(5, **HERE)], limit(None, **HERE), True),
        ([limit(9, symbol=AAPL), limit(5, symbol=ES)], limit(None, symbol=ES), False),
        ([limit(9, account_id=STRANGER), limit(5, **OURS)], limit(None, **OURS), False),
        ([limit(9, account_id=OTHER), limit(5, **OURS)], limit(None, **OURS), True),
        ([limit(9, broker="second"), limit(5, **HERE)], limit(None, **HERE), False),
        ([limit(9, broker="fake"), limit(5, **HERE)], limit(None, **HERE), True),
        # An end of what tightens falls back to what was; the end of what loosens does not help.
        ([limit(5)], limit(4, expires_at=10), False),
        ([limit(5)], limit(6, expires_at=10), True),
        ([limit(5)], limit(6, effective_at=10), True),
        ([limit(5), limit(9, expires_at=10)], limit(7), True),
        ([limit(5), limit(9, expires_at=10)], limit(7, expires_at=10), False),
        ([limit(5), limit(9, expires_at=10)], limit(5), False),
    ],
)
def test_loosening_is_judged_by_effect(
    before: Sequence[Limit], change: Limit, *, expected: bool
) -> None:
    assert looser(known(*before), change) is expected


def test_two_changes_are_judged_together() -> None:
    before = known(limit(5))

    assert not looser(before, limit(9, symbol=AAPL), limit(4))
    assert not looser(before, limit(5, security_type=SecurityType.FUTURE), limit(3, **HERE))
    # One that only moves to a wider scope holds for others now, who had none.
    assert looser(known(limit(5, **HERE)), limit(5), limit(None, **HERE))


def test_the_place_and_both_limits_are_told() -> None:
    before = known(limit(9), limit(5, **HERE))
    change = limit(None, **HERE)
    found = loosened(before, before.then(3, "3", [change]), [change.key], WORLD, 0)

    assert found is not None
    assert found.place.account_id == ACCOUNT
    assert found.before is not None
    assert (found.before.value, found.after.value) == (D(5), D(9))


def places() -> Iterator[LimitScope]:
    """All kinds of orders that there can be, also of accounts and in instruments yet to come."""
    everybody = product((TENANT, TenantID("strangers"), TenantID("x")), ("fake", "second", "y"))
    accounts = [*ACCOUNTS.items(), *((None, Whose(*each)) for each in everybody)]
    instruments = [(each.security_type, each.id) for each in (STOCK, FUTURE)]
    instruments += [(each, InstrumentID("new")) for each in list(SecurityType)[:3]]
    for (account_id, whose), (type_, symbol), strategy in product(
        accounts, instruments, ("s", None)
    ):
        yield LimitScope(
            broker=whose.broker,
            tenant_id=whose.tenant_id,
            strategy_id=strategy,
            account_id=account_id,
            security_type=type_,
            symbol=symbol,
        )


PLACES = list(places())


def can_be(place: LimitScope) -> bool:
    return place.account_id is not None and place.symbol != "new"


def is_looser_anywhere(before: LimitSet, after: LimitSet) -> bool:
    instants = {0, *before.instants(0), *after.instants(0)}
    for place, at in product(PLACES, instants):
        was, becomes = before.strictest(place, at).get(QTY), after.strictest(place, at).get(QTY)
        if becomes is None:
            continue
        if can_be(place) if was is None else is_stricter(was, becomes):
            return True
    return False


_CHOICES: dict[str, list[Any]] = {
    "broker": ["fake", "second"],
    "tenant_id": [TENANT, "strangers"],
    "strategy_id": ["s"],
    "account_id": [ACCOUNT, OTHER, STRANGER],
    "security_type": [SecurityType.COMMON_STOCK, SecurityType.FUTURE],
    "symbol": [AAPL, ES],
}


@st.composite
def limits_anywhere(draw: st.DrawFn) -> Limit:
    shape = draw(st.sampled_from(sorted(SHAPES, key=sorted)))
    scope = {name: draw(st.sampled_from(_CHOICES[name])) for name in sorted(shape)}
    begins = draw(st.none() | st.integers(1, 10))
    ends = draw(st.none() | st.integers((begins or 0) + 1, 11))
    value = draw(st.none() | st.integers(1, 3))
    return limit(value, effective_at=begins, expires_at=ends, **scope)


@settings(max_examples=150, deadline=None)
@given(st.lists(limits_anywhere(), max_size=6), st.lists(limits_anywhere(), min_size=1, max_size=3))
def test_no_loosening_goes_unnoticed_and_none_is_made_up(
    earlier: list[Limit], changes: list[Limit]
) -> None:
    before = known(*earlier)
    changes = list({each.key: each for each in changes}.values())
    after = before.then(before.version + 1, "next", changes)

    assert looser(before, *changes) is is_looser_anywhere(before, after)
