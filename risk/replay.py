"""Replaying decisions: the same inputs give the same verdicts, or something has been changed."""

from __future__ import annotations

from dataclasses import fields

from risk.control import CONTROLS
from trading.decision import Check, RiskDecision


def difference(decision: RiskDecision) -> str | None:
    """Judge all inputs of a decision again; say what first differs from what is stored, or None."""
    return next((found for check in decision.checks if (found := _difference(check))), None)


def _difference(check: Check) -> str | None:
    if (control := CONTROLS.get(check.name)) is None:
        return f"control={check.name}: there is none of this name"
    try:
        again = control.replay(check.inputs)
    except (LookupError, TypeError, ValueError, ArithmeticError) as error:
        return f"control={check.name}: its inputs cannot be judged: {error!r}"
    if again == check:
        return None
    for each in fields(check):
        stored, judged = getattr(check, each.name), getattr(again, each.name)
        if stored != judged:
            return f"control={check.name}: {each.name} was stored as {stored}, and is {judged}"
    return None
