"""A group follows once; whoever joins it, and when, is told each report once and in order."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.hub import RECENT_MAX, Hub, Member
from serving.mailbox import Sender
from tests.resolvers.fakes import FakeIds
from tests.serving.fakes import FAILED, FakeLine, FakeSource, mailbox, settle


class Follower:
    """One operation of one socket."""

    def __init__(self, hub: Hub, source: FakeSource, name: str = "1") -> None:
        self.hub, self.source = hub, source
        self.line = FakeLine()
        self.box = mailbox(self.line)
        self.ends: list[Any] = []
        self.begun: list[int | None] = []
        self.member = Member(Sender(name), self.box, self.ends.append)
        self.group = hub.group("key", lambda: source)
        self.group.attach(self.member)

    def follow(self, after: int | None = None) -> "Follower":
        self.task = asyncio.create_task(self.group.admit(self.member, after, self.begun.append))
        return self

    def told(self) -> list[Any]:
        messages = self.line.messages()
        assert all(message["type"] == "next" for message in messages)
        assert {message["id"] for message in messages} <= {self.member.sender.id}
        return [message["payload"]["data"] for message in messages]

    def leave(self) -> None:
        self.task.cancel()
        self.group.leave(self.member)


async def test_a_source_is_followed_once_for_all() -> None:
    hub, source = Hub(FakeIds()), FakeSource(head=5)
    one, other = (Follower(hub, source, name).follow() for name in ("1", "a much longer id"))
    await settle()
    source.say()
    await settle()

    assert one.told() == other.told() == [6]
    assert source.followed == [5]
    assert one.begun == other.begun == [5]
    assert len(hub) == 1


async def test_the_last_to_leave_ends_it() -> None:
    hub, source = Hub(FakeIds()), FakeSource()
    one, other = (Follower(hub, source).follow() for _ in range(2))
    await settle()
    one.leave()
    source.say()
    await settle()
    assert one.told() == []
    assert other.told() == [1]

    other.leave()
    await settle()

    assert source.open == 0
    assert len(hub) == 0
    assert (one.ends, other.ends) == ([], [])


async def test_who_comes_after_the_last_has_left_begins_anew() -> None:
    hub, source = Hub(FakeIds()), FakeSource()
    Follower(hub, source).follow().leave()
    late = Follower(hub, source).follow()
    await settle()
    source.say()
    await settle()

    assert late.told() == [1]


async def test_who_resumes_reads_the_log_alone_until_it_is_level() -> None:
    hub, source = Hub(FakeIds()), FakeSource()
    for _ in range(10):
        source.say()
    one = Follower(hub, source).follow()
    late = Follower(hub, source).follow(after=3)
    await settle()

    assert one.told() == []
    assert late.told() == [4, 5, 6, 7, 8, 9, 10]
    assert late.begun == [10], "so that it can see that it is behind"
    assert source.open == 1, "it has joined"

    source.say()
    await settle()
    assert one.told() == late.told() == [11]


async def test_what_was_just_told_is_at_hand_for_who_comes_back() -> None:
    hub, source = Hub(FakeIds()), FakeSource()
    Follower(hub, source).follow()
    await settle()
    for _ in range(5):
        source.say()
    await settle()

    back = Follower(hub, source).follow(after=2)
    await settle()

    assert back.told() == [3, 4, 5]
    assert source.followed == [0], "nothing was read or executed again"


async def test_what_is_at_hand_is_bounded() -> None:
    hub, source = Hub(FakeIds()), FakeSource()
    one = Follower(hub, source).follow()
    await settle()
    for _ in range(RECENT_MAX + 10):
        source.say("x" * 1_000)
    for _ in range(20):
        await settle()
    assert len(one.told()) == RECENT_MAX + 10

    assert len(one.group._recent) < RECENT_MAX
    assert one.group._recent_bytes <= 128 * 1024
    back = Follower(hub, source).follow(after=0)
    for _ in range(20):
        await settle()
    assert len(back.told()) == RECENT_MAX + 10


async def test_a_reader_of_the_log_is_read_for_no_faster_than_it_reads() -> None:
    hub, source = Hub(FakeIds()), FakeSource()
    for _ in range(100):
        source.say()
    slow = Follower(hub, source)
    slow.line.left = 10
    slow.follow(after=0)
    await settle()
    assert slow.line.ended == []
    assert len(slow.box._held) == 0

    slow.line.open()
    await settle()
    await settle()
    await settle()

    assert slow.told() == list(range(1, 101))


async def test_what_is_passed_over_moves_on_without_a_word() -> None:
    hub, source = Hub(FakeIds()), FakeSource(passed=frozenset({2, 3, 5}))
    for _ in range(4):
        source.say()
    late = Follower(hub, source).follow(after=1)
    await settle()
    assert late.told() == [4]
    assert source.open == 1

    source.say()
    source.say()
    await settle()
    assert late.told() == [6]

    later = Follower(hub, source).follow(after=5)
    await settle()
    assert later.told() == [6]


async def test_who_joins_late_is_told_the_latest_of_each() -> None:
    hub, source = Hub(FakeIds()), FakeSource(head=None)
    one = Follower(hub, source).follow()
    await settle()
    source.say("old", slot="AAPL")
    source.say("MSFT", slot="MSFT")
    source.say("new", slot="AAPL")
    await settle()
    late = Follower(hub, source).follow()
    await settle()

    assert one.told() == ["old", "MSFT", "new"]
    assert sorted(late.told()) == ["MSFT", "new"]
    assert late.begun == [None]


async def test_a_source_that_fails_tells_everybody_why() -> None:
    hub, source = Hub(FakeIds()), FakeSource()
    one, other = Follower(hub, source).follow(), Follower(hub, source).follow(after=0)
    await settle()
    source.end(FAILED)
    await settle()

    assert one.ends == other.ends == [FAILED.errors]
    assert len(hub) == 0
    again = Follower(hub, FakeSource()).follow()
    await settle()
    assert again.ends == []


async def test_a_source_that_ends_ends_its_followers() -> None:
    hub, source = Hub(FakeIds()), FakeSource()
    one = Follower(hub, source).follow()
    await settle()
    source.end()
    await settle()

    assert one.ends == [()]


async def test_a_defect_is_masked_with_an_id_that_the_log_bears(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hub, source = Hub(FakeIds()), FakeSource()
    one, other = (Follower(hub, source).follow() for _ in range(2))
    await settle()
    source.end(TypeError("hunter2"))
    await settle()

    [[told]] = one.ends
    assert one.ends == other.ends
    error_id = told["extensions"]["errorId"]
    assert told["extensions"]["code"] == "INTERNAL"
    assert told["message"] == f"something went wrong here; quote {error_id}"
    [logged] = caplog.records
    assert f"errorId={error_id} " in logged.getMessage()
    assert "hunter2" in caplog.text


async def test_who_is_still_reading_the_log_when_the_source_ends_is_told_nothing_more() -> None:
    hub, source = Hub(FakeIds()), FakeSource()
    for _ in range(100):
        source.say()
    one = Follower(hub, source)
    one.line.left = 10
    one.follow(after=0)
    await settle()
    source.end(FAILED)
    await settle()
    assert one.ends == [FAILED.errors]

    source.is_over, source.failure = False, None
    one.line.open()
    await settle()
    assert one.told() == list(range(1, 11))


async def test_a_crowd_holds_nobody_up() -> None:
    hub, source = Hub(FakeIds()), FakeSource()
    crowd = [Follower(hub, source).follow() for _ in range(1_000)]
    await settle()
    turns = 0

    async def count() -> None:
        nonlocal turns
        while crowd[-1].line.written == []:
            turns += 1
            await asyncio.sleep(0)

    source.say()
    await asyncio.gather(count(), settle())
    assert turns > 3
    assert all(each.told() == [1] for each in crowd)


async def test_who_leaves_while_a_crowd_is_told_hears_nothing_more() -> None:
    hub, source = Hub(FakeIds()), FakeSource()
    crowd = [Follower(hub, source).follow() for _ in range(1_000)]
    await settle()
    source.say()
    for _ in range(3):
        await asyncio.sleep(0)
    assert crowd[0].line.written
    assert not crowd[-1].line.written
    crowd[-1].leave()
    joining = Follower(hub, source).follow(after=0)
    await settle()

    assert crowd[-1].told() == []
    assert joining.told() == [1]
    assert all(each.told() == [1] for each in crowd[:-1])


@settings(deadline=None)
@given(
    st.lists(
        st.one_of(
            st.just("say"),
            st.just("turn"),
            st.tuples(st.just("join"), st.integers(0, 30)),
            st.tuples(st.just("shut"), st.integers(0, 5)),
            st.tuples(st.just("open"), st.integers(0, 5)),
        ),
        max_size=60,
    ),
    st.frozensets(st.integers(1, 30), max_size=10),
)
def test_each_is_told_once_and_in_order(steps: list[Any], passed: frozenset[int]) -> None:
    async def run() -> None:
        hub, source = Hub(FakeIds()), FakeSource(passed=passed)
        followers: list[tuple[Follower, int]] = []
        for step in steps:
            await _do(step, hub, source, followers)
        for follower, _ in followers:
            follower.line.open()
        for _ in range(20):
            await settle()
        for follower, after in followers:
            wanted = [seq for seq in range(after + 1, source.last + 1) if seq not in passed]
            assert follower.told() == wanted
            follower.leave()
        await settle()
        assert len(hub) == source.open == 0

    asyncio.run(run())


async def _do(
    step: Any, hub: Hub, source: FakeSource, followers: list[tuple[Follower, int]]
) -> None:
    match step:
        case "say":
            source.say()
        case "turn":
            await asyncio.sleep(0)
        case ("join", back):
            after = max(source.last - back, 0)
            followers.append((Follower(hub, source, f"{len(followers)}").follow(after), after))
            await asyncio.sleep(0)
        case ("shut", which) if which < len(followers):
            followers[which][0].line.shut()
        case ("open", which) if which < len(followers):
            followers[which][0].line.open()
