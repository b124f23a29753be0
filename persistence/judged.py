"""How the checks of a decision are kept: their facts once, and what each of them came to.

A row of `decision_forms` says what was asked; it is the same for all decisions of a release, and
its id is the digest of its text. Decisions of releases that knew of no forms are kept as a list of
whole checks, with each check's inputs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from trading.decision import Check, Form, Found, Judged, Verdict, written_out
from trading.reject import OrdRejReason

_FORMS_KEPT = 64


class Facts(NamedTuple):
    """What is kept of a decision, as it was read: nothing without its form."""

    facts: Sequence[str | None]
    found: Sequence[Sequence[Any]]

    def under(self, form: str | None) -> tuple[Check, ...]:
        """Write the checks out. Raises ValueError where the form is missing."""
        if form is None:
            raise ValueError("a decision is kept without the form of its checks")
        return written_out(_form(form), self.facts, [_found(each) for each in self.found])


class Checks(TypeDecorator[Sequence[Check] | Facts]):
    """The checks of a risk decision, as JSON with decimals in plain digits."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(
        self, value: Sequence[Check] | Facts | None, dialect: Dialect
    ) -> str | None:
        """Write the checks."""
        del dialect
        if value is None:
            return None
        if isinstance(value, Judged):
            kept = {"facts": value.facts(), "found": [_shortened(each) for each in value.found()]}
            return orjson.dumps(kept).decode()
        return orjson.dumps([each.plain() for each in value if isinstance(each, Check)]).decode()

    def process_result_value(
        self, value: str | None, dialect: Dialect
    ) -> Sequence[Check] | Facts | None:
        """Read the checks, or what is kept of them."""
        del dialect
        if value is None:
            return None
        kept = orjson.loads(value)
        return Facts(**kept) if isinstance(kept, dict) else tuple(map(_check_of_json, kept))


@lru_cache(_FORMS_KEPT)
def form_row(form: Form) -> dict[str, str]:
    """Return the row of a form."""
    text = orjson.dumps([form.facts, form.checks]).decode()
    return {"id": hashlib.sha256(text.encode()).hexdigest()[:32], "form": text}


@lru_cache(_FORMS_KEPT)
def _form(text: str) -> Form:
    facts, checks = orjson.loads(text)
    return Form(
        facts=tuple(facts),
        checks=tuple((name, tuple((each, at) for each, at in inputs)) for name, inputs in checks),
    )


def _shortened(found: Found) -> Sequence[str | None]:
    if found.code is not None:
        return list(found)
    return () if found.limit is None and found.used is None else (found.limit, found.used)


def _found(kept: Sequence[Any]) -> Found:
    found = Found(*kept)
    return found if found.reason is None else found._replace(reason=OrdRejReason(found.reason))


def _check_of_json(check: dict[str, Any]) -> Check:
    return Check(
        name=check["name"],
        verdict=Verdict(check["verdict"]),
        inputs=check["inputs"],
        code=check["code"],
        text=check["text"],
        reason=None if check["reason"] is None else OrdRejReason(check["reason"]),
        limit=None if check["limit"] is None else Decimal(check["limit"]),
        used=None if check["used"] is None else Decimal(check["used"]),
    )
