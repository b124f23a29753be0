"""Deciding: every control on one case. What is judged is written out when somebody reads it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import overload

from risk.control import CONTROLS, LIMIT, Control, Facts, Finding, text
from risk.facts import FACTS
from trading.decision import Check, Form, Found, Judged, RiskDecision
from trading.quantity import plain


def decide(facts: Facts, limits_version: int, at: int) -> RiskDecision:
    """Evaluate every control, also after a refusal: the decision tells all that is wrong."""
    controls = tuple(CONTROLS.values())
    findings = [each.judge(*each.pick(facts)) for each in controls]
    judged = Findings(controls, facts, findings)
    return RiskDecision(checks=judged, limits_version=limits_version, decided_at=at)


class Findings(Judged):
    """What controls found in the same facts."""

    __slots__ = ("_checks", "_controls", "_facts", "_findings", "_form")

    def __init__(
        self, controls: tuple[Control, ...], facts: Facts, findings: Sequence[Finding]
    ) -> None:
        """Take a finding for each control."""
        self._controls, self._facts, self._findings = controls, facts, findings
        self._checks: tuple[Check, ...] | None = None
        self._form = _form(tuple([each.name for each in controls]))

    @property
    def form(self) -> Form:
        """What was asked."""
        return self._form

    @property
    def refusal(self) -> Check | None:
        """The first check that refused."""
        for control, finding in zip(self._controls, self._findings, strict=True):
            if finding.code is not None:
                return control.written(finding, control.inputs(self._facts))
        return None

    def facts(self) -> list[str | None]:
        """Return the facts in the form's order, each put into words once."""
        facts = self._facts
        return [text(facts[name]) for name in self.form.facts]

    def found(self) -> list[Found]:
        """Return what each control came to."""
        return [
            _passed(finding) if finding.code is None else self._refused(control, finding)
            for control, finding in zip(self._controls, self._findings, strict=True)
        ]

    def _refused(self, control: Control, finding: Finding) -> Found:
        check = control.written(finding, control.inputs(self._facts))
        return _passed(finding)._replace(code=check.code, text=check.text, reason=check.reason)

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


_NOTHING = Found()


def _passed(finding: Finding) -> Found:
    _, limit, used = finding
    if limit is None and used is None:
        return _NOTHING
    return Found(None if limit is None else plain(limit), None if used is None else plain(used))


@cache
def _form(controls: tuple[str, ...]) -> Form:
    asked = [CONTROLS[name] for name in controls]
    names = dict.fromkeys(fact for each in asked for fact in each.facts)
    places = {name: at for at, name in enumerate(names)}
    checks = tuple(
        (each.name, tuple((name, places[fact]) for name, fact in each.names)) for each in asked
    )
    return Form(facts=tuple(names), checks=checks)


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
