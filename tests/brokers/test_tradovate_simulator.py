"""The simulator of Tradovate as a client meets it: sessions, waits, snapshots and what follows."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from brokers.faults import Fault, FaultKind, FaultScript, Operation
from brokers.tradovate.simulator.holdings import Traded, holding
from brokers.tradovate.simulator.sessions import QUOTA, Sessions
from brokers.tradovate.simulator.simulator import Simulator
from brokers.tradovate.simulator.window import Window
from tests.brokers.tradovate_simulator import LOGIN, simulated
from tests.brokers.world import FakeClock
from tests.trading.builders import FUTURE
from trading.instrument import Catalogue
from trading.order import Side
from trading.quote import Quote

pytestmark = pytest.mark.slow

D = Decimal
ACCOUNT = 1000001
HOUR_S = 3600
RIGHT = {"name": LOGIN.name, "password": LOGIN.password, "cid": 7, "sec": LOGIN.sec}
RESTING: dict[str, Any] = {
    "accountId": ACCOUNT,
    "action": "Buy",
    "symbol": FUTURE.symbol,
    "orderQty": 5,
    "orderType": "Limit",
    "price": 4000,
}


class Client:
    """Asks the simulator by hand, so that nothing of the adapter is believed."""

    def __init__(self, simulator: Simulator, port: int, stack: AsyncExitStack) -> None:
        self.simulator = simulator
        self._port = port
        self._stack = stack
        self._http = httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}/v1/")

    async def log_in(self) -> dict[str, str]:
        found: dict[str, str] = (await self.post("auth/accessTokenRequest", RIGHT))[1]
        self._http.headers["authorization"] = f"Bearer {found['accessToken']}"
        return found

    async def post(self, path: str, body: Any) -> tuple[int, Any]:
        return _told(await self._http.post(path, content=json.dumps(body)))

    async def get(self, path: str) -> tuple[int, Any]:
        return _told(await self._http.get(path))

    async def socket(self, token: str) -> ClientConnection:
        socket = await self._stack.enter_async_context(
            connect(f"ws://127.0.0.1:{self._port}/v1/websocket")
        )
        assert await socket.recv() == "o"
        assert await ask(socket, "authorize", token) == {"s": 200, "i": 0}
        return socket

    def show(self, bid: int, ask_px: int, size: int = 3) -> None:
        now = self.simulator.clock.now()
        self.simulator.on_quote(
            Quote(
                symbol=FUTURE.id,
                bid=D(bid),
                bid_size=D(size),
                ask=D(ask_px),
                ask_size=D(size),
                time=now,
                received_at=now,
                source="test",
            )
        )

    async def close(self) -> None:
        await self._stack.aclose()
        await self._http.aclose()


def _told(response: Any) -> tuple[int, Any]:
    is_json = response.headers["content-type"].startswith("application/json")
    return response.status_code, response.json() if is_json else response.text


async def ask(socket: ClientConnection, endpoint: str, body: Any = "", number: int = 0) -> Any:
    text = body if isinstance(body, str) else json.dumps(body)
    await socket.send(f"{endpoint}\n{number}\n\n{text}")
    return await heard(socket, lambda message: message.get("i") == number)


async def heard(socket: ClientConnection, wanted: Any) -> Any:
    """Wait for a message, past others."""
    async with asyncio.timeout(5):
        while True:
            frame = str(await socket.recv())
            for message in json.loads(frame[1:]) if frame.startswith("a") else ():
                if wanted(message):
                    return message


@asynccontextmanager
async def meeting(folder: Path, *faults: Fault, **settings: Any) -> AsyncIterator[Client]:
    opened = simulated(folder, Catalogue([FUTURE]), FaultScript(faults), **settings)
    async with opened as (simulator, port):
        client = Client(simulator, port, AsyncExitStack())
        yield client
        await client.close()


async def test_a_third_log_in_ends_the_first_and_says_so(tmp_path: Path) -> None:
    async with meeting(tmp_path) as client:
        first = await client.log_in()
        socket = await client.socket(f'"{first["accessToken"]}"')
        await client.log_in()
        assert (await ask(socket, "account/list"))["s"] == 200
        await client.log_in()
        shutdown = await heard(socket, lambda message: message.get("e") == "shutdown")
        assert shutdown["d"]["reasonCode"] == QUOTA
        with pytest.raises(ConnectionClosed):
            await heard(socket, lambda _: False)
        assert (await client.get("account/list"))[0] == 200
        client._http.headers["authorization"] = f"Bearer {first['accessToken']}"
        assert await client.get("account/list") == (401, "Access is denied")


async def test_an_expired_token_leaves_a_socket_open_and_mute(tmp_path: Path) -> None:
    async with meeting(tmp_path) as client:
        token = (await client.log_in())["accessToken"]
        socket = await client.socket(token)
        await ask(socket, "user/syncrequest", {"users": [100001]})
        client.simulator.sessions.expire()
        assert (await ask(socket, "account/list", number=2))["s"] == 401
        await client.log_in()
        assert (await client.post("order/placeorder", RESTING))[0] == 200
        await socket.send("[]")
        assert (await ask(socket, "account/list", number=3))["i"] == 3
        again = (await client.log_in())["accessToken"]
        assert await ask(socket, "authorize", again, number=4) == {"s": 200, "i": 4}


async def test_a_snapshot_is_followed_by_just_what_comes_after_it(tmp_path: Path) -> None:
    async with meeting(tmp_path) as client:
        token = (await client.log_in())["accessToken"]
        client.show(4999, 5000)
        _, placed = await client.post("order/placeorder", RESTING | {"clOrdId": "label"})
        socket = await client.socket(token)
        wanted = {"entityTypes": ["order", "command", "fill", "position"]}
        snapshot = (await ask(socket, "user/syncrequest", wanted, number=1))["d"]
        assert [each["id"] for each in snapshot["orders"]] == [placed["orderId"]]
        assert [each["clOrdId"] for each in snapshot["commands"]] == ["label"]
        assert (snapshot["executionReports"], len(snapshot["users"])) == ([], 1)

        client.show(3999, 4000)
        first = (await heard(socket, lambda message: message.get("e") == "props"))["d"]
        assert (first["entityType"], first["eventType"]) == ("fill", "Created")
        assert (first["entity"]["qty"], first["entity"]["price"]) == (3, 4000)
        position = (await heard(socket, lambda message: message.get("e") == "props"))["d"]
        assert (position["entityType"], position["entity"]["netPos"]) == ("position", 3)


async def test_a_label_identifies_nothing(tmp_path: Path) -> None:
    async with meeting(tmp_path) as client:
        await client.log_in()
        labeled = RESTING | {"clOrdId": "twice"}
        ids = [(await client.post("order/placeorder", labeled))[1]["orderId"] for _ in range(2)]
        _, commands = await client.get("command/list")

        assert len(set(ids)) == 2
        assert [each["clOrdId"] for each in commands] == ["twice", "twice"]


async def test_a_ticket_and_its_time_end_a_penalty(tmp_path: Path) -> None:
    limit = Fault(kind=FaultKind.RATE_LIMIT, operation=Operation.SUBMIT, nth=1, retry_after_ms=200)
    async with meeting(tmp_path, limit) as client:
        await client.log_in()
        status, penalty = await client.post("order/placeorder", RESTING)
        assert (status, penalty["p-time"]) == (200, 1)
        early = await client.post("order/placeorder", RESTING | penalty)
        assert "p-ticket" in early[1]
        assert (await client.get("order/list"))[1] == []

        for _ in range(100):
            _, answer = await client.post("order/placeorder", RESTING | penalty)
            if "orderId" in answer:
                break
            await asyncio.sleep(0.05)
        assert len((await client.get("order/list"))[1]) == 1


async def test_the_fifth_wrong_password_wants_a_human(tmp_path: Path) -> None:
    async with meeting(tmp_path) as client:
        wrong = RIGHT | {"password": "wrong"}
        said = [(await client.post("auth/accesstokenrequest", wrong))[1] for _ in range(5)]
        assert all("errorText" in each for each in said)
        status, penalty = await client.post("auth/accesstokenrequest", RIGHT)
        assert (status, penalty["p-time"], penalty["p-captcha"]) == (200, HOUR_S, True)


async def test_in_maintenance_nothing_is_answered_and_sockets_are_told(tmp_path: Path) -> None:
    shut = Fault(kind=FaultKind.MAINTENANCE, operation=Operation.EVENT, nth=1, delay_ms=100_000)
    async with meeting(tmp_path, shut) as client:
        socket = await client.socket((await client.log_in())["accessToken"])
        await ask(socket, "user/syncrequest")
        await client.post("order/placeorder", RESTING)
        shutdown = await heard(socket, lambda message: message.get("e") == "shutdown")
        assert shutdown["d"]["reasonCode"] == "Maintenance"
        assert (await client.get("account/list"))[0] == 503


async def test_wrong_requests_name_the_field(tmp_path: Path) -> None:
    async with meeting(tmp_path) as client:
        await client.log_in()

        async def refused(**changes: Any) -> Any:
            return (await client.post("order/placeorder", RESTING | changes))[1]

        assert (await refused(orderQty=1.5))["violations"][0]["constraint"] == "orderQty"
        assert (await refused(action="Hold"))["violations"][0]["constraint"] == "action"
        assert (await refused(accountId=1))["violations"][0]["constraint"] == "accountId"
        assert (await refused(symbol="NOSUCH"))["failureReason"] == "InvalidContract"
        assert (await refused(accountId="9" * 5000))["violations"][0]["constraint"] == "accountId"
        assert (await client.post("order/cancelorder", {"orderId": 1}))[0] == 404
        assert (await client.get("order/placeorder"))[0] == 405
        assert (await client.get("nothing/list"))[0] == 404


async def test_a_simulator_that_starts_again_is_the_same_one(tmp_path: Path) -> None:
    kinds = ("order", "orderVersion", "command", "commandReport", "executionReport", "fill")
    seen: list[list[Any]] = []
    for _ in range(2):
        async with meeting(tmp_path) as client:
            await client.log_in()
            if not seen:
                client.show(3999, 4000)
                await client.post("order/placeorder", RESTING | {"clOrdId": "kept"})
            seen.append([(await client.get(f"{kind}/list"))[1] for kind in kinds])

    assert seen[0] == seen[1]
    assert all(seen[0])


async def test_a_renewal_goes_on_with_the_session_under_a_further_token() -> None:
    clock, tokens = FakeClock(), iter(map(str, range(100)))
    sessions = Sessions(clock, LOGIN, lambda: next(tokens), 5400)
    first = sessions.log_in(RIGHT)["accessToken"]
    session = sessions.of(first)
    assert session is not None
    await clock.advance(5000)
    second = sessions.renew(session)["accessToken"]
    await clock.advance(1000)

    assert sessions.of(first) is None
    assert sessions.of(second) is session
    await clock.advance(5000)
    assert not sessions.is_alive(session)


async def test_a_request_while_locked_out_begins_the_hour_again() -> None:
    clock = FakeClock()
    window = Window(clock, lambda: "", 2)
    assert [window.allows() for _ in range(3)] == [True, True, False]
    await clock.advance(HOUR_S - 1)
    assert not window.allows()
    await clock.advance(HOUR_S - 1)
    assert not window.allows()
    await clock.advance(HOUR_S + 1)
    assert window.allows()


_TRADES = st.builds(
    Traded,
    st.sampled_from(Side),
    st.integers(1, 9).map(D),
    st.integers(15_000, 25_000).map(lambda ticks: D(ticks) / 4),
)


@given(st.lists(_TRADES, max_size=30), st.integers(15_000, 25_000))
def test_what_is_gained_and_what_is_held_are_worth_what_was_traded(
    trades: list[Traded], mark: int
) -> None:
    held = holding(trades)
    paid = sum((each.side.sign * each.qty * each.px for each in trades), D(0))

    assert held.net == sum((each.side.sign * each.qty for each in trades), D(0))
    assert held.gained + held.net * mark - held.cost == held.net * mark - paid
    assert held.bought - held.sold == held.net
