"""The catalogue of controls, as a risk officer asks for it: what there is, where, and what is not.

The table in docs/risk.md is made here, of the controls themselves: `drawbridge risk table`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from risk.control import CONTROLS, Control


@dataclass(frozen=True, slots=True)
class Entry:
    """A control of the catalogue: the ones here that are it, or in words what is in its place."""

    title: str
    controls: tuple[str, ...] = ()
    elsewhere: str = ""


_LATER = "Not built."

CATALOGUE: tuple[Entry, ...] = (
    Entry("Numeric sanity", ("ORDER_TERMS",)),
    Entry("Tick and lot", ("TICK_SIZE", "LOT_SIZE")),
    Entry("Order type, time in force, currency", ("CAPABILITY", "CURRENCY")),
    Entry("Session calendar", ("SESSION_PHASE", "INSTRUMENT_EXPIRY", "EXPIRE_TIME")),
    Entry(
        "Permission and restricted list",
        ("INSTRUMENT_PERMITTED",),
        "Who may trade an account is asked before: `trading/desk.py`, NOT_FOUND and FORBIDDEN.",
    ),
    Entry("Intent freshness", (), "`RiskGate.readmit`: STALE_INTENT after 30 seconds unsent."),
    Entry("Maximum quantity", ("MAX_ORDER_QTY",)),
    Entry("Maximum value", ("MAX_ORDER_NOTIONAL",)),
    Entry("Price collars", ("PRICE_COLLAR", "PRICE_COLLAR_TICKS", "PRICE_COLLAR_OVER_TIME")),
    Entry("Size against liquidity", (), f"{_LATER} No average volume is kept."),
    Entry("Idempotent command", (), "`Clerk.handle`: one ClOrdID has one effect."),
    Entry("Duplicate content", ("DUPLICATE_ORDER",)),
    Entry("Repeated execution", ("STRATEGY_ORDERS",)),
    Entry("Message rate", ("MESSAGE_RATE",)),
    Entry("Order-to-trade ratio", (), _LATER),
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
        "Sales are marked, `Order.sellsShort`. A locate and the price test of rule 201: not built.",
    ),
    Entry("Oversell", ("OVERSELL",)),
    Entry("Surveillance", (), _LATER),
    Entry("Trading state and kill switch", ("TRADING_STATE",)),
    Entry("Cancel on disconnect", (), _LATER),
    Entry(
        "Data quality",
        ("REFERENCE_PRICE", "REFERENCE_QUALITY"),
        "While the broker's stream is down no order is taken: BROKER_UNAVAILABLE.",
    ),
    Entry("In doubt", ("IN_DOUBT",)),
    Entry("Credit over tenants and the firm", (), f"{_LATER} It needs escrow between accounts."),
    Entry("Four eyes on a looser limit", (), "Limits are data: `trading/limits.py`."),
    Entry("Exposure after the trade", (), "A monitor that only tightens, not a control."),
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
        if entry.elsewhere:
            yield (str(number), entry.title, "", entry.elsewhere, *[""] * 6)


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
