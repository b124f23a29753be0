"""A probe that keeps what it hears."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from trading.outcome import GatewayError
from trading.probe import Leg


@dataclass
class FakeSpan:
    """A leg as a probe hears of it."""

    leg: Leg
    parent: str | None
    traceparent: str | None
    about: dict[str, Any] = field(default_factory=dict)
    ended: int = 0

    def tell(self, **about: str | int) -> None:
        self.about |= about

    def end(self, **about: str | int) -> None:
        self.tell(**about)
        self.ended += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.end(**({"outcome": error.code} if isinstance(error, GatewayError) else {}))


class FakeProbe:
    """Keeps every leg of a trace."""

    def __init__(self) -> None:
        self.legs: list[FakeSpan] = []

    def begin(
        self, leg: Leg, parent: str | None = None, at: int | None = None, /, **about: str | int
    ) -> FakeSpan:
        del at
        span = FakeSpan(leg, parent, parent and f"{parent}/{leg}", dict(about))
        if parent is not None:
            self.legs.append(span)
        return span

    def told(self) -> list[tuple[str, str | None, Any]]:
        """Return the legs with their parents and outcomes, each of which has ended once."""
        assert [each.ended for each in self.legs] == [1] * len(self.legs)
        return [(each.leg, each.parent, each.about.get("outcome")) for each in self.legs]
