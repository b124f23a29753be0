"""Replay: what a file must be, at what pace it plays, and what travels with it."""

import asyncio
import json
from decimal import Decimal
from pathlib import Path

import pytest

from brokers.instants import parse_instant
from brokers.quotes.replay import Replay, ReplayError, parse_speed
from tests.brokers.world import SECOND, FakeClock
from trading.quote import Quote

SAMPLE = Path(__file__).parent / "data" / "sample.csv"
HEADER = "ts,symbol,bid,bid_size,ask,ask_size\n"
GOOD = "2024-03-01T14:30:00.000000001Z,MESH4,5100.25,10,5100.50,8\n"
MAX = Decimal(0)


def saved(tmp_path: Path, text: str | bytes, name: str = "q.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


async def all_quotes(replay: Replay) -> list[Quote]:
    return [quote async for quote in replay.quotes()]


async def test_every_row_comes_in_order_exactly_and_sets_the_markets_time() -> None:
    clock = FakeClock()
    replay = Replay(SAMPLE, clock, MAX)
    assert replay.clock.now() == parse_instant("2024-03-01T14:30:00.000000001Z")

    heard = []
    async for quote in replay.quotes():
        assert replay.clock.now() == quote.time
        assert quote.received_at == clock.now()
        sizes = None if quote.bid_size is None else str(quote.bid_size), quote.ask_size
        heard.append((quote.time, quote.symbol, str(quote.bid), *sizes))

    noon = parse_instant("2024-03-01T14:30:00Z")
    assert heard == [
        (noon + 1, "MESH4@XCME", "5100.25", "10", Decimal(8)),
        (noon + 250_000_000, "EURUSD@XXXX", "1.08120", None, None),
        (noon + 250_000_000, "MESH4@XCME", "5100.50", "7", Decimal(3)),
        (noon + 1_750_000_002, "MESH4@XCME", "5100.75", "4", Decimal(6)),
        (noon + 2_000_000_003, "BTCUSDT@XXXX", "62000.10", "0.031035000000000004", Decimal("8E-6")),
    ]
    assert [each.id for each in replay.instruments] == [
        "MESH4@XCME",
        "EURUSD@XXXX",
        "BTCUSDT@XXXX",
    ]


async def test_the_speed_is_a_multiple_of_the_files_own_pace() -> None:
    clock = FakeClock()
    replay = Replay(SAMPLE, clock, parse_speed("2"))
    began = clock.now()
    arrivals: list[int] = []

    async def listen() -> None:
        arrivals.extend([quote.received_at - began async for quote in replay.quotes()])

    listening = asyncio.create_task(listen())
    await clock.advance(0.5)
    assert replay.clock.now() == parse_instant("2024-03-01T14:30:00.25Z")
    await clock.advance(0.6)

    assert listening.done()
    assert arrivals == [0, 124_999_999, 124_999_999, 875_000_000, 1_000_000_001]


async def test_a_wait_that_took_too_long_is_made_up_for() -> None:
    clock = FakeClock()
    quotes = Replay(SAMPLE, clock, Decimal(1)).quotes()
    await anext(quotes)

    clock.time += 10 * SECOND

    assert [quote.received_at async for quote in quotes] == [clock.time] * 4


@pytest.mark.parametrize(
    ("text", "speed"), [("1", "1"), ("0.5", "0.5"), ("0", "0"), ("max", "0"), ("100", "100")]
)
def test_a_speed_is_a_number_or_max(text: str, speed: str) -> None:
    assert parse_speed(text) == Decimal(speed)


@pytest.mark.parametrize("text", ["", "fast", "-1", "NaN", "1e3", "inf"])
def test_another_speed_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="the speed"):
        parse_speed(text)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("nonsense", "1 fields where ts,symbol,bid,bid_size,ask,ask_size are 6"),
        ("", "1 fields where"),
        ("2024-03-01T14:30:01Z,MESH4,5100.25,10,5100.50", "5 fields where"),
        ("2024-03-01T14:30:01Z,MESH4,5100.25,10,5100.50,8,9", "7 fields where"),
        ("2024-03-01 14:30:01,MESH4,5100.25,10,5100.50,8", "is not an RFC 3339 instant"),
        ("2024-03-01T14:30:01Z,,5100.25,10,5100.50,8", "symbol is ''"),
        ("2024-03-01T14:30:01Z,MESH4,5100.x,10,5100.50,8", r"bid '5100\.x' is not a plain"),
        ("2024-03-01T14:30:01Z,MESH4,NaN,10,5100.50,8", "bid 'NaN' is not a plain"),
        ("2024-03-01T14:30:01Z,MESH4,5100.25,10,1e3,8", "ask '1e3' is not a plain"),
        ("2024-03-01T14:30:01Z,MESH4,5100.25,-1,5100.50,8", "bid_size '-1' is not a number from"),
        ("2024-03-01T14:30:01Z,MESH4,5100.25,10,5100.50,NaN", "ask_size 'NaN' is not a number"),
        ("2024-03-01T14:30:01Z,MESH4,5100.25,10,5100.50,1_0", "ask_size '1_0' is not a number"),
        ("2024-03-01T14:30:01Z,MESH4,5100.25,10,5100.50, 8", "ask_size ' 8' is not a number"),
        ("2024-03-01T14:30:01Z,MESH4,,,,", "neither bid nor ask"),
        ("2024-03-01T14:30:01Z,MESH4,,5,5100.50,8", "bid_size without bid"),
        ("2024-03-01T14:30:01Z,MESH4,5100.75,10,5100.50,8", "crossed quote: bid 5100.75 is above"),
        ("2024-03-01T14:30:00Z,MESH4,5100.25,10,5100.50,8", "time goes backwards: 2024-03-01T14:3"),
    ],
)
def test_a_broken_line_is_named_before_anything_plays(
    tmp_path: Path, line: str, problem: str
) -> None:
    path = saved(tmp_path, f"{HEADER}{GOOD}{line}\n{GOOD}")

    with pytest.raises(ReplayError, match=rf"^{path}, line 3: .*{problem}"):
        Replay(path, FakeClock(), MAX)


def test_a_line_that_is_no_utf_8_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path, HEADER.encode() + GOOD.encode() + b"2024-\xff\n")

    with pytest.raises(ReplayError, match=r"line 3: 'utf-8' codec"):
        Replay(path, FakeClock(), MAX)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty: its first line must be ts,symbol"),
        ("\n", "is empty"),
        (HEADER, "has no quotes"),
        ("time,symbol,bid,bid_size,ask,ask_size\n" + GOOD, "line 1: the header must be ts,"),
        (GOOD, "line 1: the header must be"),
    ],
)
def test_a_file_without_header_or_quotes_is_refused(
    tmp_path: Path, text: str, problem: str
) -> None:
    path = saved(tmp_path, text)

    with pytest.raises(ReplayError, match=f"{path}.*{problem}"):
        Replay(path, FakeClock(), MAX)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReplayError, match="cannot be read: No such file"):
        Replay(tmp_path / "none.csv", FakeClock(), MAX)
    with pytest.raises(ReplayError, match="cannot be read: Is a directory"):
        Replay(tmp_path, FakeClock(), MAX)


async def test_one_side_may_be_missing_and_other_systems_line_ends_are_read(
    tmp_path: Path,
) -> None:
    path = saved(
        tmp_path,
        b"\xef\xbb\xbf" + HEADER.replace("\n", "\r\n").encode() + b"2024-03-01T14:30:00Z,MESH4,,,"
        b"5100.50,8\r\n2024-03-01T15:30:00+01:00,MESH4@XCME,-1.5,0,-1.5,1",
    )
    replay = Replay(path, FakeClock(), MAX)

    first, second = await all_quotes(replay)

    assert (first.bid, first.bid_size, str(first.ask)) == (None, None, "5100.50")
    assert [second.bid, second.ask, second.bid_size] == [Decimal("-1.5"), Decimal("-1.5"), 0]
    assert second.symbol == first.symbol == "MESH4@XCME"
    assert len(replay.instruments) == 1


# --- instruments ---


ODD = {
    "symbol": "ODD",
    "mic": "XLON",
    "description": "an odd share",
    "security_type": "COMMON_STOCK",
    "currency": "GBP",
    "tick": "0.5",
    "lot": 10,
}


def with_sidecar(tmp_path: Path, *instruments: object) -> Path:
    (tmp_path / "q.instruments.json").write_text(json.dumps({"instruments": instruments}))
    return saved(tmp_path, HEADER + GOOD.replace("MESH4", "ODD"))


def test_a_symbol_that_nobody_knows_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = saved(tmp_path, HEADER + GOOD + GOOD.replace("MESH4", "ODD"))

    with pytest.raises(
        ReplayError,
        match=rf"{path}, line 3: no instrument .* ODD: define it in q\.instruments\.json",
    ):
        Replay(path, FakeClock(), MAX)


def test_a_market_that_the_catalogue_does_not_mean_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, HEADER + GOOD.replace("MESH4", "MESH4@XLON"))

    with pytest.raises(ReplayError, match="no instrument is known by the symbol MESH4@XLON"):
        Replay(path, FakeClock(), MAX)


async def test_definitions_beside_the_file_come_first(tmp_path: Path) -> None:
    future = ODD | {
        "symbol": "FUT",
        "security_type": "FUTURE",
        "expiry": "2024-06-21T13:30:00Z",
        "multiplier": "2.5",
        "initial_margin": "1000",
        "maintenance_margin": "900",
        "calendar": "24/7-2100",
    }
    path = with_sidecar(tmp_path, ODD, future)

    replay = Replay(path, FakeClock(), MAX)

    (listed,) = replay.instruments
    assert (listed.id, listed.currency, str(listed.tick), str(listed.lot)) == (
        "ODD@XLON",
        "GBP",
        "0.5",
        "10",
    )
    assert [quote.symbol for quote in await all_quotes(replay)] == ["ODD@XLON"]
    path = saved(tmp_path, HEADER + GOOD.replace("MESH4", "FUT"))
    (listed,) = Replay(path, FakeClock(), MAX).instruments
    assert listed.expiry == parse_instant("2024-06-21T13:30:00Z")
    assert str(listed.multiplier) == "2.5"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"tick": None}, "tick is missing"),
        ({"tick": "0"}, "tick must be above zero"),
        ({"tick": "a lot"}, 'tick is "a lot": not a plain decimal number'),
        ({"security_type": "BOND"}, "security_type must be one of COMMON_STOCK"),
        ({"calendar": "moon"}, "no calendar moon: known are"),
        ({"expiry": "soon"}, "expiry: 'soon' is not an RFC 3339 instant"),
        ({"security_type": "FUTURE"}, "a FUTURE needs an initial_margin"),
        ({"colour": "red"}, "no such field: colour; known are"),
        ({"currency": 1}, "currency must be a text, and is 1"),
    ],
)
def test_a_wrong_definition_is_named_by_file_entry_and_field(
    tmp_path: Path, change: dict[str, object], problem: str
) -> None:
    path = with_sidecar(tmp_path, ODD, ODD | change)

    with pytest.raises(
        ReplayError, match=rf"{tmp_path}/q\.instruments\.json, instruments entry 2: {problem}"
    ):
        Replay(path, FakeClock(), MAX)
