"""What a control is: a pure function of stored inputs, registered under its name."""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from trading.decision import Check, Inputs, Verdict
from trading.quantity import plain
from trading.reject import OrdRejReason

type Value = Decimal | int | bool | str | StrEnum | None


@dataclass(frozen=True, slots=True)
class Finding:
    """What a control found: a code where it refuses, the limit, and what is used of it."""

    code: str | None = None
    limit: Decimal | None = None
    used: Decimal | None = None


PASSED = Finding()


@dataclass(frozen=True, slots=True)
class Control:
    """One control: its name, the FIX reason of its refusals, its function and the inputs' types."""

    name: str
    reason: OrdRejReason
    judge: Callable[..., Finding]
    types: Mapping[str, object]

    @property
    def doc(self) -> str:
        """Formula, unit, scope and source."""
        return (self.judge.__doc__ or "").strip()

    def check(self, **inputs: Value) -> Check:
        """Judge these inputs, and keep them with the verdict."""
        return self._check(inputs, {name: _text(value) for name, value in inputs.items()})

    def replay(self, stored: Inputs) -> Check:
        """Judge stored inputs again: the same inputs give the same verdict."""
        return self._check({n: _value(t, self.types[n]) for n, t in stored.items()}, stored)

    def _check(self, inputs: Mapping[str, Value], stored: Inputs) -> Check:
        finding = self.judge(**inputs)
        refused = finding.code is not None
        return Check(
            name=self.name,
            verdict=Verdict.REFUSE if refused else Verdict.PASS,
            inputs=stored,
            code=finding.code,
            text=_sentence(finding.code, stored) if finding.code else None,
            reason=self.reason if refused else None,
            limit=finding.limit,
            used=finding.used,
        )


CONTROLS: dict[str, Control] = {}
"""All controls by name, in the order of their definition, which is that of their evaluation."""


def control[**P](
    reason: OrdRejReason,
) -> Callable[[Callable[P, Finding]], Control]:
    """Register a pure function as a control, under its own name in capitals."""

    def register(judge: Callable[P, Finding]) -> Control:
        types = typing.get_type_hints(judge)
        types.pop("return")
        made = Control(judge.__name__.upper(), reason, judge, types)
        CONTROLS[made.name] = made
        return made

    return register


def _sentence(code: str, inputs: Inputs) -> str:
    return f"{code}: " + " ".join(f"{k}={v}" for k, v in inputs.items() if v is not None)


def _text(value: Value) -> str | None:
    match value:
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case Decimal():
            return plain(value)
        case _:
            return str(value)


def _value(text: str | None, hint: object) -> Value:
    """Read a stored input back as the type that its control declares."""
    if text is None:
        return None
    kinds = typing.get_args(hint) or (hint,)
    kind = next(k for k in kinds if k is not type(None))
    if kind is bool:
        return text == "true"
    if isinstance(kind, type) and issubclass(kind, (Decimal, int, str)):
        return kind(text)
    raise TypeError(f"a control cannot take {kind}")
