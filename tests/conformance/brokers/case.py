"""Numbered cases: what each is called, what goes wrong in it, and which adapters it is for."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from brokers.faults import Fault, FaultKind, FaultScript, Operation
from tests.conformance.brokers.office import Office
from trading.ports import Capabilities

SESSION_FAULTS = frozenset({FaultKind.TOKEN_EXPIRY, FaultKind.EVICTION, FaultKind.MAINTENANCE})


def _always(capabilities: Capabilities) -> bool:
    del capabilities
    return True


@dataclass(frozen=True, slots=True)
class Case:
    """One case. `fits` says whether an adapter that can do this much has to pass it."""

    number: int
    title: str
    faults: FaultScript
    fits: Callable[[Capabilities], bool]
    run: Callable[[Office], Awaitable[None]]

    @property
    def sessions(self) -> frozenset[FaultKind]:
        """The faults of sessions in it, which not every broker knows."""
        return frozenset(each.kind for each in self.faults.faults) & SESSION_FAULTS


CASES: dict[int, Case] = {}


def case(
    number: int,
    title: str,
    *faults: Fault,
    fits: Callable[[Capabilities], bool] = _always,
) -> Callable[[Callable[[Office], Awaitable[None]]], None]:
    """Register what follows under a number, which it keeps for ever."""

    def register(run: Callable[[Office], Awaitable[None]]) -> None:
        assert number not in CASES, f"the number {number} is taken"
        CASES[number] = Case(number, title, FaultScript(faults), fits, run)

    return register


def fault(kind: FaultKind, operation: Operation, nth: int = 1, **terms: Any) -> Fault:
    """Make a fault that strikes once."""
    return Fault(kind=kind, operation=operation, nth=nth, **terms)


def numbered() -> Mapping[int, Case]:
    """Return all cases in their order."""
    # Imported here, for they register themselves.
    from tests.conformance.brokers import faulty, orders, restarts, sessions  # noqa: F401, PLC0415

    return dict(sorted(CASES.items()))
