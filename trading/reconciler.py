"""The reconciler: compares our books with the broker's, round by round.

It never trades to mend a difference, and never takes a failed or partial answer for evidence.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from itertools import chain, repeat

from trading.account import Position
from trading.breaks import raise_position_break
from trading.command import CommandState
from trading.ids import AccountID, InstrumentID, WireID
from trading.order import Order
from trading.ports import Broker, BrokerError, BrokerOrder, Clock
from trading.quantity import ZERO, Qty, plain
from trading.reconciliation import differences
from trading.recorder import Compared, Doubted
from trading.store import Reads, Store

logger = logging.getLogger(__name__)

_NS_PER_S = 1_000_000_000
_PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)

type _Holding = tuple[AccountID, InstrumentID]
type _Mismatch = tuple[Qty, Qty, int]
"""Our quantity and the broker's, and the report that last moved ours."""


class Reconciler:
    """Finds what differs. A difference counts when two rounds have seen it, and nothing moved."""

    def __init__(
        self, *, broker: Broker, store: Store, reads: Reads, clock: Clock, answer_within_s: float
    ) -> None:
        """Take both sides; a command unanswered for longer than `answer_within_s` is doubted."""
        self._broker = broker
        self._store = store
        self._reads = reads
        self._clock = clock
        self._answer_within_ns = int(answer_within_s * _NS_PER_S)
        self._suspects: dict[WireID, int] = {}
        self._mismatches: dict[_Holding, _Mismatch] = {}
        self._told: dict[_Holding, _Mismatch] = {}

    async def look(self, accounts: Collection[AccountID]) -> Sequence[Doubted | Compared]:
        """Go one round; return the news to be recorded. Raises StoreUnavailable.

        What the broker will not tell now is asked again next round, and hides nothing else.
        """
        news: list[Doubted | Compared] = [*await self._overdue(accounts)]
        try:
            news += await self._orders(accounts)
            await self._positions(accounts)
        except BrokerError as error:
            logger.warning("the broker could not be compared with: %s", error)
        return news

    async def look_twice(self, accounts: Collection[AccountID]) -> Sequence[Doubted | Compared]:
        """Go two rounds at once, as a stream that may have missed something demands.

        Raises StoreUnavailable.
        """
        first = await self.look(accounts)
        await self._clock.sleep(_PAUSES_S[0])
        return [*first, *await self.look(accounts)]

    async def compare(self, wire_id: WireID, as_of_seq: int) -> Sequence[Compared]:
        """Ask for one order, as a message of which nobody could make sense demands."""
        try:
            theirs = await self._broker.find_order(wire_id)
        except BrokerError as error:
            logger.warning("the broker could not be asked for %s: %s", wire_id, error)
            return []
        if theirs is None:
            logger.error("the broker does not know the order %s, which it had taken", wire_id)
            return []
        return [Compared(wire_id, theirs, as_of_seq)]

    async def inquire(self, wire_id: WireID) -> BrokerOrder | None:
        """Ask for an order until the broker gives a clear answer; a failed query is none."""
        for pause_s in chain(_PAUSES_S, repeat(_PAUSES_S[-1])):
            await self._clock.sleep(pause_s)
            try:
                return await self._broker.find_order(wire_id)
            except BrokerError as error:
                logger.warning("the broker could not be asked for %s: %s", wire_id, error)
        raise AssertionError("the pauses do not end")

    async def _overdue(self, accounts: Collection[AccountID]) -> list[Doubted]:
        """Doubt what was sent long ago without a word since: the stream may be mute."""
        since = self._clock.now() - self._answer_within_ns
        return [
            Doubted(command.wire_id, "the broker's stream has said nothing of it")
            for command in await self._store.open_commands(accounts)
            if command.state is CommandState.SENT and (command.sent_at or 0) < since
        ]

    async def _orders(self, accounts: Collection[AccountID]) -> list[Compared]:
        ours = await self._store.open_orders(accounts)
        snapshot = await self._broker.orders(accounts)
        shown = {order.wire_id: order for order in snapshot.items}
        at = self._clock.now()

        def agrees(order: Order) -> bool:
            theirs = shown.get(order.wire_id)
            return theirs is not None and not differences(order, theirs, at)

        # What has no address yet or is in doubt is asked for elsewhere.
        addressed = [o for o in ours if o.secondary_order_id is not None and not o.in_doubt]
        before = self._suspects
        self._suspects = {o.wire_id: o.last_seq for o in addressed if not agrees(o)}
        return [
            compared
            for wire_id, seq in self._suspects.items()
            if before.get(wire_id) == seq
            for compared in await self.compare(wire_id, seq)
        ]

    async def _positions(self, accounts: Collection[AccountID]) -> None:
        """Raise a break for a position that differs, once for each difference.

        A fill is on its way for a moment, so that a position that moves differs now and then, and
        by the same quantities: what has moved since the last round is no difference yet.
        """
        snapshot = await self._broker.positions(accounts)
        if not snapshot.complete:
            return
        theirs = {(account, symbol): qty for account, symbol, qty in snapshot.items}
        ours = {(p.account_id, p.symbol): p for p in await self._reads.positions(accounts)}
        before, self._mismatches = self._mismatches, {}
        for account_id, symbol in sorted(ours.keys() | theirs.keys()):
            holding = account_id, symbol
            held = ours.get(holding) or Position(account_id=account_id, symbol=symbol)
            shown = theirs.get(holding, ZERO)
            if held.net_qty == shown:
                self._told.pop(holding, None)
                continue
            mismatch = self._mismatches[holding] = held.net_qty, shown, held.as_of_seq
            if before.get(holding) == mismatch != self._told.get(holding):
                await self._raise(holding, mismatch)
                self._told[holding] = mismatch

    async def _raise(self, holding: _Holding, mismatch: _Mismatch) -> None:
        (account_id, symbol), (ours, theirs, _) = holding, mismatch
        detail = f"POSITION: symbol={symbol} ours={plain(ours)} broker={plain(theirs)}"
        logger.error("%s of account %s", detail, account_id)
        await raise_position_break(self._store, self._clock, account_id, detail)
