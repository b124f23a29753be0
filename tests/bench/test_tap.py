"""The tap passes on what is said, and knows of each execution when it was."""

import contextlib
import socket
import time

from bench.servers import free_port
from bench.tap import Tap, tapped

BOUND_S = 10
LINE = b'{"event":{"report":{"number":1,"exec_id":"%b"}},"cursor":1}\n'


def test_an_execution_is_told_when_its_line_is_whole() -> None:
    tap = Tap(0)
    tap.note(1, LINE % b"a" + (LINE % b"b")[:20])
    between = time.monotonic_ns()
    tap.note(1, (LINE % b"b")[20:])

    told = tap.told()
    assert told["a"] <= between <= told["b"]
    assert tap.told() == {}


def test_connections_are_kept_apart() -> None:
    tap = Tap(0)
    tap.note(1, (LINE % b"a")[:20])
    tap.note(2, LINE % b"b")
    assert set(tap.told()) == {"b"}

    tap.note(1, (LINE % b"a")[20:])
    assert set(tap.told()) == {"a"}


def test_other_lines_are_no_executions() -> None:
    tap = Tap(0)
    tap.note(1, b'{"quotes":[]}\n{"event":{"report":{"number":1,"exec_id":null}},"cursor":1}\n')

    assert tap.told() == {}


def test_both_ends_hear_each_other_through_the_tap() -> None:
    said = LINE % b"a"
    with (
        socket.create_server(("127.0.0.1", 0)) as exchange,
        tapped(exchange.getsockname()[1], free_port()) as tap,
        socket.create_connection(("127.0.0.1", tap.port), timeout=BOUND_S) as client,
    ):
        broker, _ = exchange.accept()
        with broker:
            broker.settimeout(BOUND_S)
            client.sendall(b"hello")
            assert broker.recv(5, socket.MSG_WAITALL) == b"hello"
            broker.sendall(said)
            assert client.recv(len(said), socket.MSG_WAITALL) == said
            assert set(tap.told()) == {"a"}
        assert client.recv(1) == b""


def test_a_client_of_an_exchange_that_is_gone_is_cut_off() -> None:
    with (
        tapped(free_port(), free_port()) as tap,
        socket.create_connection(("127.0.0.1", tap.port), timeout=BOUND_S) as client,
        contextlib.suppress(ConnectionResetError),
    ):
        assert client.recv(1) == b""
