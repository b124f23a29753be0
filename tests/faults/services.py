"""The services of the fault tests: those that stand ready, and some of a test's own to break."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from events.topology import Topology
from persistence.postgresql import DRIVER
from tests import standing
from tests.events.services import BOUND_S, Server, free_port, swept
from tests.faults.proxy import FaultProxy
from trading.ports import Environment

_BIN = Path("/usr/lib/postgresql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Addresses of a server each; `postgres` names no database."""

    postgres: str
    amqp: str
    redis: str


@contextmanager
def found() -> Iterator[Services]:
    """Find the services, with a RabbitMQ vhost of our own, or one that is swept afterwards."""
    postgres = urlsplit(standing.found(standing.POSTGRESQL))._replace(path="").geturl()
    amqp, redis = standing.found(standing.RABBITMQ), standing.found(standing.REDIS)
    if amqp == standing.RABBITMQ.usual and shutil.which("rabbitmqctl"):
        with _own_vhost() as vhost:
            yield Services(postgres=postgres, amqp=f"{amqp}{vhost}", redis=redis)
        return
    yield Services(postgres=postgres, amqp=amqp, redis=redis)
    asyncio.run(_sweep(amqp))


@contextmanager
def _own_vhost() -> Iterator[str]:
    vhost = f"drawbridge-faults-{os.getpid()}"
    _rabbitmqctl("add_vhost", vhost)
    try:
        _rabbitmqctl("set_permissions", "-p", vhost, "guest", ".*", ".*", ".*")
        yield vhost
    finally:
        _rabbitmqctl("delete_vhost", vhost)


def _rabbitmqctl(*arguments: str) -> None:
    subprocess.run(
        ["rabbitmqctl", "-q", *arguments], check=True, capture_output=True, timeout=BOUND_S
    )


async def _sweep(amqp: str) -> None:
    async with swept(amqp, Topology(Environment.SIM)):
        pass


@contextmanager
def database(server: str) -> Iterator[str]:
    """Make a database, and drop it whoever still has it open."""
    name = f"drawbridge_faults_{uuid4().hex[:12]}"
    administration = f"{server}/postgres"
    query(administration, f"CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0")
    try:
        yield f"{server}/{name}"
    finally:
        query(administration, f"DROP DATABASE {name} WITH (FORCE)")


def query(url: str, statement: str) -> list[sa.RowMapping]:
    """Run a statement in a database, and return its rows."""

    async def run() -> list[sa.RowMapping]:
        address = sa.make_url(url).set(drivername=DRIVER)
        engine = create_async_engine(address, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            result = await connection.execute(sa.text(statement))
            return list(result.mappings()) if result.returns_rows else []

    return asyncio.run(run())


class PostgresServer(Server):
    """A PostgreSQL cluster of a test's own, with everything on that makes a commit last."""

    settings: tuple[str, ...] = ()

    @classmethod
    @contextmanager
    def running(cls, *settings: str) -> Iterator[Self]:
        """Make a cluster and run it. It refuses to run as root, and then runs as `postgres`."""
        with (
            TemporaryDirectory(prefix="drawbridge-postgres-") as folder,
            cls(Path(folder), free_port()) as server,
        ):
            if os.getuid() == 0:
                shutil.chown(folder, "postgres")
            server.settings = settings
            server.initialise()
            server.start()
            yield server

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        sockets = ("unix_socket_directories=", "listen_addresses=127.0.0.1")
        options = [f"-c{setting}" for setting in (*sockets, *self.settings)]
        return [*_program("postgres"), "-D", self._data, "-p", str(self.port), *options]

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def initialise(self) -> None:
        subprocess.run(
            [*_program("initdb"), "-D", self._data, "-U", "postgres", "-A", "trust", "-E", "UTF8"],
            check=True,
            capture_output=True,
            cwd=self.folder,
            timeout=BOUND_S,
        )

    def start(self) -> None:
        super().start()
        until(self._answers)

    def stop(self, number: signal.Signals) -> None:
        """End the server by a signal to it alone: its own processes follow it."""
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(BOUND_S)

    def _answers(self) -> bool:
        try:
            query(f"{self.url}/postgres", "SELECT 1")
        except (OSError, DBAPIError):
            return False
        return True


def _program(name: str) -> list[str]:
    programs = sorted(_BIN.glob(f"*/bin/{name}"))
    if not programs:
        standing.absent(f"{name} is not installed below {_BIN}")
    change_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    return [*(change_user if os.getuid() == 0 else ()), str(programs[-1])]


class Proxy:
    """A fault proxy before a server, in a thread of its own, for tests that are no coroutines."""

    def __init__(self, url: str) -> None:
        at = urlsplit(url)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        self._thread.start()
        self._proxy = FaultProxy(at.hostname or "", at.port or 0)
        self.wait(self._proxy.listen())
        mine = at.netloc.replace(f"{at.hostname}:{at.port}", f"127.0.0.1:{self._proxy.port}")
        self.url = url.replace(at.netloc, mine)

    def wait(self, work: Coroutine[Any, Any, Any]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(BOUND_S)

    def do(self, act: Callable[[FaultProxy], Awaitable[None] | None]) -> None:
        """Do something to the proxy in its own thread."""

        async def work() -> None:
            if (done := act(self._proxy)) is not None:
                await done

        self.wait(work())

    def cut(self) -> None:
        """Have the server look dead: connections are reset, and new ones refused."""
        self.do(FaultProxy.refuse)
        self.do(FaultProxy.reset)

    def mend(self) -> None:
        """Have the server look alive again."""
        self.do(FaultProxy.listen)

    def close(self) -> None:
        self.wait(self._proxy.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(BOUND_S)
        self._loop.close()


def until[T](look: Callable[[], T], seconds: float = BOUND_S) -> T:
    """Look until what is seen is true; each look is a round trip to another process."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, seen
    return seen
