"""RabbitMQ and Redis for tests: those that stand ready, and servers of a test's own to break."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import aio_pika
from aio_pika.abc import AbstractChannel

from events.topology import Topology
from tests.standing import absent

BOUND_S = 60


def free_port() -> int:
    """Find a port below those that the system gives to outgoing connections."""
    for port in range(23_000 + os.getpid() % 800 * 10, 32_768):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no free port below 32768")


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(BOUND_S):
        while not condition():  # noqa: ASYNC110 - no event tells what a bus or a socket does
            await asyncio.sleep(0.005)


@dataclass(frozen=True, slots=True)
class ScratchTopology(Topology):
    """A topology that no other test shares."""

    scratch: str = ""

    def _name(self, last: str) -> str:
        return f"test.{self.scratch}.{Topology._name(self, last)}"


@asynccontextmanager
async def channel_at(url: str) -> AsyncIterator[AbstractChannel]:
    """Open a channel beside those of the bus."""
    async with await aio_pika.connect(url) as connection, connection.channel() as channel:
        yield channel


@asynccontextmanager
async def swept(url: str, *topologies: Topology) -> AsyncIterator[AbstractChannel]:
    """Lend a channel, and remove what lasts of the topologies at the end."""
    async with channel_at(url) as channel:
        try:
            yield channel
        finally:
            async with channel_at(url) as broom:
                for topology in topologies:
                    for queue in (topology.outside, topology.dead):
                        await broom.queue_delete(queue)
                    for exchange in (topology.exchange, topology.dead):
                        await broom.exchange_delete(exchange)


class Server:
    """A server process of a test's own, in a group of its own, so that nothing of it is left."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                env=self.environment(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, number)

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.signal(signal.SIGKILL)
            self._process.wait(BOUND_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


class RedisServer(Server):
    """A Redis that keeps nothing on disk."""

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        server = shutil.which("redis-server")
        if server is None:
            absent("redis-server is not installed")
        bind = ("--bind", "127.0.0.1", "--port", str(self.port))
        return [server, *bind, "--save", "", "--appendonly", "no"]


class RabbitNode(Server):
    """A RabbitMQ node with a name, a cookie, a folder and ports of its own."""

    # The commands on the path are wrappers that change the user; these are what they call.
    BIN = Path("/usr/lib/rabbitmq/bin")

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__(folder, port)
        self._name = f"drawbridge-{port}@localhost"
        cookie = folder / ".erlang.cookie"
        cookie.touch(mode=0o600)
        cookie.write_text(f"drawbridge-{port}")
        (folder / "plugins").write_text("[].")

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    def environment(self) -> dict[str, str]:
        mine = {
            "NODENAME": self._name,
            "NODE_IP_ADDRESS": "127.0.0.1",
            "NODE_PORT": str(self.port),
            "DIST_PORT": str(self.port + 1),
            "MNESIA_BASE": str(self.folder / "mnesia"),
            "LOG_BASE": str(self.folder),
            "LOGS": "-",
            "ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "CONF_ENV_FILE": os.devnull,
            "CONFIG_FILE": str(self.folder / "rabbitmq"),
            "PID_FILE": str(self.folder / "pid"),
        }
        prefixed = {f"RABBITMQ_{name}": text for name, text in mine.items()}
        return {
            **os.environ,
            **prefixed,
            "HOME": str(self.folder),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_FLAGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }

    def command(self) -> list[str]:
        if not (self.BIN / "rabbitmq-server").exists():
            absent("rabbitmq-server is not installed")
        return [str(self.BIN / "rabbitmq-server")]

    def start(self) -> None:
        (self.folder / "pid").unlink(missing_ok=True)
        super().start()
        self.ctl("wait", "--timeout", str(BOUND_S), str(self.folder / "pid"))

    def ctl(self, *arguments: str) -> None:
        subprocess.run(
            [str(self.BIN / "rabbitmqctl"), "-n", self._name, *arguments],
            env=self.environment(),
            check=True,
            capture_output=True,
            timeout=BOUND_S + 5,
        )

    async def control(self, *arguments: str) -> None:
        """Run rabbitmqctl while the test goes on."""
        await asyncio.to_thread(self.ctl, *arguments)

    async def block(self) -> None:
        """Have it run short of memory, so that it stops taking messages."""
        await self.control("set_vm_memory_high_watermark", "0.0000001")

    async def unblock(self) -> None:
        await self.control("set_vm_memory_high_watermark", "0.4")
