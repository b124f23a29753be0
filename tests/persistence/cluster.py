"""A PostgreSQL server of a test's own, to stop, restart and kill."""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.events.services import free_port
from tests.persistence import servers

_INSTALLED = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda each: each.parent.name)


class Cluster:
    """One server. PostgreSQL refuses to be root, so root runs it as the user `postgres`."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder, self._port = folder, port
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        return self.through(self._port)

    def through(self, port: int) -> str:
        """Name the server by a port before it."""
        return f"postgresql://postgres@127.0.0.1:{port}/postgres"

    def initialize(self) -> None:
        self._begin("initdb", "-A", "trust", "-U", "postgres", "-D", str(self._data)).wait(
            servers.BOUND_S
        )

    async def start(self) -> None:
        """Start the server, and wait until it has recovered and answers."""
        at = ["-h", "127.0.0.1", "-p", str(self._port), "-k", str(self._folder)]
        self._process = self._begin("postgres", "-D", str(self._data), *at)
        await servers.until(self.answers)

    async def stop(self, how: signal.Signals) -> None:
        """Stop it: SIGINT disconnects clients, SIGQUIT drops everything, SIGKILL asks nobody."""
        assert self._process is not None
        self._process.send_signal(how)
        await asyncio.to_thread(self._process.wait, servers.BOUND_S)

    async def restart(self, how: signal.Signals) -> None:
        await self.stop(how)
        await self.start()

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(servers.BOUND_S)

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    async def answers(self) -> bool:
        try:
            await servers.run(self.url, "SELECT 1")
        except Exception:  # noqa: BLE001 - refused, starting, recovering: not yet
            return False
        return True

    def _begin(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        user = "postgres" if os.geteuid() == 0 else None
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                [str(_INSTALLED[-1] / program), *arguments],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=user,
                group=user,
                extra_groups=[] if user else None,
            )


@asynccontextmanager
async def cluster() -> AsyncIterator[Cluster]:
    """Start a server on a port of its own, and remove all of it at the end."""
    if not _INSTALLED:
        pytest.skip("no PostgreSQL server is installed under /usr/lib/postgresql")
    # Not below pytest's own folder, which the user postgres may not enter.
    folder = Path(tempfile.mkdtemp(prefix="drawbridge-test-"))
    made = Cluster(folder, free_port())
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        await asyncio.to_thread(made.initialize)
        await made.start()
        yield made
    finally:
        made.kill()
        shutil.rmtree(folder)
