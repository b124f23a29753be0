"""Whether a change of limits permits anywhere, at any time, what was refused before."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from trading.ids import AccountID
from trading.instrument import Catalogue, SecurityType
from trading.limits import Limit, LimitName, LimitScope, LimitSet, Whose, is_stricter


@dataclass(frozen=True, slots=True)
class Loosened:
    """A place, and what was and would be in force there; None is no limit, which refuses."""

    place: LimitScope
    name: LimitName
    before: Limit | None
    after: Limit


@dataclass(frozen=True, slots=True)
class World:
    """What scopes lie within which: whose the accounts are, and of what type the instruments."""

    accounts: Mapping[AccountID, Whose]
    catalogue: Catalogue

    def place(self, scope: LimitScope) -> LimitScope | None:
        """Say all that a scope implies, so that it can be looked up; None where it has no order."""
        said: dict[str, Any] = {}
        if scope.account_id is not None:
            whose = self.accounts.get(scope.account_id)
            if whose is None:
                return None
            said = {"tenant_id": whose.tenant_id, "broker": whose.broker}
        instrument = None if scope.symbol is None else self.catalogue.get(scope.symbol)
        if instrument is not None:
            said["security_type"] = instrument.security_type
        return _joined(scope, LimitScope(**said))

    def bare(
        self, within: LimitScope, name: LimitName, known: LimitSet, at: int
    ) -> LimitScope | None:
        """Return a place within another where orders can be and a limit is not set, or None."""
        for account_id, whose in self.accounts.items():
            if not within.reaches(account_id, whose):
                continue
            mine = self.common(within, LimitScope(account_id=account_id))
            if mine is None or known.is_set(mine, name, at):
                continue
            if (place := self._bare(mine, name, known, at)) is not None:
                return place
        return None

    def _bare(
        self, mine: LimitScope, name: LimitName, known: LimitSet, at: int
    ) -> LimitScope | None:
        """Look among the instruments, of whole types at once where a limit is set for a type."""
        kinds = {each: replace(mine, security_type=each) for each in SecurityType}
        bare = {each for each, place in kinds.items() if not known.is_set(place, name, at)}
        for instrument in self.catalogue:
            place = self.common(mine, LimitScope(symbol=instrument.id))
            if place is None or instrument.security_type not in bare:
                continue
            if not known.is_set(place, name, at):
                return place
        return None

    def common(self, one: LimitScope, other: LimitScope) -> LimitScope | None:
        """Return the place that lies in both scopes, or None where no order does."""
        both = _joined(one, other)
        return None if both is None else self.place(both)


def loosened(
    before: LimitSet,
    after: LimitSet,
    changed: Collection[tuple[LimitScope, LimitName]],
    world: World,
    now: int,
) -> Loosened | None:
    """Return a place where a change loosens, or None where it only tightens.

    What is in force is compared at every instant from now on at which anything changes by the
    clock. Where nothing was set, it counts whether an account and an instrument that there are come
    under the first limit; elsewhere those yet to come count as well.

    Not all places need comparing. Where a limit was the strictest and is now less strict, it was
    changed; with a value of its own left, its scope alone shows the difference, and without one,
    its scope together with that of the limit which has become the strictest.
    """
    for at in (now, *sorted({*before.instants(now), *after.instants(now)})):
        for scope, name in changed:
            for place in _places(scope, name, after, world, at):
                was = before.strictest(place, at).get(name)
                becomes = after.strictest(place, at).get(name)
                if becomes is None:
                    continue
                if was is not None and is_stricter(was, becomes):
                    return Loosened(place, name, was, becomes)
                if was is None and (bare := world.bare(place, name, before, at)) is not None:
                    return Loosened(bare, name, None, becomes)
    return None


def _places(
    scope: LimitScope, name: LimitName, after: LimitSet, world: World, at: int
) -> Iterator[LimitScope]:
    if (alone := world.place(scope)) is not None:
        yield alone
    if after.own(scope, name, at) is None:
        for other in after.scopes(name):
            if (place := world.common(scope, other)) is not None:
                yield place


def _joined(one: LimitScope, other: LimitScope) -> LimitScope | None:
    """Say what both scopes say, or None where they contradict each other."""
    said: dict[str, Any] = {}
    for each in fields(LimitScope):
        values = {getattr(one, each.name), getattr(other, each.name)} - {None}
        if len(values) > 1:
            return None
        said[each.name] = next(iter(values), None)
    return LimitScope(**said)
