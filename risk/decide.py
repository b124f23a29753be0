"""Deciding: every control on one case. What is judged is written out when somebody reads it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

from risk.control import CONTROLS, LIMIT, Control, Facts, Finding, sentence, text
from risk.facts import FACTS
from trading.decision import Check, Judged, PlainCheck, RiskDecision, Verdict
from trading.quantity import plain


def decide(facts: Facts, limits_version: int, at: int) -> RiskDecision:
    """Evaluate every control, also after a refusal: the decision tells all that is wrong."""
    controls = tuple(CONTROLS.values())
    findings = [each.judge(*each.pick(facts)) for each in controls]
    judged = Findings(controls, facts, findings)
    return RiskDecision(checks=judged, limits_version=limits_version, decided_at=at)


class Findings(Judged):
    """What controls found in the same facts."""

    __slots__ = ("_checks", "_controls", "_facts", "_findings")

    def __init__(
        self, controls: tuple[Control, ...], facts: Facts, findings: Sequence[Finding]
    ) -> None:
        """Take a finding for each control."""
        self._controls, self._facts, self._findings = controls, facts, findings
        self._checks: tuple[Check, ...] | None = None

    @property
    def refusal(self) -> Check | None:
        """The first check that refused."""
        for control, finding in zip(self._controls, self._findings, strict=True):
            if finding.code is not None:
                return control.written(finding, control.inputs(self._facts))
        return None

    def plain(self) -> list[PlainCheck]:
        """Return all checks as they are stored; each fact is put into words once."""
        words = {name: text(value) for name, value in self._facts.items()}
        return [
            self._plain(control, finding, words)
            for control, finding in zip(self._controls, self._findings, strict=True)
        ]

    def _plain(
        self, control: Control, finding: Finding, words: dict[str, str | None]
    ) -> PlainCheck:
        code, limit, used = finding
        inputs = {name: words[fact] for name, fact in control.names}
        return {
            "name": control.name,
            "verdict": Verdict.PASS if code is None else Verdict.REFUSE,
            "inputs": inputs,
            "code": code,
            "text": None if code is None else sentence(code, inputs),
            "reason": None if code is None else control.reason,
            "limit": None if limit is None else plain(limit),
            "used": None if used is None else plain(used),
        }

    def _written(self) -> tuple[Check, ...]:
        if self._checks is None:
            self._checks = tuple(
                control.written(finding, control.inputs(self._facts))
                for control, finding in zip(self._controls, self._findings, strict=True)
            )
        return self._checks

    @overload
    def __getitem__(self, index: int) -> Check: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Check, ...]: ...

    def __getitem__(self, index: int | slice) -> Check | tuple[Check, ...]:
        """Return a check, or several."""
        return self._written()[index]

    def __len__(self) -> int:
        """Return how many checks there are."""
        return len(self._controls)

    def __iter__(self) -> Iterator[Check]:
        """Go through the checks."""
        return iter(self._written())

    def __eq__(self, other: object) -> bool:
        """Whether the checks are the same as those of another sequence."""
        if not isinstance(other, Sequence):
            return NotImplemented
        return self._written() == tuple(other)

    def __hash__(self) -> int:
        """Hash the checks' names: their inputs are mappings."""
        return hash(tuple(control.name for control in self._controls))


def see_that_all_have_facts() -> None:
    """Raise AssertionError for a control that takes nothing, or what is no fact and no limit."""
    strangers = [
        name
        for name, each in CONTROLS.items()
        if not each.types
        or set(each.types) - set(FACTS) - {LIMIT}
        or (LIMIT in each.types) != (each.reads is not None)
    ]
    if strangers:
        raise AssertionError(f"controls without inputs: {', '.join(strangers)}")
