"""Risk decisions."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import strawberry

import trading.decision
from schema.definition import enum, field, noun
from schema.reject import OrdRejReason
from schema.scalar import Instant
from trading.decision import Verdict
from trading.permission import Permission

enum(
    Verdict,
    "What one check said.",
    PASS="Within the limit.",  # noqa: S106 - a verdict, not a password
    REFUSE="Beyond it, or it could not be told.",
)


@dataclass(frozen=True, slots=True)
class Input:
    """One of the inputs of a check."""

    name: str
    value: str | None


def _inputs(check: strawberry.Parent[trading.decision.Check]) -> Sequence[Input]:
    return [Input(name, value) for name, value in check.inputs.items()]


@noun("An input that a verdict rests on.", requires=Permission.ORDERS_READ, of=Input)
class RiskCheckInput:
    name: str = field("Its name.")
    value: str | None = field(
        "Numbers in plain digits, instants in UTC nanoseconds; null where it was missing."
    )


@noun(
    "One control's verdict on one order.",
    requires=Permission.ORDERS_READ,
    of=trading.decision.Check,
)
class RiskCheck:
    name: str = field("The control.")
    verdict: Verdict = field("What it said.")
    code: str | None = field("Why it refused, for programs.")
    text: str | None = field("Why it refused, for people.")
    reason: OrdRejReason | None = field("OrdRejReason(103) that a refusal gives the order.")
    limit: Decimal | None = field("The limit, in the control's own unit.")
    used: Decimal | None = field("How much of it is used with this order.")
    headroom: Decimal | None = field("What is left; negative beyond the limit.")
    inputs: list[RiskCheckInput] = field(
        "All that the verdict rests on: from these it can be replayed.", resolver=_inputs
    )


@noun(
    "The verdict of risk on one order, under one version of the limits.",
    requires=Permission.ORDERS_READ,
    of=trading.decision.RiskDecision,
)
class RiskDecision:
    accepted: bool = field("Whether no check refused.")
    checks: list[RiskCheck] = field("Every check that was made, in order.")
    limits_version: int = field("The version of the account's limits that it rests on.")
    decided_at: Instant = field("When it was decided.")
