"""Services are looked for where the environment says, on usual ports, then by Docker Compose."""

import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests import standing
from tests.standing import POSTGRESQL, RABBITMQ, REDIS, Service, found


@pytest.fixture(autouse=True)
def _unknown() -> Iterator[None]:
    """Forget what was found, before and after."""
    standing.looked_for.cache_clear()
    yield
    standing.looked_for.cache_clear()


@pytest.fixture
def port() -> Iterator[int]:
    """Lend a port at which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def nobody() -> int:
    """Name a port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def service(nobody: int, monkeypatch: pytest.MonkeyPatch) -> Service:
    """Lend a service that is nowhere."""
    monkeypatch.delenv(REDIS.variable, raising=False)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("PATH", "")
    return replace(REDIS, usual=f"redis://127.0.0.1:{nobody}/15")


def test_what_the_environment_names_comes_first(
    service: Service, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = f"redis://127.0.0.1:{port}/3"
    monkeypatch.setenv(service.variable, named)
    assert found(service) == named


def test_what_it_names_and_does_not_answer_is_not_replaced_by_another(
    service: Service, port: int, nobody: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(service.variable, f"redis://127.0.0.1:{nobody}/3")
    with pytest.raises(pytest.skip.Exception, match=f"no redis answers at 127.0.0.1:{nobody}"):
        found(replace(service, usual=f"redis://127.0.0.1:{port}/15"))


def test_the_usual_port_comes_next(service: Service, port: int) -> None:
    usual = f"redis://127.0.0.1:{port}/15"
    assert found(replace(service, usual=usual)) == usual


def test_docker_compose_starts_what_is_nowhere(
    service: Service, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker = tmp_path / "docker"
    docker.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n')
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    composed = f"redis://127.0.0.1:{port}/15"
    service = replace(service, composed=composed)

    assert [found(service), found(service)] == [composed, composed]
    [call] = (tmp_path / "calls").read_text().splitlines()
    assert call.startswith("compose --project-directory ")
    assert call.endswith(" up --detach --wait redis")


def test_what_is_nowhere_is_skipped_and_named(service: Service) -> None:
    with pytest.raises(pytest.skip.Exception, match=f"set {service.variable}"):
        found(service)


def test_where_it_is_promised_it_fails(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="and CI is set"):
        found(service)


@pytest.mark.parametrize("service", [POSTGRESQL, RABBITMQ, REDIS], ids=lambda each: each.name)
def test_compose_knows_each_and_publishes_the_port(service: Service) -> None:
    port = service.composed.rpartition(":")[2].partition("/")[0]
    compose = (Path(__file__).parents[1] / "docker-compose.yml").read_text()
    _, _, block = compose.partition(f"\n  {service.name}:\n")
    assert f'"127.0.0.1:{port}:{port}"' in block.partition("\n\n")[0]
