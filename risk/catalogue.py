"""The catalogue of controls, as a risk officer asks for it: what there is, where, and what is not.

The table in docs/risk.md is made here, of the controls themselves: `drawbridge risk table`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from risk.control import CONTROLS, Control


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What is kept in another place than the gate, and the file of tests that shows it."""

    words: str
    scope: str
    source: str
    test: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A control of the catalogue: the ones here that are it, what is elsewhere, what is not."""

    title: str
    controls: tuple[str, ...] = ()
    elsewhere: Elsewhere | None = None
    missing: str = ""


_LATER = "Not built."

CATALOGUE: tuple[Entry, ...] = (
    Entry("Numeric sanity", ("ORDER_TERMS",)),
    Entry("Tick and lot", ("TICK_SIZE", "LOT_SIZE")),
    Entry("Order type, time in force, currency", ("CAPABILITY", "CURRENCY")),
    Entry("Session calendar", ("SESSION_PHASE", "INSTRUMENT_EXPIRY", "EXPIRE_TIME")),
    Entry(
        "Permission and restricted list",
        ("INSTRUMENT_PERMITTED",),
        Elsewhere(
            "Who may trade an account is asked before: `OrderDesk`, NOT_FOUND and FORBIDDEN.",
            "user and account",
            "SEC rule 15c3-5(c)(2)(iii); RTS 6 article 15(5).",
            "tests/trading/test_desk.py",
        ),
    ),
    Entry(
        "Intent freshness",
        (),
        Elsewhere(
            "`RiskGate.readmit`: STALE_INTENT after 30 seconds unsent.",
            "order",
            "what was meant half a minute ago is not meant in another market.",
            "tests/risk/test_gate.py",
        ),
    ),
    Entry("Maximum quantity", ("MAX_ORDER_QTY",)),
    Entry("Maximum value", ("MAX_ORDER_NOTIONAL",)),
    Entry("Price collars", ("PRICE_COLLAR", "PRICE_COLLAR_TICKS", "PRICE_COLLAR_OVER_TIME")),
    Entry("Size against liquidity", missing=f"{_LATER} No average volume is kept."),
    Entry(
        "Idempotent command",
        (),
        Elsewhere(
            "`Clerk.handle`: one ClOrdID has one effect.",
            "account",
            "SEC rule 15c3-5(c)(1)(ii): orders that indicate duplicates; FIX ClOrdID(11).",
            "tests/trading/test_clerk.py",
        ),
    ),
    Entry("Duplicate content", ("DUPLICATE_ORDER",)),
    Entry("Repeated execution", ("STRATEGY_ORDERS",)),
    Entry("Message rate", ("MESSAGE_RATE",)),
    Entry("Order-to-trade ratio", missing=_LATER),
    Entry("Open orders", ("MAX_OPEN_ORDERS",)),
    Entry("Buying power", ("BUYING_POWER",)),
    Entry("Margin of equities", ("INITIAL_MARGIN",)),
    Entry("Intraday margin", ("INTRADAY_MARGIN",)),
    Entry("Margin of futures", ("INITIAL_MARGIN", "BUYING_POWER")),
    Entry("Maximum position", ("MAX_POSITION",)),
    Entry("Open notional", ("OPEN_NOTIONAL",)),
    Entry("Gross, leverage, concentration", ("GROSS_NOTIONAL", "LEVERAGE", "CONCENTRATION")),
    Entry("Daily loss and drawdown", ("DAILY_LOSS", "DRAWDOWN")),
    Entry("Reduce only", ("REDUCE_ONLY",)),
    Entry("Self-match", ("SELF_MATCH",)),
    Entry(
        "Short sale",
        ("SHORT_SALE",),
        Elsewhere(
            "Sales are marked, `Order.sellsShort`.",
            "order",
            "Regulation SHO, rule 200(g).",
            "tests/persistence/test_resting.py",
        ),
        "A locate and the price test of rule 201: not built.",
    ),
    Entry("Oversell", ("OVERSELL",)),
    Entry("Surveillance", missing=_LATER),
    Entry(
        "Trading state and kill switch",
        ("TRADING_STATE",),
        Elsewhere(
            "`ControlDesk`: nothing leaves after the acknowledgement, `docs/kill-switch.md`.",
            "all, broker, tenant, user, account, strategy and instrument",
            "RTS 6 article 12; FIA best practices 2024, 1.5.",
            "tests/faults/test_kill_switch.py",
        ),
    ),
    Entry("Cancel on disconnect", missing=_LATER),
    Entry(
        "Data quality",
        ("REFERENCE_PRICE", "REFERENCE_QUALITY"),
        Elsewhere(
            "While no session with the broker is open no order is taken: BROKER_UNAVAILABLE.",
            "broker",
            "nobody would hear of its fills.",
            "tests/trading/test_batch.py",
        ),
    ),
    Entry("In doubt", ("IN_DOUBT",)),
    Entry(
        "Credit over tenants and the firm",
        missing=f"{_LATER} It needs escrow between accounts.",
    ),
    Entry(
        "Four eyes on a looser limit",
        (),
        Elsewhere(
            "`LimitDesk`: one person tightens, another one than who asks approves what loosens.",
            "all",
            "RTS 6 article 15(6).",
            "tests/persistence/test_limits.py",
        ),
    ),
    Entry(
        "Exposure after the trade",
        (),
        Elsewhere(
            "Monitors beside the order path, which only tighten: exposure, losses, breaks.",
            "account",
            "RTS 6 articles 16(5) and 17.",
            "tests/trading/test_recomputation.py",
        ),
    ),
)
"""The catalogue in its usual order, which numbers it from one."""

_HEAD = (
    "no.",
    "what",
    "control",
    "formula",
    "scope",
    "source",
    "limit",
    "codes",
    "OrdRejReason",
    "test",
)
_SCOPE = re.compile(r"Scope: ([^.]*)\.")
_SOURCE = re.compile(r"Source: (.*)$", re.DOTALL)


def table() -> str:
    """Write the catalogue as a table in Markdown."""
    lines = [_HEAD, ("---",) * len(_HEAD), *_rows()]
    return "".join(
        f"| {' | '.join(cell.replace('|', '\\|') for cell in line)} |\n" for line in lines
    )


def _rows() -> Iterator[tuple[str, ...]]:
    for number, entry in enumerate(CATALOGUE, 1):
        for name in entry.controls:
            yield (str(number), entry.title, *_cells(CONTROLS[name]))
        if (other := entry.elsewhere) is not None:
            told = ("", other.words, other.scope, other.source, "", "", "")
            marked = "-m faults " if other.test.startswith("tests/faults/") else ""
            yield (str(number), entry.title, *told, f"`pytest {marked}{other.test}`")
        if entry.missing:
            yield (str(number), entry.title, "", entry.missing, *[""] * 6)


def _cells(control: Control) -> tuple[str, ...]:
    """Take a control's docstring apart: what comes before the scope is the formula."""
    doc = " ".join(control.doc.split())
    scope, source = _SCOPE.search(doc), _SOURCE.search(doc)
    return (
        f"`{control.name}`",
        doc[: scope.start()].strip() if scope else doc,
        scope[1] if scope else "",
        source[1] if source else "",
        f"`{control.reads}`" if control.reads else "",
        " ".join(f"`{code}`" for code in control.codes),
        control.reason,
        f"`pytest tests/risk -k {control.name}`",
    )
