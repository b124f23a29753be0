"""Risk decisions: every check with its inputs, so that the verdict can be replayed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum, unique

from trading.reject import OrdRejReason


@unique
class Verdict(StrEnum):
    """What one check said."""

    PASS = "PASS"  # noqa: S105 - a verdict, not a password
    REFUSE = "REFUSE"


type Inputs = Mapping[str, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One control's verdict on one order.

    `inputs` are all that the verdict rests on, numbers in plain digits and instants in UTC
    nanoseconds. `limit`, `used` (after this order) and `headroom` share the control's unit.
    """

    name: str
    verdict: Verdict
    inputs: Inputs
    code: str | None = None
    text: str | None = None
    reason: OrdRejReason | None = None
    limit: Decimal | None = None
    used: Decimal | None = None

    @property
    def headroom(self) -> Decimal | None:
        """What is left below the limit; negative beyond it."""
        if self.limit is None or self.used is None:
            return None
        return self.limit - self.used


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskDecision:
    """The verdict on one command, under one version of the limits."""

    checks: tuple[Check, ...]
    limits_version: int
    decided_at: int

    @property
    def accepted(self) -> bool:
        """Whether no check refused."""
        return self.refusal is None

    @property
    def refusal(self) -> Check | None:
        """The first check that refused, which gives the order its reason."""
        return next((c for c in self.checks if c.verdict is Verdict.REFUSE), None)
