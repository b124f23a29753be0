"""Monitors: they watch beside the order path, and may tighten trading states but never loosen one.

They run where the session's owner runs. Each decision is recorded with its inputs, as the reason of
the trading state that it sets.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from itertools import batched

from trading.account import Account, TradingState
from trading.books import Books, Wants
from trading.breaks import raise_position_break
from trading.control import TradingStates, subject_of
from trading.controller import ControlDesk
from trading.execution import BreakKind
from trading.ids import AccountID, UserID
from trading.instrument import Catalogue
from trading.losses import beyond, equities
from trading.ports import Clock, Quotes
from trading.recomputation import Recomputation
from trading.scope import Scope, ScopeKind
from trading.store import Evidence, Store, StoreBusy, StoreUnavailable

logger = logging.getLogger(__name__)

ROUND_S = 2.0
"""How often all is looked at: RTS 6 article 16(5) asks for alerts within five seconds."""

REST_S = 0.5
"""How long the order path has at least between two rounds, however long one takes."""

ROUND_MAX_S = 2.25
"""How long a round may take: what moves behind its back is found by the end of the next one."""

MONITOR = UserID("monitor")

GATING = frozenset(set(BreakKind) - {BreakKind.LATE_FILL})
"""Breaks after which an account only reduces; a late fill was recorded as it should be."""

_REASON_MAX = 500
_LOCKED_AT_ONCE = 32
_STEP_S = 0.05
_NS_PER_S = 1_000_000_000


@dataclass(slots=True, kw_only=True)
class Monitor:
    """Looks at exposure, losses, breaks, and at what risk has latched by itself.

    `epoch` is that of the session's owner.
    """

    store: Store
    evidence: Evidence
    control: ControlDesk
    catalogue: Catalogue
    quotes: Quotes
    clock: Clock
    epoch: int
    _told: dict[AccountID, str] = field(default_factory=dict, init=False)
    _recomputation: Recomputation = field(init=False)

    def __post_init__(self) -> None:
        """Begin without a past."""
        self._recomputation = Recomputation(
            evidence=self.evidence, catalogue=self.catalogue, epoch=self.epoch, tell=self._break
        )

    async def run(self, accounts: Sequence[AccountID]) -> None:
        """Go round until canceled; a store that is down is asked again next round."""
        while True:
            began = self.clock.monotonic()
            await self._unless_down(self.round(accounts))
            ended = self.clock.monotonic()
            if (took_s := (ended - began) / _NS_PER_S) > ROUND_MAX_S:
                logger.warning("a round over %d accounts took %.1f s", len(accounts), took_s)
            rests_until = max(began + int(ROUND_S * _NS_PER_S), ended + int(REST_S * _NS_PER_S))
            # What is long goes on in between, in short steps: nothing else waits for its end.
            while self.clock.monotonic() < rests_until:
                await self.clock.sleep(_STEP_S)
                await self._unless_down(self._recomputation.step())

    async def _unless_down(self, work: Awaitable[None]) -> None:
        try:
            await work
        except StoreUnavailable as error:
            logger.warning("the monitors see nothing while the store is down: %s", error)

    async def round(self, accounts: Sequence[AccountID]) -> None:
        """Look at everything once."""
        states = await self.store.scopes.trading_states()
        seen = await self.evidence.books(accounts)
        for account in seen.accounts.values():
            await self._adopt(account, states)
        moved = await self._watch_losses(seen, states)
        await self._recomputation.look(seen)
        await self._watch_breaks(accounts, states)
        await self._remember(moved)

    async def _tighten(self, account_id: AccountID, state: TradingState, reason: str) -> None:
        scope = Scope(ScopeKind.ACCOUNT, account_id)
        if await self.control.tighten(scope, state, reason[:_REASON_MAX], MONITOR):
            logger.error("%s is %s: %s", scope, state, reason)

    async def _adopt(self, account: Account, states: TradingStates) -> None:
        """Have what risk has latched on an account's row stand as that account's own state."""
        if not _is_latched(account, states):
            return
        # Its row is of a later moment than the states. Those that were set meanwhile are no latch.
        if _is_latched(account, await self.store.scopes.trading_states()):
            reason = f"LATCHED: state={account.trading_state} by risk, in the commit of a refusal"
            await self._tighten(account.id, account.trading_state, reason)

    # --- exposure --------------------------------------------------------------------------------

    async def _break(self, account_id: AccountID, detail: str) -> None:
        await self._tighten(account_id, TradingState.REDUCING, detail)
        if self._told.get(account_id) == detail:
            return
        await raise_position_break(self.store, self.clock, account_id, detail)
        self._told[account_id] = detail

    # --- losses ----------------------------------------------------------------------------------

    async def _watch_losses(self, seen: Books, states: TradingStates) -> Sequence[AccountID]:
        """Reduce an account that has lost too much, whether or not it places an order.

        Return the accounts of which something is to be remembered.
        """
        # Nobody else asks for the marks of what is held while there is no order.
        self.quotes.want({each.symbol for each in seen.positions.values() if each.net_qty})
        at, moved = self.clock.now(), list[AccountID]()
        worths = equities(seen, at)
        for account in seen.accounts.values():
            worth = worths[account.id]
            conduct = account.conduct.observed(worth, at)
            if conduct is not account.conduct:
                moved.append(account.id)
            if states.state(Scope(ScopeKind.ACCOUNT, account.id)) is not TradingState.ACTIVE:
                continue
            if found := "; ".join(beyond(conduct, worth, seen.limits_of(account.id), at)):
                await self._tighten(account.id, TradingState.REDUCING, found)
        return moved

    async def _remember(self, moved: Sequence[AccountID]) -> None:
        """Keep the begin and the peak of equity in the account's row, where risk finds them too."""
        for accounts in batched(moved, _LOCKED_AT_ONCE):
            try:
                await self._observe(frozenset(accounts))
            except StoreBusy as error:
                # What is locked for long is left for the next round, and stalls no stranger.
                logger.warning("the equity of %s is not remembered: %s", ", ".join(accounts), error)

    async def _observe(self, accounts: frozenset[AccountID]) -> None:
        async with self.store.transaction() as transaction:
            await transaction.lock(accounts)
            books = await transaction.load(Wants(accounts=accounts))
            at = self.clock.now()
            for account_id, worth in equities(books, at).items():
                conduct = books.accounts[account_id].conduct.observed(worth, at)
                books.put_conduct(account_id, conduct)
            await transaction.save(books)

    # --- breaks ----------------------------------------------------------------------------------

    async def _watch_breaks(self, accounts: Sequence[AccountID], states: TradingStates) -> None:
        """Reduce an account with a break that nobody has looked at: released since, that is."""
        for each in await self.evidence.newest_breaks(accounts, GATING):
            if each.account_id is None:
                continue
            row = states.current.get(Scope(ScopeKind.ACCOUNT, each.account_id))
            if row is None or each.raised_at > row.changed_at:
                reason = f"OPEN_BREAK: kind={each.kind} detail={each.detail}"
                await self._tighten(each.account_id, TradingState.REDUCING, reason)


def _is_latched(account: Account, states: TradingStates) -> bool:
    """Whether an account is stricter than its scopes, though it has followed each of them."""
    covering = states.covering(subject_of(account))
    newest = max((row.epoch for row in covering), default=0)
    is_stricter = account.trading_state.strictness > states.over(subject_of(account)).strictness
    return is_stricter and account.scope_epoch == newest
