"""Traces of real processes: one order in one trace, and no order that waits for a collector."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.house import opened
from tests.faults.services import found
from tests.gateway.client import Client
from tests.gateway.documents import PLACE
from tests.gateway.otlp import Collector, collecting
from tests.gateway.process import STOP_S, running
from tests.gateway.tokens import minted

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
ORDER = {
    "accountId": "equity",
    "clOrdId": "p1",
    "symbol": "AAPL",
    "side": "BUY",
    "ordType": "MARKET",
    "orderQty": "1",
}
TAKEN = {"NEW", "PARTIALLY_FILLED", "FILLED"}


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """Have every process that a test starts export its traces here."""
    with collecting() as collector:
        for name, text in collector.environment.items():
            monkeypatch.setenv(name, text)
        yield collector


@pytest.mark.services
def test_an_order_is_in_one_trace_whichever_process_has_it(
    tmp_path: Path, collector: Collector
) -> None:
    with found() as services, opened(tmp_path, services) as house:
        owner, entry = house.start(), house.start("api")
        house.fenced(1)
        house.priced(entry, ORDER)
        token, traceparent = minted(house.folder / "keys"), f"00-{TRACE}-{SPAN}-01"
        with Client(entry.url, token, traceparent=traceparent) as client:
            order = client.data(PLACE, input=ORDER)
        assert order["ordStatus"] in TAKEN
        names = {"mutation", "desk", "transaction", "submit", "record", "publish reports"}
        collector.until(lambda: {span.name for span in collector.trace(TRACE)} >= names)
        owner.stop()
        entry.stop()
        assert house.complaints() == []

    spans = collector.trace(TRACE)
    by_id = {span.id: span for span in spans}
    request = next(span for span in spans if span.name == "mutation")
    assert (request.parent, request.role) == (SPAN, "api")
    above = {(span.name, by_id[span.parent].name) for span in spans if span is not request}
    assert above == {
        ("desk", "mutation"),
        ("transaction", "desk"),
        ("submit", "mutation"),
        ("record", "mutation"),
        ("publish reports", "mutation"),
    }
    roles = {(span.name, span.role) for span in spans}
    assert {("desk", "api"), ("submit", "all"), ("record", "all")} <= roles
    assert len(spans) <= 12, "an order makes few spans"


@contextmanager
def hanging() -> Iterator[str]:
    """Take connections, and never answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def down() -> Iterator[str]:
    """Be nowhere."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


@pytest.mark.slow
@pytest.mark.parametrize("failing", [hanging, down])
def test_orders_go_on_whatever_becomes_of_the_collector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: type
) -> None:
    with failing() as url:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "64")
        monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "32")
        with running(tmp_path / "data") as gateway:
            with Client(gateway.url, minted(gateway.data)) as client:
                for number in range(100):  # more spans by far than there is room for
                    order = client.data(PLACE, input={**ORDER, "clOrdId": f"p{number}"})
                    assert order["ordStatus"] in TAKEN
            began = time.monotonic()
            gateway.stop()
            assert time.monotonic() - began < STOP_S / 3
