"""Stages for the adapters of this repository, all of them over the paper exchange."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

from brokers.conformance import Setting, Stage, Staging, TrueOrder
from brokers.faults import FaultKind
from brokers.paper.broker import PaperBroker
from brokers.paper.venue import JOURNAL, Venue
from brokers.tradovate.simulator.book import label
from tests.brokers.alpaca import Alpaca, simulated
from tests.brokers.tradovate import Tradovate
from tests.brokers.tradovate import simulated as simulated_tradovate
from trading.ids import InstrumentID, WireID
from trading.ports import Broker, Environment
from trading.quantity import Qty
from trading.quote import Quote


class PaperTruth:
    """What a paper exchange truly has, behind whatever wire."""

    suffers: Collection[FaultKind] = ()

    def __init__(self, venue: Venue) -> None:
        self.venue = venue

    def orders(self) -> Sequence[TrueOrder]:
        ledger = self.venue._exchange._ledger
        return [
            TrueOrder(
                wire_id=each.wire_id,
                symbol=each.symbol,
                side=each.side,
                status=each.status,
                order_qty=each.order_qty,
                price=each.price,
                trades=[
                    (trade.last_qty, trade.last_px)
                    for trade in ledger.executions.values()
                    if trade.wire_id == each.wire_id
                ],
            )
            for each in ledger.orders.values()
        ]

    def positions(self) -> Mapping[InstrumentID, Qty]:
        held = self.venue._exchange._ledger.positions
        return {symbol: qty for (_, symbol), qty in held.items() if qty}


class PaperStage(PaperTruth):
    """The exchange in this process, whose one adapter closes and opens it."""

    def __init__(self, venue: Venue, broker: PaperBroker) -> None:
        super().__init__(venue)
        self._broker = broker

    def broker(self) -> Broker:
        return self._broker

    def show(self, quote: Quote) -> None:
        self._broker.on_quote(quote)

    async def close(self) -> None:
        await self._broker.close()


async def paper(setting: Setting) -> Stage:
    venue = Venue(
        journal=setting.folder / JOURNAL,
        environment=Environment.SIM,
        catalogue=setting.catalogue,
        clock=setting.clock,
        market=setting.clock,
        faults=setting.faults,
    )
    return PaperStage(venue, PaperBroker(venue, setting.clock))


class AlpacaStage(PaperTruth):
    """The simulator of Alpaca on a socket."""

    def __init__(self, alpaca: Alpaca, setting: Setting, stack: AsyncExitStack) -> None:
        super().__init__(alpaca.simulator.venue)
        self._alpaca, self._setting, self._stack = alpaca, setting, stack

    def broker(self) -> Broker:
        return self._alpaca.broker(self._setting.account_id)

    def show(self, quote: Quote) -> None:
        self._alpaca.simulator.on_quote(quote)

    async def close(self) -> None:
        await self._stack.aclose()


def alpaca(*, replays: bool) -> Staging:
    async def staged(setting: Setting) -> Stage:
        stack = AsyncExitStack()
        served = await stack.enter_async_context(
            simulated(setting.folder, setting.catalogue, setting.faults, replays=replays)
        )
        return AlpacaStage(served, setting, stack)

    return staged


class TradovateStage(PaperTruth):
    """The simulator of Tradovate on a socket."""

    suffers = (FaultKind.TOKEN_EXPIRY, FaultKind.EVICTION, FaultKind.MAINTENANCE)

    def __init__(self, made: Tradovate, setting: Setting, stack: AsyncExitStack) -> None:
        super().__init__(made.simulator.venue)
        self._made, self._setting, self._stack = made, setting, stack

    def broker(self) -> Broker:
        return self._made.broker(self._setting.account_id)

    def show(self, quote: Quote) -> None:
        self._made.simulator.on_quote(quote)

    def orders(self) -> Sequence[TrueOrder]:
        """Return orders by their labels: the exchange has another id of one that came again."""
        found = super().orders()
        named = Counter(label(each.wire_id) for each in found)
        return [
            replace(each, wire_id=WireID(plain)) if plain and named[plain] == 1 else each
            for each in found
            for plain in [label(each.wire_id)]
        ]

    async def close(self) -> None:
        await self._stack.aclose()


async def tradovate(setting: Setting) -> Stage:
    stack = AsyncExitStack()
    served = await stack.enter_async_context(
        simulated_tradovate(setting.folder, setting.catalogue, setting.faults)
    )
    return TradovateStage(served, setting, stack)


STAGES: Mapping[str, Staging] = {
    "paper": paper,
    "alpaca": alpaca(replays=True),
    "alpaca (socket)": alpaca(replays=False),
    "tradovate": tradovate,
}
"""The stages of this repository, as the table in docs/brokers.md names them."""
