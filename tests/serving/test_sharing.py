"""What subscriptions have in common is executed once, and what a turn brings is sent once."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from security.credentials import Credentials
from security.development import open_issuer
from security.lookup import Lookup
from serving.socket import Limits, Socket
from tests.resolvers.fakes import a_report
from tests.security.fakes import FakeClock, FakeIds, FakeUser, authentication
from tests.serving.fakes import FakeLine
from tests.serving.served import REPORTS, Served, serving
from trading.execution import ExecType
from trading.ids import UserID
from trading.permission import Permission
from trading.ports import Environment

QUOTES = "subscription($symbols: [String!]!) { quotes(symbols: $symbols) { symbol } }"
MISSED = "\ud800"
"""Half of a pair: Python can hold it, and no JSON can."""


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving() as served:
        served.streams.market_closes.clear()
        yield served


def opened(served: Served) -> list[Any]:
    return [each for each in served.streams.opened if each[0] == "quotes"]


async def test_a_symbol_is_followed_once_for_all_lists_that_name_it(served: Served) -> None:
    clients = [await served.client() for _ in range(3)]
    lists = [["AAPL"], ["MSFT@XNAS", "AAPL"], ["MSFT@XNYS", "AAPL", "AAPL@XNAS"]]
    for client, symbols in zip(clients, lists, strict=True):
        await client.subscribe(QUOTES, variables={"symbols": symbols})
    told = [
        await client.next()
        for client, number in zip(clients, (1, 2, 2), strict=True)
        for _ in range(number)
    ]
    assert {each["type"] for each in told} == {"next"}

    wanted = ["AAPL@XNAS", "MSFT@XNAS", "MSFT@XNYS"]
    assert opened(served) == [("quotes", (symbol,)) for symbol in wanted]
    assert len(served.house.hub) == 3

    await clients[0].send({"type": "complete", "id": "1"})
    await clients[2].send({"type": "complete", "id": "1"})
    await clients[0].still()
    await clients[2].still()
    assert len(served.house.hub) == 2, "somebody still follows two of them"


async def test_every_symbol_of_a_list_is_told_and_the_end_once(served: Served) -> None:
    client = await served.client()
    symbols = ["AAPL@XNAS", "MSFT@XNAS", "MSFT@XNYS"]
    await client.subscribe(QUOTES, "a", variables={"symbols": symbols})
    told = [await client.next() for _ in symbols]
    assert [each["payload"]["data"]["quotes"]["symbol"] for each in told] == symbols

    served.streams.market_closes.set()
    assert await client.next() == {"type": "complete", "id": "a"}
    await client.still()


async def test_a_variable_that_selects_keeps_followers_apart(served: Served) -> None:
    client = await served.client()
    query = """subscription($symbols: [String!]!, $more: Boolean!) {
      quotes(symbols: $symbols) { symbol bid @include(if: $more) } }"""
    for name, more in (("a", False), ("b", True), ("c", True)):
        variables = {"symbols": ["AAPL"], "more": more}
        await client.subscribe(query, name, variables=variables)
    told = {each["id"]: each["payload"]["data"] for each in [await client.next() for _ in "abc"]}
    assert told["a"]["quotes"].keys() == {"symbol"}
    assert told["b"] == told["c"]

    assert len(served.house.hub) == 2


async def test_a_socket_follows_no_more_than_it_may() -> None:
    async with serving(Limits(parts=3)) as served:
        served.streams.market_closes.clear()
        client = await served.client()
        await client.subscribe(QUOTES, "a", variables={"symbols": ["AAPL", "MSFT@XNAS"]})
        await client.subscribe(QUOTES, "b", variables={"symbols": ["AAPL", "MSFT@XNYS"]})

        while (refused := await client.next())["type"] == "next":
            pass
        assert (refused["type"], refused["id"]) == ("error", "b")
        assert refused["payload"][0]["extensions"]["code"] == "OVERLOADED"
        await client.send({"type": "complete", "id": "a"})
        await client.subscribe(QUOTES, "b", variables={"symbols": ["AAPL", "MSFT@XNYS"]})
        while (await client.next())["id"] != "b":
            pass


class Counting:
    """A transport that counts the writes to it."""

    def __init__(self, transport: Any) -> None:
        self._transport, self.writes = transport, 0

    def write(self, data: bytes) -> None:
        self.writes += 1
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


async def test_what_one_turn_brings_is_one_write_in_its_order(served: Served) -> None:
    client = await served.client()
    [connection] = served.connections
    counting: Any = Counting(connection.transport)
    connection.transport = counting
    frames = [b"\x81\x03[%d]" % number for number in range(9)]

    for frame in frames:
        connection.write(frame)
    assert counting.writes == 0
    heard = [await client.any() for _ in frames]

    assert heard == [[number] for number in range(9)]
    assert counting.writes == 1


async def test_what_was_said_before_the_end_comes_before_it(served: Served) -> None:
    client = await served.client()
    [connection] = served.connections
    connection.write(b"\x81\x02{}")
    connection.end(4403, "over")
    connection.write(b"\x81\x02[]")

    assert await client.heard() == (1, b"{}")
    assert await client.heard() == (8, (4403).to_bytes(2) + b"over")


async def test_more_than_a_turn_may_gather_is_written_at_once(served: Served) -> None:
    client = await served.client()
    [connection] = served.connections
    counting: Any = Counting(connection.transport)
    connection.transport = counting
    frame = b"\x81\x7e" + (10_000).to_bytes(2) + b" " * 9_998 + b"{}"

    connection.write(frame)
    connection.write(frame)

    assert counting.writes == 1, "so that a full transport is noticed"
    assert [await client.any(), await client.any()] == [{}, {}]


async def test_what_cannot_be_encoded_ends_its_operation_alone(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    text = 'subscription { orderReports(accountId: "ours") { ... on ExecutionReport { text } } }'
    one, other = await served.client(), await served.client()
    await one.subscribe(text, "a")
    await one.subscribe(REPORTS, "b")
    await other.subscribe(REPORTS, "c")
    for client in (one, other):
        await client.still()
    last = served.world.reads.log[-1].seq
    served.streams.tell(replace(a_report(last + 1, ExecType.NEW), text=MISSED))

    told = sorted([await one.next(), await one.next()], key=lambda message: message["id"])
    [error] = told[0]["payload"]
    assert (told[0]["id"], told[0]["type"]) == ("a", "error")
    assert error["extensions"]["code"] == "INTERNAL"
    assert MISSED not in error["message"]
    assert f"errorId={error['extensions']['errorId']}" in caplog.text
    assert told[1]["payload"] == {"data": {"orderReports": {"seq": str(last + 1)}}}
    assert (await other.next())["id"] == "c"

    served.streams.tell()
    assert (await one.next())["id"] == "b"
    assert (await other.next())["id"] == "c"


async def test_a_socket_that_cannot_be_written_to_is_dropped_alone(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    broken, sound = await served.client(), await served.client()
    [first, second] = served.connections
    if first.transport.get_extra_info("peername") != broken.writer.get_extra_info("sockname"):
        first, second = second, first

    class Broken(Counting):
        def write(self, data: bytes) -> None:
            raise RuntimeError(f"{len(data)} bytes too many")

    unsound: Any = Broken(first.transport)
    first.transport = unsound
    first.write(b"\x81\x02{}")
    second.write(b"\x81\x02[]")

    assert await sound.any() == []
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await broken.any()
    assert "a socket cannot be written to" in caplog.text


async def test_sockets_are_looked_after_in_crowds(served: Served) -> None:
    """So that the users of those that came at about the same time are looked up in one question."""
    loop, every = asyncio.get_running_loop(), Limits().ping_every_s
    begun, due = loop.time(), set[float]()
    for _ in range(100):
        socket = Socket(served.house, FakeLine(), Credentials())
        socket._ping_later()
        due.add(round(socket._timers["ping"].when(), 3))
        socket._stop()
    took = loop.time() - begun

    step = every / 48
    assert len(due) <= 2 + took / step
    assert all(begun + every <= each <= begun + took + every + 2 * step for each in due)


class Directory:
    """Counts how often it is asked."""

    def __init__(self, *users: FakeUser) -> None:
        self.known = {user.id: user for user in users}
        self.asked: list[int] = []

    async def users_of(self, user_ids: Collection[UserID]) -> Mapping[UserID, FakeUser]:
        self.asked.append(len(user_ids))
        return {each: self.known[each] for each in user_ids}


async def test_of_a_crowd_of_sockets_all_users_are_looked_up_in_one_question(
    served: Served, tmp_path: Path
) -> None:
    users = [FakeUser(id=UserID(f"u{number}")) for number in range(300)]
    clock, directory = FakeClock(), Directory(*users)
    issuer = open_issuer(
        tmp_path, environment=Environment.SIM, host="localhost", clock=clock, ids=FakeIds()
    )
    authenticate = authentication(issuer, Lookup(directory), clock).of
    house = replace(served.house, authenticate=authenticate, clock=clock)
    lines = [FakeLine() for _ in users]
    sockets = [Socket(house, line, Credentials()) for line in lines]
    tokens = [f"Bearer {issuer.mint(user.id, tuple(Permission))}" for user in users]
    shown = zip(sockets, tokens, strict=True)
    known = await asyncio.gather(*(each._known({"authorization": token}) for each, token in shown))
    for socket, (credentials, principal) in zip(sockets, known, strict=True):
        assert principal is not None
        socket._admit(principal, credentials)
    assert directory.asked == [300]

    revoked = users[7]
    directory.known[revoked.id] = replace(revoked, revoked_before=clock.now() + 1)
    clock.at += 12 * 1_000_000_000
    for socket in sockets:
        socket._ping()
    await asyncio.gather(*(task for socket in sockets for task in socket._tasks))

    assert directory.asked == [300, 300]
    assert [n for n, line in enumerate(lines) if line.ended] == [7]
    assert lines[7].ended[0][0] == 4403
    for socket in sockets:
        socket._stop()
