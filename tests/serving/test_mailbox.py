"""A mailbox never holds more than it may, keeps the order, and says where it cut a reader off."""

import asyncio
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from serving import frame
from serving.mailbox import HELD_BYTES_MAX, IN_LINE_MAX, Limits, Mailbox, Sender
from tests.serving.fakes import FakeLine, mailbox, message_of, settle


def framed(value: Any) -> bytes:
    return frame.text(json.dumps(value).encode())


@given(st.integers(0, 200_000))
def test_a_frame_is_what_a_client_unpacks(length: int) -> None:
    assert message_of(frame.text(b"x" * length)) == b"x" * length


@given(st.text())
def test_a_reason_fits_its_frame(words: str) -> None:
    cut = frame.reason(words)

    assert len(cut.encode()) <= 123
    assert words.startswith(cut)
    assert cut == words or len(cut.encode()) > 119


def test_what_the_line_takes_is_written_at_once() -> None:
    line = FakeLine()
    box = mailbox(line)

    box.put(framed(1))
    box.put(framed(2), Sender("a"), slot="AAPL")

    assert line.messages() == [1, 2]
    assert box.is_empty


def test_what_waits_keeps_its_turn() -> None:
    line = FakeLine()
    box, one = mailbox(line), Sender("a")
    line.shut()
    for value in range(3):
        box.put(framed(value), one, seq=value)

    assert line.messages() == []
    line.open(frames=2)
    assert line.messages() == [0, 1]
    box.put(framed(3), one, seq=3)
    line.open()

    assert line.messages() == [2, 3]
    assert one.cursor == 3


def test_a_latest_value_takes_the_place_of_the_one_before() -> None:
    line = FakeLine()
    box, one, other = mailbox(line), Sender("a"), Sender("b")
    line.shut()
    for value in range(1_000):
        box.put(framed(value), one, slot="AAPL")
        box.put(framed(-value), one, slot="MSFT")
        box.put(framed(f"b{value}"), other, slot="AAPL")
    line.open()

    assert line.messages() == [999, -999, "b999"]


def test_too_many_in_line_are_cut_off_with_their_cursors() -> None:
    line = FakeLine()
    box, one, other = mailbox(line), Sender("one"), Sender("other")
    box.put(framed(7), one, seq=7)
    line.shut()
    box.put(framed(3), other, seq=3)
    for seq in range(8, 8 + IN_LINE_MAX - 1):
        box.put(framed(seq), one, seq=seq)
    assert line.ended == []

    box.put(framed("more"), one, seq=5_000)

    [(code, cursors)] = line.ended
    assert code == 4290
    assert json.loads(cursors) == {"one": 7, "other": 0}
    assert not box.is_open
    line.messages()
    line.ended.clear()
    line.open()
    assert line.messages() == [], "what was held has gone"


def test_too_many_bytes_are_cut_off_too() -> None:
    line = FakeLine()
    box = mailbox(line)
    line.shut()
    large = framed("x" * (HELD_BYTES_MAX // 4))
    for _ in range(3):
        box.put(large)
    assert line.ended == []

    box.put(large)

    assert line.ended != []


def test_what_an_ended_operation_left_is_dropped() -> None:
    line = FakeLine()
    box, one, other = mailbox(line), Sender("a"), Sender("b")
    line.shut()
    box.put(framed(1), one, seq=1)
    box.put(framed(2), one, slot="AAPL")
    box.put(framed(3), other, slot="AAPL")
    box.put(framed(4))

    box.forget(one)
    line.open()

    assert line.messages() == [3, 4]


async def test_who_can_wait_waits_for_room() -> None:
    line = FakeLine()
    box = mailbox(line)
    line.shut()
    box.put(framed(1))
    waiting = asyncio.create_task(box.room())
    await settle()
    assert not waiting.done()

    line.open()
    await waiting

    line.shut()
    waiting = asyncio.create_task(box.room())
    await settle()
    assert not waiting.done()
    box.close()
    await waiting


class Bounded(RuleBasedStateMachine):
    """Whatever is put in and however the line behaves: bounded, in order, nothing invented."""

    LIMITS = Limits(in_line=5, held_bytes=2_000)

    def __init__(self) -> None:
        super().__init__()
        self.line = FakeLine()
        self.box: Mailbox = mailbox(self.line, limits=self.LIMITS)
        self.senders = [Sender("a"), Sender("b")]
        self.seq = 0
        self.told: list[Any] = []

    @rule(sender=st.sampled_from([0, 1]), size=st.integers(0, 600))
    def report(self, sender: int, size: int) -> None:
        self.seq += 1
        message = ["report", sender, self.seq, "x" * size]
        self.box.put(framed(message), self.senders[sender], seq=self.seq)

    @rule(sender=st.sampled_from([0, 1]), symbol=st.sampled_from("ABC"))
    def quote(self, sender: int, symbol: str) -> None:
        self.seq += 1
        message = ["quote", sender, self.seq, symbol]
        self.box.put(framed(message), self.senders[sender], slot=symbol)

    @rule()
    def shut(self) -> None:
        self.line.shut()

    @rule(frames=st.one_of(st.none(), st.integers(1, 4)))
    def open(self, frames: int | None) -> None:
        self.line.open(frames)

    @rule(sender=st.sampled_from([0, 1]))
    def leave(self, sender: int) -> None:
        self.box.forget(self.senders[sender])
        self.senders[sender] = Sender("new")

    @invariant()
    def holds_no_more_than_it_may(self) -> None:
        held = list(self.box._held.values())
        in_line = [each for key, each in self.box._held.items() if isinstance(key, int)]
        assert len(in_line) == self.box._in_line <= self.LIMITS.in_line
        assert sum(len(each.frame) for each in held) == self.box._bytes <= self.LIMITS.held_bytes

    @invariant()
    def tells_reports_in_order_and_quotes_never_back(self) -> None:
        self.told += self.line.messages()
        reports = [seq for kind, _, seq, _ in self.told if kind == "report"]
        assert reports == sorted(set(reports))
        for key in {(sender, symbol) for kind, sender, _, symbol in self.told if kind == "quote"}:
            quotes = [m[2] for m in self.told if m[0] == "quote" and (m[1], m[3]) == key]
            assert quotes == sorted(set(quotes))

    @invariant()
    def cuts_off_once_or_never(self) -> None:
        assert len(self.line.ended) == (not self.box.is_open)


TestBounded = Bounded.TestCase
