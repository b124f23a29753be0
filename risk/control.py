"""What a control is: a pure function of stored inputs, registered under its name."""

from __future__ import annotations

import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from operator import itemgetter
from typing import NamedTuple

from trading.decision import Check, Inputs, Verdict
from trading.limits import LimitName
from trading.quantity import ZERO, Px, plain
from trading.reject import OrdRejReason

type Value = Decimal | int | bool | str | StrEnum | None
type Facts = Mapping[str, object]
"""All that controls may ask about one order, by the names of their parameters."""

_CODE = re.compile(r"(?!LIMIT_NOT_SET|REFERENCE_MISSING)[A-Z]+(_[A-Z]+)*")
_SHOWN = Decimal("0.0000000001")

LIMIT = "limit"
"""The parameter that takes the limit which a control reads."""


class Finding(NamedTuple):
    """What a control found: a code where it refuses, the limit, and what is used of it."""

    code: str | None = None
    limit: Decimal | None = None
    used: Decimal | None = None


PASSED = Finding()
LIMIT_NOT_SET = "LIMIT_NOT_SET"
REFERENCE_MISSING = "REFERENCE_MISSING"


def at_most(limit: Decimal | None, used: Decimal | None, code: str) -> Finding:
    """Refuse by a code what uses more than the limit; also where one of them is not known."""
    if limit is None:
        return Finding(LIMIT_NOT_SET)
    if used is None:
        return Finding(REFERENCE_MISSING, limit)
    return Finding(code if used > limit else None, limit, used)


@dataclass(frozen=True)
class Control:
    """One control: its name, the FIX reason of its refusals, its function and the inputs' types.

    `reads` is the limit that its parameter `limit` takes; every other parameter is a fact.
    """

    name: str
    reason: OrdRejReason
    judge: Callable[..., Finding]
    types: Mapping[str, object]
    reads: LimitName | None = None

    @property
    def doc(self) -> str:
        """Formula, unit, scope and source: a line for each paragraph."""
        paragraphs = (self.judge.__doc__ or "").split("\n\n")
        return "\n\n".join(" ".join(each.split()) for each in paragraphs).strip()

    @cached_property
    def codes(self) -> tuple[str, ...]:
        """The codes that its function names, in their order; those of all controls left out."""
        code, known = self.judge.__code__, self.judge.__globals__
        named = [known.get(each) for each in code.co_names]
        found = [each for each in (*code.co_consts, *named) if isinstance(each, str)]
        return tuple(each for each in dict.fromkeys(found) if _CODE.fullmatch(each))

    @cached_property
    def names(self) -> tuple[tuple[str, str], ...]:
        """The names of its inputs, each with that of the fact."""
        return tuple(zip(self.types, self.facts, strict=True))

    @cached_property
    def facts(self) -> tuple[str, ...]:
        """The facts that it takes, in the order of its parameters; a limit is one by its name."""
        return tuple(self.reads or each if each == LIMIT else each for each in self.types)

    @cached_property
    def pick(self) -> Callable[[Facts], tuple[object, ...]]:
        """Take its inputs out of the facts, as fast as can be."""
        if len(self.facts) > 1:
            return itemgetter(*self.facts)
        [only] = self.facts
        return lambda facts: (facts[only],)

    @cached_property
    def _readers(self) -> Mapping[str, Callable[[str], Value]]:
        """How each stored input is read back as the type that the function declares."""
        return {name: _reader(hint) for name, hint in self.types.items()}

    def check(self, **inputs: Value) -> Check:
        """Judge these inputs, and keep them with the verdict."""
        stored = {name: text(value) for name, value in inputs.items()}
        return self.written(self.judge(**inputs), stored)

    def refusal(self, facts: Facts) -> str | None:
        """Judge facts by this control alone; return why it refuses, or None."""
        code = self.judge(*self.pick(facts)).code
        return None if code is None else sentence(code, self.inputs(facts))

    def inputs(self, facts: Facts) -> dict[str, str | None]:
        """Put its inputs into words."""
        return {name: text(facts[fact]) for name, fact in self.names}

    def replay(self, stored: Inputs) -> Check:
        """Judge stored inputs again: the same inputs give the same verdict.

        Raises LookupError, TypeError or ValueError for inputs that are not this control's.
        """
        read = self._readers
        inputs = {name: None if each is None else read[name](each) for name, each in stored.items()}
        return self.written(self.judge(**inputs), stored)

    def written(self, finding: Finding, stored: Inputs) -> Check:
        """Write a finding out, with the inputs that it rests on."""
        refused = finding.code is not None
        return Check(
            name=self.name,
            verdict=Verdict.REFUSE if refused else Verdict.PASS,
            inputs=stored,
            code=finding.code,
            text=sentence(finding.code, stored) if finding.code else None,
            reason=self.reason if refused else None,
            limit=finding.limit,
            used=finding.used,
        )


def distance(price: Px | None, stop_px: Px | None, reference_px: Px) -> Px:
    """Return how far the price or the stop price is from a reference, whichever is farther."""
    by_price = ZERO if price is None else abs(price - reference_px)
    return by_price if stop_px is None else max(by_price, abs(stop_px - reference_px))


def collared(
    price: Px | None,
    stop_px: Px | None,
    reference_px: Px | None,
    limit: Decimal | None,
    code: str,
) -> Finding:
    """Refuse by a code a price that is farther from a reference than a fraction of it."""
    if limit is None:
        return Finding(LIMIT_NOT_SET)
    if reference_px is None or reference_px == ZERO:
        return Finding(REFERENCE_MISSING, limit)
    away, whole = distance(price, stop_px, reference_px), abs(reference_px)
    # The fraction is for people, and rounded: what decides is exact.
    return Finding(code if away > limit * whole else None, limit, (away / whole).quantize(_SHOWN))


CONTROLS: dict[str, Control] = {}
"""All controls by name, in the order of their definition, which is that of their evaluation."""


def control[**P](
    reason: OrdRejReason, reads: LimitName | None = None
) -> Callable[[Callable[P, Finding]], Control]:
    """Register a pure function as a control, under its own name in capitals."""

    def register(judge: Callable[P, Finding]) -> Control:
        types = typing.get_type_hints(judge)
        types.pop("return")
        made = Control(judge.__name__.upper(), reason, judge, types, reads)
        CONTROLS[made.name] = made
        return made

    return register


def sentence(code: str, inputs: Inputs) -> str:
    """Say why a control refuses, as `CODE: key=value`."""
    return f"{code}: " + " ".join(f"{k}={v}" for k, v in inputs.items() if v is not None)


def text(value: object) -> str | None:
    """Write an input as it is stored."""
    # In the order of how often they come: this is asked eighty times an order.
    if value is None:
        return None
    if type(value) is Decimal:
        return plain(value)
    if type(value) is bool:
        return "true" if value else "false"
    return str(value)


def _reader(hint: object) -> Callable[[str], Value]:
    """Return what reads a stored input back. Raises TypeError for what no control can take."""
    kinds = typing.get_args(hint) or (hint,)
    kind = next(k for k in kinds if k is not type(None))
    if kind is bool:
        return _TRUTH.__getitem__
    if isinstance(kind, type) and issubclass(kind, (Decimal, int, str)):
        return kind
    raise TypeError(f"a control cannot take {kind}")


_TRUTH = {"true": True, "false": False}
