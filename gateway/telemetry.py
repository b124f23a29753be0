"""Traces by OpenTelemetry: legs become spans, sent in batches by a thread, within bounds.

What a span may tell is listed here by name, and redacted: no text of a document, no variable, no
token, no address. Names are those of OpenTelemetry's semantic conventions 1.44 where they have one.
"""

from __future__ import annotations

import logging
from asyncio import CancelledError
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from threading import Thread
from types import TracebackType
from typing import Self

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gateway.assembly import VERSION
from gateway.config import Settings
from security.redaction import redact
from trading.probe import NO_SPAN, Leg, Span

logger = logging.getLogger(__name__)

_END_WITHIN_S = 2.0
_TEXT_MAX = 128

_UNNAMED = "GraphQL Operation"
"""An operation, until its type is known."""

type Attributes = Mapping[str, str | int]

_KINDS: Mapping[Leg, tuple[str, SpanKind, Attributes]] = {
    Leg.REQUEST: (_UNNAMED, SpanKind.SERVER, {"http.route": "/graphql"}),
    Leg.OPERATION: (
        _UNNAMED,
        SpanKind.SERVER,
        {"network.protocol.name": "websocket"},
    ),
    Leg.EVENT: ("subscription event", SpanKind.INTERNAL, {}),
    Leg.DESK: ("desk", SpanKind.INTERNAL, {}),
    Leg.TRANSACTION: ("transaction", SpanKind.CLIENT, {}),
    Leg.SUBMIT: ("submit", SpanKind.CLIENT, {}),
    Leg.RECORD: ("record", SpanKind.INTERNAL, {}),
    Leg.PUBLISH: (
        "publish reports",
        SpanKind.PRODUCER,
        {"messaging.operation.name": "publish", "messaging.operation.type": "send"},
    ),
}
"""The name and kind of each leg's span, and what all of them tell alike."""

_ROOTS = frozenset({Leg.REQUEST, Leg.OPERATION, Leg.EVENT})

_NAMES = {
    "method": "http.request.method",
    "status": "http.response.status_code",
    "operation_type": "graphql.operation.type",
    "operation_name": "graphql.operation.name",
    "document": "drawbridge.document.sha256",
    "followers": "drawbridge.followers",
    "commands": "drawbridge.batch.commands",
    "broker": "drawbridge.broker",
    "command": "drawbridge.command.kind",
    "attempt": "drawbridge.command.attempt",
    "reports": "drawbridge.reports",
    "channel": "messaging.destination.name",
    "outcome": "drawbridge.outcome",
}
"""All that is ever told, by the names that it has within and without: nothing else is."""

_PROPAGATOR = TraceContextTextMapPropagator()


@contextmanager
def exported(settings: Settings) -> Iterator[OtelProbe]:
    """Export by OTLP over HTTP, as OpenTelemetry's variables say; wait briefly at the end."""
    # What these say at each try is said once for an outage, below.
    for name in ("opentelemetry.exporter", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    provider = TracerProvider(resource=_resource(settings), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(_Told(OTLPSpanExporter())))
    logger.info("traces are exported")
    try:
        yield OtelProbe(provider, is_shared=settings.is_shared)
    finally:
        # By a thread that may be left behind: a collector that hangs holds up no end.
        ending = Thread(target=provider.shutdown, name="traces-end", daemon=True)
        ending.start()
        ending.join(_END_WITHIN_S)
        if ending.is_alive():
            logger.warning("the last traces were not taken within %g s", _END_WITHIN_S)


def _resource(settings: Settings) -> Resource:
    ours = {
        "service.name": "drawbridge",
        "service.version": VERSION,
        "deployment.environment.name": settings.environment.value,
        "drawbridge.role": settings.role.value,
    }
    # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES have the last word.
    return Resource.create(ours).merge(OTELResourceDetector().detect())


class _Told(SpanExporter):
    """An exporter that says once for each outage that spans are lost."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._is_failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        is_failing = result is not SpanExportResult.SUCCESS
        if is_failing and not self._is_failing:
            logger.warning("traces are not taken by their collector: they are lost until they are")
        elif self._is_failing and not is_failing:
            logger.info("traces are taken again")
        self._is_failing = is_failing
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


class OtelProbe:
    """The `Probe` that makes a span of each leg, where its trace is sampled."""

    def __init__(self, provider: TracerProvider, *, is_shared: bool = False) -> None:
        """Take who makes spans; where the process is one of many, other systems have a part."""
        self._tracer = provider.get_tracer("drawbridge", VERSION)
        store, bus = ("postgresql", "rabbitmq") if is_shared else ("sqlite", "in_process")
        also: Mapping[Leg, Attributes] = {
            Leg.TRANSACTION: {"db.system.name": store},
            Leg.PUBLISH: {"messaging.system": bus},
        }
        self._alike = {leg: {**alike, **also.get(leg, {})} for leg, (_, _, alike) in _KINDS.items()}

    def begin(
        self, leg: Leg, parent: str | None = None, at: int | None = None, /, **about: str | int
    ) -> Span:
        """Begin a span, of the trace that is named or else of a new one, if that is sampled."""
        try:
            return self._begin(leg, parent, at, about)
        except Exception as error:  # noqa: BLE001 - an order is on its way
            _complain(error)
            return NO_SPAN

    def _begin(self, leg: Leg, parent: str | None, at: int | None, about: Attributes) -> Span:
        if parent is None and leg not in _ROOTS:
            return NO_SPAN
        name, kind, _ = _KINDS[leg]
        context = Context()
        if parent is not None:
            context = _PROPAGATOR.extract({"traceparent": parent}, context)
        attributes = {**self._alike[leg], **_listed(about)}
        span = self._tracer.start_span(name, context, kind, attributes, start_time=at)
        if not span.is_recording():
            return NO_SPAN
        return _Recorded(span, is_named_later=name == _UNNAMED)


class _Recorded:
    """A span that is recorded."""

    __slots__ = ("_is_named_later", "_span", "traceparent")

    def __init__(self, span: trace.Span, *, is_named_later: bool) -> None:
        self._span, self._is_named_later = span, is_named_later
        context = span.get_span_context()
        self.traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-01"

    def tell(self, **about: str | int) -> None:
        """Set attributes."""
        try:
            self._tell(about)
        except Exception as error:  # noqa: BLE001 - an order is on its way
            _complain(error)

    def _tell(self, about: Attributes) -> None:
        span = self._span
        if not about or not span.is_recording():
            return
        span.set_attributes(_listed(about))
        if self._is_named_later and "operation_type" in about:
            span.update_name(str(about["operation_type"]))
        status = about.get("status")
        if about.get("outcome") == "INTERNAL" or (isinstance(status, int) and status >= 500):
            self._fail(str(about.get("outcome", status)))
        if (error := about.get("error")) is not None:
            self._fail(str(error))

    def end(self, **about: str | int) -> None:
        """End the span, unless it has ended."""
        self.tell(**about)
        try:
            if self._span.is_recording():
                self._span.end()
        except Exception as error:  # noqa: BLE001 - an order is on its way
            _complain(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        match error:
            case None:
                self.end()
            case CancelledError() | GeneratorExit():
                self.end(outcome="CANCELED")
            case _:
                if isinstance(code := getattr(error, "code", None), str):
                    self.end(outcome=code)
                else:
                    # Its name alone: its words may quote anything.
                    self.end(error=type(error).__name__)

    def _fail(self, code: str) -> None:
        self._span.set_status(Status(StatusCode.ERROR))
        self._span.set_attribute("error.type", _clean(code))


_COMPLAINED: set[str] = set()


def _complain(error: Exception) -> None:
    """Say once of each kind of defect that spans are lost by it."""
    if (kind := type(error).__name__) not in _COMPLAINED:
        _COMPLAINED.add(kind)
        logger.error("spans are lost by a defect", exc_info=error)


def _listed(about: Attributes) -> Attributes:
    return {_NAMES[name]: _clean(value) for name, value in about.items() if name in _NAMES}


def _clean(value: str | int) -> str | int:
    return _redacted(value) if isinstance(value, str) else value


@lru_cache(maxsize=1024)
def _redacted(text: str) -> str:
    return redact(text)[:_TEXT_MAX]
