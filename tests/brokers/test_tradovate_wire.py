"""Tradovate's wire without a wire: answers as errors, frames, hours of maintenance, log-ins."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.instants import from_datetime, to_datetime
from brokers.link.body import encode
from brokers.link.http import Answer
from brokers.link.wirelog import WireLog
from brokers.tradovate import frames
from brokers.tradovate.client import TradovateClient
from brokers.tradovate.fence import Credentials
from brokers.tradovate.maintenance import PUBLISHED, Maintenance
from brokers.tradovate.messages import (
    FAILURES,
    Unreadable,
    execution_of,
    order_of,
    readable,
    version_of,
)
from brokers.tradovate.penalty import Penalties
from brokers.tradovate.token import Login
from tests.brokers.tradovate import USER
from tests.brokers.world import NOON, FakeClock
from trading.ports import BrokerError, InDoubt, RateLimited, Rejected, Unauthorized, Unavailable

TOKEN = {"accessToken": "one", "mdAccessToken": "data", "expirationTime": "2024-07-01T13:30:00Z"}


class FakeHttp:
    """Answers what it is told to, in turn; the last answer stays."""

    def __init__(self, *answers: Any) -> None:
        self.answers = [each if isinstance(each, Answer) else answer(each) for each in answers]
        self.asked: list[tuple[str, Any]] = []

    async def ask(self, path: str, body: Any = None, *, is_secret: bool = False) -> Answer:
        del is_secret
        return self._next(path, body)

    async def send(self, method: str, path: str, body: Any, **_: Any) -> Answer:
        del method
        return self._next(path, body)

    def _next(self, path: str, body: Any) -> Answer:
        self.asked.append((path, body))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def answer(said: object, status: int = 200) -> Answer:
    return Answer(status, {}, json.dumps(said).encode())


@pytest.fixture
def log(tmp_path: Path) -> Iterator[WireLog]:
    made = WireLog(tmp_path / "wire.jsonl", FakeClock())
    yield made
    made.close()


def logged(folder: Path) -> str:
    return (folder / "wire.jsonl").read_text()


def client(http: FakeHttp, log: WireLog) -> TradovateClient:
    clock = FakeClock()
    return TradovateClient(http, Login(USER, clock), log, Penalties(clock))  # type: ignore[arg-type]


# --- answers ---


@pytest.mark.parametrize(
    ("said", "error"),
    [
        *(({"failureReason": each}, Rejected) for each in sorted(FAILURES)),
        ({"failureReason": "AnotherCommandPending"}, RateLimited),
        ({"failureReason": "UnknownReason"}, InDoubt),
        ({"failureReason": "SomethingNew", "orderId": 7}, InDoubt),
        ({"failureReason": "Success"}, InDoubt),
        ({"orderId": 7, "errorText": "but"}, InDoubt),
        ({"orderId": "7"}, InDoubt),
        ({"orderId": True}, InDoubt),
        ({"errorText": "no"}, InDoubt),
        ({"violations": [{"constraint": "orderQty", "description": "positive"}]}, Rejected),
        ({"p-ticket": "t", "p-time": 3}, RateLimited),
        ({"p-ticket": "t"}, RateLimited),
        ({"p-ticket": "t", "p-time": 3, "p-captcha": True}, Unavailable),
        ([], InDoubt),
        (Answer(200, {}, b"<html>"), InDoubt),
        (answer("bad", 400), Rejected),
        (answer("no", 401), Unauthorized),
        (answer("no", 403), Rejected),
        (answer("no", 404), Rejected),
        (answer("soon locked", 423), RateLimited),
        (answer("gone", 410), InDoubt),
    ],
)
async def test_only_what_is_known_as_a_no_is_one(
    log: WireLog, said: Any, error: type[BrokerError]
) -> None:
    with pytest.raises(error) as raised:
        await client(FakeHttp(TOKEN, said), log).place({"orderQty": 1}, lambda: None)

    assert type(raised.value) is error


@pytest.mark.parametrize("said", [{"orderId": 7}, {"orderId": 7, "failureReason": "Success"}])
async def test_an_order_that_was_taken_has_an_id(log: WireLog, said: Any) -> None:
    assert await client(FakeHttp(TOKEN, said), log).place({}, lambda: None) == 7


@pytest.mark.parametrize(
    "said", [{"id": 1}, [7], [{"id": "x"}], answer("no", 404), answer("no", 410), "x"]
)
async def test_a_question_without_an_answer_is_never_an_empty_list(log: WireLog, said: Any) -> None:
    with pytest.raises(Unavailable):
        await client(FakeHttp(TOKEN, said), log).orders()


async def test_a_ticket_goes_with_the_same_body_alone(log: WireLog) -> None:
    http = FakeHttp(TOKEN, {"p-ticket": "t", "p-time": 0}, {"orderId": 7})
    made = client(http, log)
    with pytest.raises(RateLimited):
        await made.place({"clOrdId": "a"}, lambda: None)
    await made.place({"clOrdId": "b"}, lambda: None)
    await made.place({"clOrdId": "a"}, lambda: None)
    await made.place({"clOrdId": "a"}, lambda: None)

    sent = [body for path, body in http.asked if path.endswith("placeorder")]
    assert sent[1:] == [{"clOrdId": "b"}, {"clOrdId": "a", "p-ticket": "t"}, {"clOrdId": "a"}]


# --- log-ins ---


async def test_a_token_is_asked_for_once_and_again_when_it_has_expired(log: WireLog) -> None:
    later = TOKEN | {"accessToken": "two", "expirationTime": "2024-07-01T15:30:00Z"}
    http, clock = FakeHttp(TOKEN, later), FakeClock()
    login = Login(USER, clock)
    first = [await login.token(http, log) for _ in range(3)]  # type: ignore[arg-type]
    assert login.renew_in_s() == 75 * 60
    clock.time += 90 * 60 * 1_000_000_000

    second = await login.token(http, log)  # type: ignore[arg-type]
    assert [each.value for each in (*first, second)] == ["one", "one", "one", "two"]
    assert [path for path, _ in http.asked] == ["/v1/auth/accesstokenrequest"] * 2
    assert login.headers() == {"authorization": "Bearer two"}


async def test_a_token_that_was_not_accepted_is_renewed_or_else_replaced(log: WireLog) -> None:
    http = FakeHttp(TOKEN, TOKEN | {"accessToken": "two"}, answer("no", 401), TOKEN)
    login = Login(USER, FakeClock())
    said = []
    for _ in range(3):
        token = await login.token(http, log)  # type: ignore[arg-type]
        said.append(token.value)
        login.spoil(token.value)

    login.spoil("another")
    assert said == ["one", "two", "one"]
    assert [path.rpartition("/")[2] for path, _ in http.asked] == [
        "accesstokenrequest",
        "renewaccesstoken",
        "renewaccesstoken",
        "accesstokenrequest",
    ]


async def test_nobody_logs_in_while_the_calendar_has_tradovate_shut(log: WireLog) -> None:
    http, clock = FakeHttp(TOKEN), FakeClock()
    begins = to_datetime(clock.now()).astimezone(ZoneInfo("America/Chicago"))
    ends = begins + timedelta(hours=1)
    shut = Maintenance.read(f"{begins:%a %H:%M}-{ends:%a %H:%M}")
    login = Login(USER, clock, shut)
    for _ in range(5):
        with pytest.raises(Unavailable, match=r"in maintenance until .*: it lets nobody in"):
            await login.token(http, log)  # type: ignore[arg-type]
    assert http.asked == []

    clock.time += 3600 * 1_000_000_000
    assert (await login.token(http, log)).value == "one"  # type: ignore[arg-type]


async def test_log_ins_that_fail_stop_before_tradovate_shuts_us_out(log: WireLog) -> None:
    http, clock = FakeHttp({"errorText": "Incorrect password"}), FakeClock()
    login = Login(USER, clock)
    for _ in range(4):
        with pytest.raises(Unauthorized, match="Incorrect password"):
            await login.token(http, log)  # type: ignore[arg-type]
    with pytest.raises(Unauthorized, match="mend the credentials"):
        await login.token(http, log)  # type: ignore[arg-type]
    assert len(http.asked) == 4

    clock.time += 3600 * 1_000_000_000
    with pytest.raises(Unauthorized, match="Incorrect password"):
        await login.token(http, log)  # type: ignore[arg-type]


async def test_a_mended_password_is_tried_at_once_and_in_no_log(
    log: WireLog, tmp_path: Path
) -> None:
    class Mounted:
        user = USER

        def now(self) -> Credentials:
            return self.user

    http, mounted = FakeHttp({"errorText": "Incorrect password"}), Mounted()
    login = Login(mounted, FakeClock())
    for _ in range(5):
        with pytest.raises(Unauthorized):
            await login.token(http, log)  # type: ignore[arg-type]
    mounted.user = replace(USER, password="mended-password")
    with pytest.raises(Unauthorized, match="Incorrect password"):
        await login.token(http, log)  # type: ignore[arg-type]

    assert len(http.asked) == 5
    assert http.asked[-1][1]["password"] == "mended-password"
    log.note("sent", "a log-in", b"mended-password")
    assert "a log-in" in logged(tmp_path)
    assert "mended-password" not in logged(tmp_path)


def test_a_secret_given_later_is_hidden_and_those_of_the_start_stay_so(tmp_path: Path) -> None:
    made = WireLog(tmp_path / "wire.jsonl", FakeClock(), ["password"])
    for number in range(99):
        made.hide(f"token-{number}-")
    made.note("sent", "x", "a password, token-98- and token-60-")
    made.close()

    assert "a (secret), (secret) and (secret)" in (tmp_path / "wire.jsonl").read_text()


# --- frames and entities ---


def test_a_request_has_four_lines_and_exact_numbers() -> None:
    body = {"price": Decimal("5500.25"), "orderQty": 3, "isAutomated": True, "text": None}
    written = frames.request("order/placeorder", 4, body)

    assert written == (
        'order/placeorder\n4\n\n{"price":5500.25,"orderQty":3,"isAutomated":true,"text":null}'
    )
    assert frames.request("authorize", 1, "TOKEN") == "authorize\n1\n\nTOKEN"


def test_messages_keep_their_numbers_exact_and_signs_of_life_say_nothing() -> None:
    assert frames.messages("o") == frames.messages("h") == frames.messages("a[]") == []
    [told] = frames.messages('a[{"e":"props","d":{"entity":{"price":0.1}}}]')
    assert told["d"]["entity"]["price"] == Decimal("0.1")


@pytest.mark.parametrize("frame", ["", "x", "a", "a{}", "a[1]", "[]", "a[{]", 'a[{"i":NaN}]'])
def test_what_is_no_frame_is_an_error(frame: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        frames.messages(frame)


def test_the_closing_frame_says_why() -> None:
    with pytest.raises(Unavailable, match="Go away"):
        frames.messages('c[3000,"Go away!"]')


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner),
        max_leaves=8,
    )
)
def test_json_is_written_as_it_is_read(document: object) -> None:
    assert json.loads(encode(document)) == document


def test_a_float_is_not_written() -> None:
    with pytest.raises(TypeError):
        encode({"price": 0.1})


VERSION = {"id": 2, "orderId": 1, "orderQty": 5, "orderType": "Stop"}


@pytest.mark.parametrize("field", ["price", "stopPrice"])
def test_the_trigger_of_a_stop_is_read_from_either_field(field: str) -> None:
    version = version_of({**VERSION, field: Decimal("5500.25")})

    assert (version.px, version.stop_px) == (None, Decimal("5500.25"))


@given(
    st.dictionaries(
        st.sampled_from(["id", "accountId", "contractId", "orderId", "action", "ordStatus"]),
        st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("Buy"),
    )
)
def test_an_entity_is_read_or_unreadable_and_nothing_else(given: Mapping[str, Any]) -> None:
    for read in (order_of, version_of, execution_of):
        with suppress(Unreadable):
            assert readable(read, given) == read(given)


# --- maintenance ---


def utc(*moment: int) -> int:
    return from_datetime(datetime(*moment, tzinfo=UTC))  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    ("at", "until"),
    [
        (utc(2026, 7, 1, 20, 59), None),  # a Wednesday in summer: CDT is five hours behind
        (utc(2026, 7, 1, 21), utc(2026, 7, 1, 22)),
        (utc(2026, 7, 1, 22), None),
        (utc(2026, 1, 7, 21, 59), None),  # and in winter CST is six
        (utc(2026, 1, 7, 22, 30), utc(2026, 1, 7, 23)),
        (utc(2026, 7, 3, 23, 30), utc(2026, 7, 4, 1)),  # Friday evening
        (utc(2026, 7, 5, 3), utc(2026, 7, 5, 11, 30)),  # Saturday night into Sunday
        (utc(2026, 7, 5, 11, 30), None),
        (utc(2026, 3, 8, 9), utc(2026, 3, 8, 11, 30)),  # the clocks go forward within it
    ],
)
def test_maintenance_is_by_the_clocks_of_chicago(at: int, until: int | None) -> None:
    assert Maintenance.read(PUBLISHED).until(at) == until


def test_the_last_window_tells_what_may_have_been_put_away() -> None:
    windows = Maintenance.read(PUBLISHED)

    assert windows.last_begin(utc(2026, 7, 2, 12)) == utc(2026, 7, 1, 21)
    assert windows.last_begin(utc(2026, 7, 6, 12)) == utc(2026, 7, 5, 3)
    assert Maintenance.read("none").last_begin(NOON) == 0
    assert Maintenance.read("none").until(NOON) is None


def test_a_window_may_go_over_the_end_of_the_week() -> None:
    windows = Maintenance.read("Sun 23:00-Mon 01:00")

    assert windows.until(utc(2026, 7, 6, 5, 30)) == utc(2026, 7, 6, 6)  # 00:30 on Monday there


@pytest.mark.parametrize("text", ["", "16:00-17:00", "Mon 16:00", "mon 16:00-Mon 17:00", "x,"])
def test_a_window_that_cannot_be_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is no time of maintenance: say one such as"):
        Maintenance.read(text)
