"""A collector of traces for tests: takes OTLP over HTTP, and says what spans came."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

BOUND_S = 60


@dataclass(frozen=True, slots=True)
class Came:
    """A span that came, and which process it came from."""

    name: str
    trace: str
    id: str
    parent: str
    attributes: dict[str, Any]
    role: str


@dataclass(slots=True)
class Collector:
    """Where the spans are that came."""

    url: str
    bodies: list[bytes] = field(default_factory=list)

    @property
    def spans(self) -> Sequence[Came]:
        return [span for body in [*self.bodies] for span in _spans(body)]

    def trace(self, trace: str) -> Sequence[Came]:
        return [span for span in self.spans if span.trace == trace]

    def until(self, is_there: Callable[[], bool]) -> None:
        """Wait for what a thread of a gateway is to send."""
        end = time.monotonic() + BOUND_S
        while not is_there():
            assert time.monotonic() < end, sorted(f"{s.trace} {s.name}" for s in self.spans)
            time.sleep(0.02)

    @property
    def environment(self) -> dict[str, str]:
        """What has a gateway send here, soon."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.url,
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            "NO_PROXY": "127.0.0.1",
        }


def _spans(body: bytes) -> Iterator[Came]:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        role = _values(resource.resource.attributes)["drawbridge.role"]
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Came(
                    span.name,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    _values(span.attributes),
                    role,
                )


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: each.value.string_value or each.value.int_value for each in attributes}


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector."""
    collector = Collector("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            collector.bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield collector
        server.shutdown()
        thread.join()
