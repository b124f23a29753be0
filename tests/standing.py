"""PostgreSQL, RabbitMQ and Redis that stand ready for tests, wherever they stand.

Each is looked for where `DRAWBRIDGE_TEST_*` says, else on its usual port of this machine, else
Docker Compose is told to start it. A test of one that is nowhere is skipped and the summary names
it; where `CI` promises that everything is there, the test fails.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import pytest

_ROOT = Path(__file__).parents[1]
_START_S = 300  # the first time, Docker has the images to fetch


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A server that tests share: its URL on this machine, and as docker-compose.yml makes it."""

    name: str
    variable: str
    usual: str
    composed: str

    @property
    def given(self) -> str | None:
        """The address that the environment names."""
        return os.environ.get(self.variable) or None


POSTGRESQL = Service(
    name="postgres",
    variable="DRAWBRIDGE_TEST_POSTGRES",
    usual="postgresql://postgres@127.0.0.1:5432/postgres",
    composed="postgresql://drawbridge:drawbridge@127.0.0.1:5432/postgres",
)
RABBITMQ = Service(
    name="rabbitmq",
    variable="DRAWBRIDGE_TEST_AMQP",
    usual="amqp://guest:guest@127.0.0.1:5672/",
    composed="amqp://drawbridge:drawbridge@127.0.0.1:5672/",
)
REDIS = Service(
    name="redis",
    variable="DRAWBRIDGE_TEST_REDIS",
    usual="redis://127.0.0.1:6379/15",
    composed="redis://127.0.0.1:6379/15",
)


def found(service: Service) -> str:
    """Return the URL of a service that answers, or skip the test."""
    url = looked_for(service)
    if url is None:
        absent(
            f"no {service.name} answers at {_where(service)}: start one, or set {service.variable}"
        )
    return url


@cache
def looked_for(service: Service) -> str | None:
    """Look for a service once, and have Docker Compose start it where nothing else answers."""
    if service.given:
        return service.given if _answers(service.given) else None
    if _answers(service.usual):
        return service.usual
    return service.composed if _compose(service.name) and _answers(service.composed) else None


def absent(what: str) -> NoReturn:
    """Skip for want of something; where everything is promised to be there, fail."""
    if os.environ.get("CI"):
        pytest.fail(f"{what}; and CI is set")
    pytest.skip(what)


def _where(service: Service) -> str:
    at = urlsplit(service.given or service.usual)
    return f"{at.hostname}:{at.port}"


def _answers(url: str) -> bool:
    at = urlsplit(url)
    try:
        socket.create_connection((at.hostname or "127.0.0.1", at.port or 0), timeout=2).close()
    except OSError:
        return False
    return True


def _compose(name: str) -> bool:
    """Start a service of docker-compose.yml and wait until it is healthy; it is left running."""
    docker = shutil.which("docker")
    if docker is None:
        return False
    up = [docker, "compose", "--project-directory", str(_ROOT), "up", "--detach", "--wait", name]
    try:
        return (
            subprocess.run(up, capture_output=True, timeout=_START_S, check=False).returncode == 0
        )
    except subprocess.TimeoutExpired:
        return False
