"""A key at Alpaca is replaced while requests go on: two are good at once, and no request fails."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from brokers.alpaca.fence import Credentials, check_key
from brokers.link.keys import SETTLED_S, MountedKey
from gateway.system import SystemClock
from tests.brokers.alpaca import KEY, simulated, until
from tests.brokers.world import catalogue
from trading.ports import Clock, Environment, Unauthorized

pytestmark = pytest.mark.slow

FRESH = Credentials("SIMFRESH", "another-secret")


class Stopped:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = 10**12

    def now(self) -> int:
        return self.at

    def monotonic(self) -> int:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += int(seconds * 10**9)


def mount(folder: Path, key: Credentials) -> None:
    folder.mkdir(exist_ok=True)
    for name in ("key_id", "secret_key"):
        fresh = folder.with_suffix(".fresh")
        fresh.write_text(getattr(key, name))
        fresh.replace(folder / name)


def mounted(folder: Path, clock: Clock) -> MountedKey[Credentials]:
    return MountedKey(folder, Credentials.read, lambda key: check_key(key, Environment.SIM), clock)


async def test_no_request_fails_while_a_key_is_replaced(tmp_path: Path) -> None:
    mount(tmp_path / "key", KEY)
    async with simulated(tmp_path, catalogue()) as alpaca:
        broker = alpaca.broker(key=mounted(tmp_path / "key", SystemClock()))
        await broker.connect(None)
        done, accepted = 0, alpaca.simulator.accepted

        async def ask() -> None:
            nonlocal done
            while True:
                await broker.accounts()
                done += 1

        asking = asyncio.create_task(ask())
        await until(lambda: done > 5 or asking.done())
        accepted.add(FRESH)
        mount(tmp_path / "key", FRESH)
        used = broker._link._key
        await until(lambda: used() == FRESH or asking.done())
        accepted.remove(KEY)
        more = done + 20
        await until(lambda: done > more or asking.done())

        assert not asking.done()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await broker.close()
        # A stream that is opened anew brings the new key as well.
        await broker.connect(None)
        await broker.close()
        log = (tmp_path / "adapter" / "alpaca.jsonl").read_text()
        assert KEY.secret_key not in log
        assert FRESH.secret_key not in log


def test_files_that_come_one_by_one_are_taken_together(tmp_path: Path) -> None:
    clock, folder = Stopped(), tmp_path / "key"
    mount(folder, KEY)
    key = mounted(folder, clock)

    for name in ("key_id", "secret_key"):
        (folder / name).write_text(getattr(FRESH, name))
        assert key.now() == KEY
        clock.at += int(SETTLED_S * 10**9) - 1
        assert key.now() == KEY
    clock.at += 1
    assert key.now() == FRESH


@pytest.mark.parametrize("key_id", ["", "two words", "AKLIVE", None])
def test_a_key_that_is_no_good_leaves_the_one_before(
    tmp_path: Path, key_id: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    clock, folder = Stopped(), tmp_path / "key"
    mount(folder, KEY)
    key = mounted(folder, clock)
    if key_id is None:
        (folder / "key_id").unlink()
    else:
        (folder / "key_id").write_text(key_id)

    for _ in range(5):
        assert key.now() == KEY
        clock.at += int(SETTLED_S * 10**9)
    assert caplog.text.count("the key of before is used") == 1
    mount(folder, FRESH)
    key.now()
    clock.at += int(SETTLED_S * 10**9)
    assert key.now() == FRESH


def test_without_a_key_at_first_nothing_starts(tmp_path: Path) -> None:
    with pytest.raises(Unauthorized, match="key_id cannot be read"):
        mounted(tmp_path / "nothing", Stopped())
