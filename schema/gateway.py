"""The gateway, and the brokers behind it."""

import schema.context
import trading.ports
from schema import scalar
from schema.context import Gateway
from schema.definition import enum, field, noun
from schema.order import OrdType, TimeInForce
from schema.scalar import Instant
from trading.instrument import SecurityType
from trading.permission import Permission
from trading.ports import Environment, ReplaceModel, Replay

enum(
    Environment,
    "What a gateway, its tokens, its store and its credentials belong to.",
    SIM="Simulated: the paper exchange in the process.",
    PAPER="Brokers' paper trading.",
    LIVE="Real money.",
)

enum(
    ReplaceModel,
    "What a broker's replace does with its id of the order.",
    SAME_ID="It stays.",
    NEW_ID="It changes.",
    NONE="The broker cannot replace.",
)

enum(
    Replay,
    "What a broker's stream brings again after a break; the rest is found by comparing books.",
    CURSOR="Everything, from the last event that was recorded.",
    FILLS="Fills.",
    NONE="Nothing.",
)


@noun("What a broker can do.", requires=Permission.GATEWAY_READ, of=trading.ports.Capabilities)
class BrokerCapabilities:
    broker: str = field("Its name.")
    environment: Environment = field("The environment that it belongs to.")
    ord_types: list[OrdType] = field("The order types that it takes.")
    times_in_force: list[TimeInForce] = field("The times in force that it takes.")
    replace: ReplaceModel = field("How it replaces.")
    dedupes_wire_id: bool = field("Whether it refuses the second use of an order's id for ever.")
    proves_absence: bool = field("Whether its 'not found' shows that an order was never accepted.")
    trade_cancels: bool = field("Whether it may undo or correct fills.")
    replay: Replay = field("What its stream brings again after a break.")
    security_types: list[SecurityType] = field("The kinds of instruments that it trades.")


@noun(
    "Documents that this process keeps ready; registered ones are kept beside them.",
    requires=Permission.GATEWAY_READ,
    of=schema.context.DocumentCache,
)
class DocumentCache:
    hits: scalar.Sequence = field("How often a document was ready.")
    misses: scalar.Sequence = field("How often one had to be parsed, measured and validated.")
    size: int = field("How many are ready.")


@noun("This gateway.", requires=Permission.GATEWAY_READ, of=Gateway)
class GatewayInfo:
    environment: Environment = field("The environment that it belongs to.")
    version: str = field("Its version.")
    time: Instant = field("Its clock.")
    market_time: Instant = field("The market's clock: a replay of quotes sets its own.")
    brokers: list[BrokerCapabilities] = field("The brokers behind it.")
    document_cache: DocumentCache = field("How well its cache of documents serves.")
