"""The first process over an empty database: one that can fill it, or a refusal with a remedy."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.services import database
from tests.gateway.client import Client
from tests.gateway.conftest import Command
from tests.gateway.process import free_port, running
from tests.gateway.test_shared_config import SHARED
from tests.gateway.tokens import minted
from tests.standing import POSTGRESQL, found

pytestmark = pytest.mark.services

ACCOUNTS = "{ accounts { id } }"


@pytest.fixture
def shared() -> Iterator[dict[str, str]]:
    """Lend the addresses of an empty database, and of a bus, cache and exchange that are down."""
    with database(found(POSTGRESQL).rsplit("/", 1)[0]) as url:
        yield SHARED | {"database_url": url}


def test_an_api_that_comes_first_is_refused_and_told_what_comes_before_it(
    command: Command, shared: dict[str, str], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    api = ("serve", "--role", "api", "--port", free_port(), "--data", data)
    refused = command(*api, **shared).refused()

    assert "the database has no instruments yet" in refused
    assert "start one of the role all or session first, or run `drawbridge migrate`" in refused
    assert not data.exists()


def test_the_remedy_is_one(command: Command, shared: dict[str, str], tmp_path: Path) -> None:
    data = tmp_path / "data"
    migrated = command("migrate", **shared)
    added = command("account", "add", "second", **shared)

    assert (migrated.status, migrated.err) == (0, "")
    assert (added.status, added.out) == (0, "added the account second\n")
    with (
        running(data, "--role", "api", **shared) as gateway,
        Client(gateway.url, minted(data, "trader")) as client,
    ):
        accounts = [account["id"] for account in client.data(ACCOUNTS)]
    assert {"equity", "second"} <= set(accounts)
