"""Risk decisions: every check with its inputs, so that the verdict can be replayed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum, unique

from trading.quantity import plain
from trading.reject import OrdRejReason


@unique
class Verdict(StrEnum):
    """What one check said."""

    PASS = "PASS"  # noqa: S105 - a verdict, not a password
    REFUSE = "REFUSE"


type Inputs = Mapping[str, str | None]
type PlainCheck = dict[str, str | dict[str, str | None] | None]


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

    def plain(self) -> PlainCheck:
        """Return it as it is stored: of texts alone."""
        return {
            "name": self.name,
            "verdict": self.verdict,
            "inputs": dict(self.inputs),
            "code": self.code,
            "text": self.text,
            "reason": self.reason,
            "limit": None if self.limit is None else plain(self.limit),
            "used": None if self.used is None else plain(self.used),
        }


class Judged(Sequence[Check]):
    """Checks whose verdicts stand, and which are written out when somebody reads them.

    An order waits for the verdicts alone: writing takes longer than judging.
    """

    @property
    @abstractmethod
    def refusal(self) -> Check | None:
        """The first check that refused."""

    @abstractmethod
    def plain(self) -> list[PlainCheck]:
        """Return all checks as they are stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskDecision:
    """The verdict on one command, under one version of the limits."""

    checks: Sequence[Check]
    limits_version: int
    decided_at: int

    @property
    def accepted(self) -> bool:
        """Whether no check refused."""
        return self.refusal is None

    @property
    def refusal(self) -> Check | None:
        """The first check that refused, which gives the order its reason."""
        if isinstance(self.checks, Judged):
            return self.checks.refusal
        return next((c for c in self.checks if c.verdict is Verdict.REFUSE), None)
