"""Risk decisions: every check with its inputs, so that the verdict can be replayed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum, unique
from typing import NamedTuple

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


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Form:
    """What the checks of a release ask: their names, and of which facts each takes its inputs.

    `checks` has for each the pairs of an input's name and the place of its fact in `facts`. There
    is one for all decisions of a process, which is known by being the same object.
    """

    facts: tuple[str, ...]
    checks: tuple[tuple[str, tuple[tuple[str, int], ...]], ...]


class Found(NamedTuple):
    """What one check came to, in texts; a check that passed may have a limit and what is used."""

    limit: str | None = None
    used: str | None = None
    code: str | None = None
    text: str | None = None
    reason: OrdRejReason | None = None


class Judged(Sequence[Check]):
    """Checks whose verdicts stand, and which are written out when somebody reads them.

    An order waits for the verdicts alone: writing takes longer than judging. They rest on facts
    that most of them share, and are kept as those facts and what was found.
    """

    @property
    @abstractmethod
    def refusal(self) -> Check | None:
        """The first check that refused."""

    @property
    @abstractmethod
    def form(self) -> Form:
        """What was asked."""

    @abstractmethod
    def facts(self) -> list[str | None]:
        """Return the facts in the form's order."""

    @abstractmethod
    def found(self) -> list[Found]:
        """Return what each check of the form came to."""


def written_out(
    form: Form, facts: Sequence[str | None], found: Sequence[Found]
) -> tuple[Check, ...]:
    """Write out the checks of a form. Raises LookupError or ValueError for what is not its own."""
    return tuple(
        Check(
            name=name,
            verdict=Verdict.PASS if each.code is None else Verdict.REFUSE,
            inputs={name: facts[at] for name, at in inputs},
            code=each.code,
            text=each.text,
            reason=each.reason,
            limit=None if each.limit is None else Decimal(each.limit),
            used=None if each.used is None else Decimal(each.used),
        )
        for (name, inputs), each in zip(form.checks, found, strict=True)
    )


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
