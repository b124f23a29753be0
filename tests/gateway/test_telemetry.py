"""Spans of operations, over HTTP and over sockets: what they tell, and what they never do."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from gateway.config import ConfigError
from gateway.telemetry import _COMPLAINED, OtelProbe, _Told
from gateway.tracing import is_asked_for
from resolvers.root import Schema
from tests.gateway.documents import PLACE
from tests.resolvers.fakes import World
from tests.serving.asgi import endpoint, operations, post
from tests.serving.served import REPORTS, serving
from trading.probe import Leg

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"
UNSAMPLED = f"00-{TRACE}-{SPAN}-00"
ORDER = {
    "accountId": "ours",
    "clOrdId": "p1",
    "symbol": "AAPL",
    "side": "BUY",
    "ordType": "MARKET",
    "orderQty": "1",
}


class Traced:
    """A probe, and the spans that have ended."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.probe = OtelProbe(provider)

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        return self._exporter.get_finished_spans()

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]


@pytest.fixture
def traced() -> Traced:
    return Traced()


@pytest.fixture(scope="module")
def schema() -> Schema:
    return Schema()


@pytest.fixture
def world() -> World:
    return World()


def attributes(span: ReadableSpan) -> Mapping[str, Any]:
    return {**span.attributes} if span.attributes else {}


def ids(span: ReadableSpan) -> tuple[str, str | None]:
    """Return the trace, and the span above."""
    context, parent = span.get_span_context(), span.parent
    assert context is not None
    return f"{context.trace_id:032x}", f"{parent.span_id:016x}" if parent else None


def document(text: str) -> str:
    return Schema().documents.get(text).sha256


# --- HTTP ---


async def test_an_order_goes_on_with_the_trace_of_its_request(
    world: World, schema: Schema, traced: Traced
) -> None:
    http = endpoint(operations(world, schema, probe=traced.probe))
    body = {"query": PLACE, "variables": {"input": ORDER}}
    assert (await post(http, body, traceparent=PARENT)).status == 200

    [span] = traced.spans
    assert (span.name, ids(span)) == ("mutation", (TRACE, SPAN))
    # Nothing of what the client has sent.
    assert attributes(span) == {
        "http.route": "/graphql",
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "graphql.operation.type": "mutation",
        "drawbridge.document.sha256": document(PLACE),
        "drawbridge.outcome": "OK",
    }
    [(_, command, _)] = world.desk.commands
    context = span.get_span_context()
    assert context is not None
    assert command.traceparent == f"00-{TRACE}-{context.span_id:016x}-01"


@pytest.mark.parametrize(
    ("body", "headers", "status", "outcome"),
    [
        ({"query": "query Who { viewer { userId } }"}, {}, 200, "OK"),
        ({"query": "{ nothing }"}, {}, 200, "GRAPHQL_VALIDATION_FAILED"),
        ({"query": "{ order(id: 1.5) { id } }"}, {}, 200, "BAD_USER_INPUT"),
        ({"query": 1}, {}, 400, "BAD_REQUEST"),
        ({"query": "{ viewer { userId } }"}, {"authorization": "no"}, 401, "UNAUTHENTICATED"),
    ],
)
async def test_a_span_tells_how_it_ended(
    world: World,
    schema: Schema,
    traced: Traced,
    body: Any,
    headers: dict[str, str],
    status: int,
    outcome: str,
) -> None:
    http = endpoint(operations(world, schema, probe=traced.probe))
    assert (await post(http, body, **headers)).status == status

    [span] = traced.spans
    found = attributes(span)
    assert (found["http.response.status_code"], found["drawbridge.outcome"]) == (status, outcome)
    assert found.get("graphql.operation.name") == ("Who" if outcome == "OK" else None)
    assert span.status.status_code is StatusCode.UNSET


async def test_a_defect_is_an_error(world: World, schema: Schema, traced: Traced) -> None:
    world.desk.answer = TypeError("hunter2")
    http = endpoint(operations(world, schema, probe=traced.probe))
    await post(http, {"query": PLACE, "variables": {"input": ORDER}})

    [span] = traced.spans
    assert span.status.status_code is StatusCode.ERROR
    assert (attributes(span)["error.type"], span.status.description) == ("INTERNAL", None)
    assert "hunter2" not in span.to_json()


async def test_what_is_not_sampled_goes_on_untraced(
    world: World, schema: Schema, traced: Traced
) -> None:
    http = endpoint(operations(world, schema, probe=traced.probe))
    body = {"query": PLACE, "variables": {"input": ORDER}}
    await post(http, body, traceparent=UNSAMPLED)

    assert traced.spans == ()
    [(_, command, _)] = world.desk.commands
    assert command.traceparent is None


@pytest.mark.parametrize("wrong", ["", "x", f"ff-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01"])
async def test_a_header_that_is_none_begins_a_trace(
    world: World, schema: Schema, traced: Traced, wrong: str
) -> None:
    http = endpoint(operations(world, schema, probe=traced.probe))
    await post(http, {"query": "{ viewer { userId } }"}, traceparent=wrong)

    [span] = traced.spans
    trace, parent = ids(span)
    assert (trace != TRACE, parent) == (True, None)


# --- sockets ---


async def test_operations_of_a_socket_are_of_its_trace_or_of_their_own(traced: Traced) -> None:
    async with serving(probe=traced.probe) as served:
        client = await served.raw()
        payload = {"authorization": "Bearer trader", "traceparent": PARENT}
        await client.send({"type": "connection_init", "payload": payload})
        await client.next()
        await client.subscribe("query A { viewer { userId } }", "a")
        await client.next()
        await client.next()
        own = {"traceparent": f"00-{'1' * 32}-{'2' * 16}-01"}
        order = {"variables": {"input": ORDER}, "extensions": own}
        await client.subscribe(PLACE, "b", **order)
        await client.next()
        await client.next()
        await client.subscribe("{ nothing }", "c")
        await client.next()

    found = [
        (span.name, *ids(span), attributes(span)["drawbridge.outcome"]) for span in traced.spans
    ]
    assert found == [
        ("query", TRACE, SPAN, "OK"),
        ("mutation", "1" * 32, "2" * 16, "OK"),
        ("GraphQL Operation", TRACE, SPAN, "GRAPHQL_VALIDATION_FAILED"),
    ]
    [(_, command, _)] = served.world.desk.commands
    assert command.traceparent.startswith(f"00-{'1' * 32}-")


async def test_an_event_is_one_span_for_all_who_follow_it(traced: Traced) -> None:
    async with serving(probe=traced.probe) as served:
        clients = [await served.client() for _ in range(3)]
        for client in clients:
            await client.subscribe(REPORTS)
            await client.still()
        served.streams.tell()
        for client in clients:
            assert (await client.next())["type"] == "next"
        # A next one shows that the one before has been told to all.
        served.streams.tell()
        for client in clients:
            await client.next()

        assert len(traced.named("subscription")) == 3  # once they have joined
    event, *_ = traced.named("subscription event")
    assert attributes(event) == {
        "graphql.operation.type": "subscription",
        "drawbridge.document.sha256": document(REPORTS),
        "drawbridge.followers": 3,
    }
    assert len(traced.named("subscription event")) == 2


# --- what is told ---


def test_what_is_told_is_redacted_and_short(traced: Traced) -> None:
    with traced.probe.begin(Leg.SUBMIT, PARENT, broker="token=hunter2", outcome="x" * 9_999):
        pass

    [span] = traced.spans
    assert attributes(span)["drawbridge.broker"] == "token=[redacted]"
    assert len(attributes(span)["drawbridge.outcome"]) < 200


def test_what_is_not_listed_is_not_told(traced: Traced) -> None:
    with traced.probe.begin(Leg.SUBMIT, PARENT, account="hunter2", attempt=1):
        pass

    [span] = traced.spans
    assert attributes(span) == {"drawbridge.command.attempt": 1}


def test_an_error_is_told_by_its_kind_alone(traced: Traced) -> None:
    with pytest.raises(ConnectionError), traced.probe.begin(Leg.DESK, PARENT):
        raise ConnectionError("hunter2")

    [span] = traced.spans
    assert attributes(span)["error.type"] == "ConnectionError"
    assert "hunter2" not in span.to_json()
    assert span.events == ()


def test_nothing_is_told_of_an_order_without_a_trace(traced: Traced) -> None:
    with traced.probe.begin(Leg.DESK) as span:
        assert span.traceparent is None

    assert traced.spans == ()


def test_a_span_that_has_ended_says_nothing_more(
    traced: Traced, caplog: pytest.LogCaptureFixture
) -> None:
    span = traced.probe.begin(Leg.OPERATION)
    span.end(outcome="OK")
    span.end(outcome="CANCELED")
    span.tell(outcome="CANCELED")

    [ended] = traced.spans
    assert attributes(ended)["drawbridge.outcome"] == "OK"
    assert caplog.records == []


class Broken:
    """A tracer, and a span, of which every call fails."""

    def __getattr__(self, name: str) -> Any:
        raise MemoryError(name)


def test_a_defect_of_tracing_fails_no_order(
    traced: Traced, caplog: pytest.LogCaptureFixture
) -> None:
    _COMPLAINED.clear()
    with traced.probe.begin(Leg.DESK, PARENT) as span:
        span._span = Broken()  # type: ignore[attr-defined]
        span.tell(outcome="OK")
    traced.probe._tracer = cast("Any", Broken())
    with traced.probe.begin(Leg.DESK, PARENT) as span:
        assert span.traceparent is None

    [record] = caplog.records
    assert record.getMessage() == "spans are lost by a defect"


class Fickle(SpanExporter):
    """An exporter that a test lets fail."""

    is_up = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        del spans
        return SpanExportResult.SUCCESS if self.is_up else SpanExportResult.FAILURE


def test_an_outage_of_the_collector_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    fickle = Fickle()
    told = _Told(fickle)
    for is_up in (False, False, True, True, False):
        fickle.is_up = is_up
        told.export(())

    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO", "WARNING"]


# --- whether ---

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


@pytest.mark.parametrize(
    ("variables", "is_on"),
    [
        ({}, False),
        (ENDPOINT, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://c/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, False),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        (ENDPOINT | {"OTEL_TRACES_SAMPLER_ARG": "0.01"}, True),
    ],
)
def test_traces_are_off_unless_they_are_asked_for(variables: dict[str, str], is_on: bool) -> None:  # noqa: FBT001
    assert is_asked_for(variables) is is_on


@pytest.mark.parametrize(
    ("name", "text", "remedy"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "user:hunter2@collector", "begins with http://"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://[hunter2", "begins with http://"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "say otlp"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "say http/protobuf"),
        ("OTEL_TRACES_SAMPLER", "often", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "2", "from 0 to 1"),
        ("OTEL_TRACES_SAMPLER_ARG", "NaN", "from 0 to 1"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "-1", "from 1 on"),
    ],
)
def test_a_variable_that_is_wrong_is_refused_by_name(name: str, text: str, remedy: str) -> None:
    with pytest.raises(ConfigError, match=remedy) as refused:
        is_asked_for(ENDPOINT | {name: text})

    assert str(refused.value).startswith(f"{name}: ")
    assert "hunter2" not in str(refused.value)
