"""What the bench ran on: the machine's shape, and the versions of what took part."""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from bench import stores

_PACKAGES = (
    "strawberry-graphql",
    "graphql-core",
    "starlette",
    "uvicorn",
    "uvloop",
    "httptools",
    "sqlalchemy",
    "asyncpg",
    "aio-pika",
    "redis",
    "orjson",
)


def shape() -> Iterator[tuple[str, str]]:
    """Say what the machine is."""
    yield "Processor", f"{_processor()}, {os.cpu_count()} cores"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    yield "Memory", f"{memory / 2**30:.0f} GiB"
    yield "Kernel", f"{platform.system()} {platform.release()}"
    yield "Python", platform.python_version()
    yield "SQLite", sqlite3.sqlite_version
    try:
        yield "PostgreSQL", stores.server()
    except OSError:
        yield "PostgreSQL", "none"
    yield "Packages", ", ".join(f"{name} {version(name)}" for name in _PACKAGES)


def load() -> str:
    """Say how busy the machine was in the last minute, the bench itself included."""
    return f"{os.getloadavg()[0]:.1f}"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
