"""The link to a broker: what may have left, how much may be asked, and what is kept of it."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from brokers.link import wirelog
from brokers.link.breaker import Breaker
from brokers.link.budget import Budget, Urgency
from brokers.link.eventstream import events
from brokers.link.http import Http, Timeouts
from brokers.link.wirelog import WireLog
from tests.brokers.world import NOON, SECOND, FakeClock
from trading.ports import InDoubt, PermitRefused, RateLimited, Unavailable

SOON = Timeouts(pool_s=0.2, connect_s=0.2, write_s=0.2, read_s=0.2)
EXACT = b'{"a": 0.10000000000000000555111}'
OK = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(EXACT), EXACT)


class Peer:
    """A server that answers each request with what it is told to; None closes the connection."""

    def __init__(self) -> None:
        self.answers: list[bytes | None] = []
        self.heard: list[bytes] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await _request(reader):
            self.heard.append(head)
            answer = self.answers.pop(0) if self.answers else OK
            if answer is None:
                break
            writer.write(answer)
        writer.close()

    @property
    def paths(self) -> list[str]:
        return [head.split(b" ")[1].decode() for head in self.heard]


async def _request(reader: asyncio.StreamReader) -> bytes:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, OSError):
        return b""
    lines = head.lower().split(b"\r\n")
    sizes = [int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length")]
    return head + (await reader.readexactly(sizes[0]) if sizes else b"")


@asynccontextmanager
async def linked(folder: Path, clock: FakeClock | None = None) -> AsyncIterator[tuple[Peer, Http]]:
    peer, clock = Peer(), clock or FakeClock()
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    peer.port = server.sockets[0].getsockname()[1]
    log = WireLog(folder / "wire.jsonl", clock)
    http = Http(
        f"http://127.0.0.1:{peer.port}",
        headers=lambda: {"secret": "header"},
        budget=Budget(clock),
        breaker=Breaker(clock, failures=2),
        log=log,
        timeouts=SOON,
    )
    try:
        yield peer, http
    finally:
        await http.close()
        log.close()
        server.close()
        await server.wait_closed()


async def test_numbers_of_an_answer_stay_exact(tmp_path: Path) -> None:
    async with linked(tmp_path) as (peer, http):
        answer = await http.ask("/x")

        assert str(answer.json()["a"]) == "0.10000000000000000555111"
        assert b"host: 127.0.0.1:" in peer.heard[0]


async def test_the_permit_is_asked_when_a_connection_is_there_and_nothing_leaves_without_it(
    tmp_path: Path,
) -> None:
    def refuse() -> None:
        raise PermitRefused

    async with linked(tmp_path) as (peer, http):
        with pytest.raises(PermitRefused):
            await http.send("POST", "/x", {"a": "b"}, check=refuse)
        assert peer.heard == []
        await http.send("POST", "/y", {"a": "b"})

        assert peer.paths == ["/y"]


async def test_between_the_permit_and_the_first_byte_nothing_else_runs(tmp_path: Path) -> None:
    turns: list[str] = []

    def check() -> None:
        asyncio.get_running_loop().call_soon(turns.append, "another turn")
        turns.append("permit")

    async with linked(tmp_path) as (peer, http):
        await http.ask("/warm")
        stream = http._pool._connections[0]._connection._network_stream  # type: ignore[attr-defined]
        write = stream._writer.write

        def written(data: bytes) -> None:
            turns.append("byte")
            write(data)

        stream._writer.write = written
        await http.send("POST", "/x", {"a": "b"}, check=check)

        assert peer.paths == ["/warm", "/x"]
        assert turns[:2] == ["permit", "byte"]


async def test_a_request_that_could_not_leave_is_unavailable(tmp_path: Path) -> None:
    async with linked(tmp_path) as (peer, http):
        http._base = f"http://127.0.0.1:{_closed_port()}"
        with pytest.raises(Unavailable, match="never left: ConnectError"):
            await http.send("POST", "/x", {})

        assert peer.heard == []


def _closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (None, "RemoteProtocolError|ReadError"),
        (b"", "ReadTimeout"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{", "ReadTimeout"),
        (b"nonsense\r\n\r\n", "RemoteProtocolError"),
        (b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n", "503"),
    ],
)
async def test_whatever_fails_after_the_first_byte_is_a_doubt_for_a_change_and_none_for_a_question(
    tmp_path: Path, answer: bytes | None, what: str
) -> None:
    async with linked(tmp_path) as (peer, http):
        peer.answers = [answer, answer]
        with pytest.raises(InDoubt, match=what):
            await http.send("POST", "/x", {})
        with pytest.raises(Unavailable, match="no answer to a question"):
            await http.ask("/x")

        assert len(peer.heard) == 2


async def test_a_broker_that_fails_again_and_again_is_left_alone_save_for_cancels(
    tmp_path: Path,
) -> None:
    clock = FakeClock()
    down = b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"
    async with linked(tmp_path, clock) as (peer, http):
        peer.answers = [down, down]
        for _ in range(2):
            with pytest.raises(InDoubt):
                await http.send("POST", "/x", {})
        with pytest.raises(Unavailable, match="failed 2 times in a row"):
            await http.send("POST", "/x", {})
        await http.send("DELETE", "/cancel", None, urgency=Urgency.CANCEL)
        await http.send("POST", "/again", {})

        assert peer.paths == ["/x", "/x", "/cancel", "/again"]


async def test_an_open_breaker_lets_one_question_through_now_and_then() -> None:
    clock = FakeClock()
    breaker = Breaker(clock, failures=1, pause_s=5)
    breaker.failed()
    with pytest.raises(Unavailable):
        breaker.check()
    await clock.advance(5)
    breaker.check()
    with pytest.raises(Unavailable):
        breaker.check()


# --- the budget ---


async def test_the_last_of_a_budget_is_for_questions_and_the_very_last_for_cancels() -> None:
    clock = FakeClock()
    budget = Budget(clock, limit=10, window_s=60, reserve=4)
    for _ in range(6):
        budget.spend(Urgency.ORDER)
    with pytest.raises(RateLimited) as limited:
        budget.spend(Urgency.ORDER)
    assert limited.value.retry_after_s == 60
    for urgency in (Urgency.QUESTION, Urgency.QUESTION, Urgency.CANCEL, Urgency.CANCEL):
        budget.spend(urgency)
    with pytest.raises(RateLimited):
        budget.spend(Urgency.CANCEL)
    await clock.advance(60)
    budget.spend(Urgency.ORDER)


def test_what_the_broker_says_of_its_limit_counts() -> None:
    budget = Budget(FakeClock(), limit=10, reserve=0)
    budget.spend(Urgency.ORDER)
    budget.hear(
        {
            "x-ratelimit-limit": "100",
            "x-ratelimit-remaining": "0",
            "x-ratelimit-reset": str(NOON // SECOND + 7),
        }
    )
    with pytest.raises(RateLimited) as limited:
        budget.spend(Urgency.CANCEL)

    assert limited.value.retry_after_s == 7


def test_headers_that_make_no_sense_change_nothing() -> None:
    budget = Budget(FakeClock(), limit=10, reserve=0)
    budget.hear({"x-ratelimit-remaining": "-1", "x-ratelimit-reset": "soon"})
    budget.spend(Urgency.ORDER)


# --- the log ---


def test_the_log_has_no_secret_and_does_not_grow_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wirelog, "SIZE_MAX", 500)
    log = WireLog(tmp_path / "wire.jsonl", FakeClock(), ["hush"])
    for number in range(20):
        log.note("sent", f"POST /{number}", b'{"key": "hush", "x": "\xff"}')
    log.close()
    texts = [each.read_text() for each in sorted(tmp_path.iterdir())]

    assert len(texts) == 2
    assert all(len(text) < 700 for text in texts)
    assert "hush" not in "".join(texts)
    assert json.loads(texts[0].splitlines()[0])["is"] == "sent"
    assert (tmp_path / "wire.jsonl").stat().st_mode & 0o077 == 0


# --- server-sent events ---


async def test_events_are_read_however_they_are_cut() -> None:
    async def parts() -> AsyncIterator[bytes]:
        for part in (
            b": beat\n",
            b'data: {"a"',
            b":1}\r\n\r",
            b"\nid: 7\ndata:x\nda",
            b"ta: y\n\n\n",
        ):
            yield part

    assert [each async for each in events(parts())] == [None, b'{"a":1}', b"x\ny"]


def test_who_is_turned_away_without_a_word_waits_as_long_as_that_broker_wants() -> None:
    clock = FakeClock()
    budget = Budget(clock, limit=5000, window_s=3600, reserve=500, bar_s=3600)
    budget.spend(Urgency.ORDER)
    assert budget.refused({}).retry_after_s == 3600
    clock.time += 3599 * SECOND
    with pytest.raises(RateLimited):
        budget.spend(Urgency.CANCEL)
    clock.time += SECOND

    budget.spend(Urgency.CANCEL)


async def test_what_is_secret_is_asked_and_not_logged(tmp_path: Path) -> None:
    async with linked(tmp_path) as (peer, http):
        answer = await http.ask("/token", {"password": "made-up"}, is_secret=True)

        assert (answer.body, peer.heard[0].endswith(b'{"password":"made-up"}')) == (EXACT, True)
        assert peer.heard[0].startswith(b"POST /token")
    lines = [json.loads(line) for line in (tmp_path / "wire.jsonl").read_text().splitlines()]
    assert [(line["what"], line["text"]) for line in lines] == [
        ("POST /token", ""),
        ("200 POST /token", ""),
    ]
