"""What every gateway has alike, put together of parts that differ."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from typing import Protocol

from brokers.calendars import provide
from gateway.background import Background
from gateway.config import PAPER, Settings
from gateway.haltfile import HaltFile, halt_file
from gateway.identity import Identity
from gateway.links import link_desk
from gateway.system import SystemClock, TimeOrderedIds
from persistence.errors import StoreRefused
from persistence.store import SqlStore
from resolvers.context import Context
from resolvers.root import Schema
from risk.gate import RiskGate
from schema.context import Gateway as GatewayInfo
from security.authentication import Authentication
from security.development import DevelopmentIssuer
from security.lookup import Lookup
from security.rates import Rates
from security.revocation import RevocationWatch
from security.sealing import open_keys
from serving.document import Registry
from serving.refusals import Refusals
from trading.batch import CommandQueue, Session
from trading.clerk import Clerk
from trading.controller import ControlDesk
from trading.desk import OrderDesk
from trading.emergency import EmergencyDesk, KnownOrders
from trading.ids import AccountID
from trading.instrument import Catalogue
from trading.limitdesk import LimitDesk
from trading.linkdesk import LinkDesk
from trading.monitor import Monitor
from trading.permission import Principal
from trading.permit import Permits
from trading.ports import Broker, Doorbell, MarketClock, Prices, Quotes, Streams
from trading.probe import Probe
from trading.recorder import Recorder
from trading.revocation import RevocationDesk
from trading.sealing import Sealer
from trading.session import BrokerSession
from trading.winddown import WindDown

logger = logging.getLogger(__name__)

VERSION = version("drawbridge")


class PricedQuotes(Quotes, Prices, Protocol):
    """Quotes that can also be had ready in the store, before a transaction locks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What differs from one kind of gateway to another."""

    settings: Settings
    clock: SystemClock
    ids: TimeOrderedIds
    market: MarketClock
    catalogue: Catalogue
    store: SqlStore
    broker: Broker
    identity: Identity
    doorbell: Doorbell
    quotes: PricedQuotes
    streams: Streams
    permits: Permits
    control: ControlDesk
    probe: Probe
    known: KnownOrders = field(default_factory=KnownOrders)
    emergency: EmergencyDesk | None = None

    def gate(self) -> RiskGate:
        """Make the risk gate."""
        return RiskGate({self.settings.broker: self.broker.capabilities}, self.market)

    def halt_file(self) -> HaltFile:
        """Look for the halt file for a first time, before anything can leave."""
        path = halt_file(self.settings.data)
        file = HaltFile(path=path, permits=self.permits, control=self.control, clock=self.clock)
        file.look()
        return file

    def monitor(self, epoch: int) -> Monitor:
        """Make what watches beside the order path, for an epoch of the session's lease."""
        return Monitor(
            store=self.store,
            evidence=self.store.evidence,
            control=self.control,
            catalogue=self.catalogue,
            quotes=self.quotes,
            clock=self.clock,
            epoch=epoch,
        )

    def sealer(self) -> Sealer:
        """Make what seals the audit record. Raises KeysRefused."""
        keys = open_keys(self.settings.audit_keys, self.settings.data)
        keys.check()
        return Sealer(seals=self.store.audit, signer=keys, clock=self.clock)

    def wind_down(self) -> WindDown:
        """Make what cancels and closes where a trading state says so."""
        return WindDown(
            broker=self.broker,
            store=self.store,
            reads=self.store.reads,
            clerk=Clerk(self.gate(), self.ids),
            prices=self.quotes,
            doorbell=self.doorbell,
            clock=self.clock,
            ids=self.ids,
        )

    def session(self, epoch: int = 1) -> BrokerSession:
        """Make the broker's session for an epoch of its lease."""
        return BrokerSession(
            broker=self.broker,
            store=self.store,
            reads=self.store.reads,
            recorder=Recorder(self.gate(), resends=self.broker.capabilities.dedupes_wire_id),
            permits=self.permits,
            doorbell=self.doorbell,
            clock=self.clock,
            epoch=epoch,
            known=self.known,
            wind_down=self.wind_down(),
            monitor=self.monitor(epoch),
            probe=self.probe,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A gateway that runs: what its endpoint needs of it."""

    authentication: Authentication
    revocations: RevocationWatch
    rates: Rates
    refusals: Refusals
    issuer: DevelopmentIssuer | None
    """Where nobody else is the issuer."""
    session: Session
    clock: SystemClock
    ids: TimeOrderedIds
    schema: Schema
    registry: Registry
    new_context: Callable[[Principal], Context]
    probe: Probe
    catalogue: Catalogue
    failed: asyncio.Event
    """Set when a part of it has died, and the process must end to be started again."""

    @property
    def is_ready(self) -> bool:
        """Whether orders are taken."""
        return self.session.is_open and not self.failed.is_set()


def linked_accounts(settings: Settings) -> Sequence[AccountID]:
    """Return the accounts that a broker elsewhere serves; none is as many as there are."""
    return () if settings.broker == PAPER else tuple(settings.broker_accounts)


async def check_brokers(store: SqlStore, settings: Settings) -> None:
    """Raise StoreRefused for a store with accounts of a broker that this gateway does not have."""
    others = sorted(set(await store.brokers()) - {settings.broker})
    if others:
        raise StoreRefused(
            f"this store has accounts at {', '.join(others)}, and this gateway is one to"
            f" {settings.broker}: use another store, or set DRAWBRIDGE_BROKER"
        )


def provide_calendars(catalogue: Catalogue, market: MarketClock) -> None:
    """Load the calendars that instruments name; orders for one without are refused."""
    for name in {instrument.calendar for instrument in catalogue}:
        try:
            provide([name], market.now())
        except LookupError as error:
            logger.warning("instruments cannot be traded: %s", error)


@asynccontextmanager
async def assembled(
    parts: Parts, session: Session, background: Background
) -> AsyncIterator[Gateway]:
    """Open the desks over a session; on the exit, commit what is queued and take no more."""
    clerk = Clerk(parts.gate(), parts.ids)
    queue = CommandQueue(
        store=parts.store,
        clerk=clerk,
        catalogue=parts.catalogue,
        sessions={parts.settings.broker: session},
        quotes=parts.quotes,
        doorbell=parts.doorbell,
        clock=parts.clock,
        known=parts.known,
        permits=parts.permits,
        probe=parts.probe,
    )
    schema = Schema(parts.settings.bounds)
    registry = Registry(parts.store.documents, schema, parts.clock)
    await registry.refresh()
    authentication = parts.identity.authentication(Lookup(parts.store.directory), parts.clock)
    revocations = RevocationWatch(parts.store.directory, parts.clock)
    revocations.tell(authentication.forget)
    links = link_desk(parts.settings, parts.store, parts.clock, parts.ids)
    background.start(registry.run(), revocations.run(), links.run())
    context = _context(parts, queue, clerk, schema, links)
    queue.start()
    try:
        yield Gateway(
            rates=parts.identity.rates,
            refusals=Refusals(parts.store.audit, parts.clock),
            authentication=authentication,
            revocations=revocations,
            issuer=parts.identity.development,
            session=session,
            clock=parts.clock,
            ids=parts.ids,
            schema=schema,
            registry=registry,
            probe=parts.probe,
            catalogue=parts.catalogue,
            new_context=lambda principal: context(
                principal=principal, reads=parts.store.reads_of(principal.tenant_id)
            ),
            failed=background.failed,
        )
    finally:
        await queue.stop()


def _context(
    parts: Parts, queue: CommandQueue, clerk: Clerk, schema: Schema, links: LinkDesk
) -> Callable[..., Context]:
    return partial(
        Context,
        desk=OrderDesk(
            queue=queue,
            clerk=clerk,
            store=parts.store,
            reads=parts.store.reads,
            catalogue=parts.catalogue,
            prices=parts.quotes,
            clock=parts.clock,
            emergency=parts.emergency,
        ),
        control=parts.control,
        limits=LimitDesk(
            store=parts.store.limits,
            catalogue=parts.catalogue,
            clock=parts.clock,
            ids=parts.ids,
        ),
        revocations=RevocationDesk(store=parts.store.directory, clock=parts.clock),
        acts=parts.store.audit,
        links=links,
        streams=parts.streams,
        quotes=parts.quotes,
        catalogue=parts.catalogue,
        gateway=GatewayInfo(
            environment=parts.settings.environment,
            version=VERSION,
            brokers=[parts.broker.capabilities],
            clock=parts.clock,
            market_clock=parts.market,
            document_cache=schema.documents.counts,
        ),
        ids=parts.ids,
    )
