"""An account of others is as one that does not exist, in every field that takes one."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from resolvers.root import Schema
from tests.gateway.client import Client, received
from tests.gateway.operations import Sample, samples
from tests.gateway.process import Running
from tests.gateway.tokens import minted

pytestmark = pytest.mark.slow

PLACES = [
    pytest.param(sample, path, id=f"{sample.name}-{'.'.join(path)}")
    for sample in samples(Schema()._schema)
    for path in sample.accounts
]
ROLES = ("trader", "risk_officer", "operator")
NOBODYS = "nothere"
"""As long as `foreign`, so that not even a length tells them apart."""


@pytest.fixture(scope="module")
def callers(gateway: Running) -> Iterator[dict[str, Client]]:
    clients = {role: Client(gateway.url, minted(gateway.data, role)) for role in ROLES}
    yield clients
    for client in clients.values():
        client.close()


def answer(client: Client, sample: Sample, path: tuple[str, ...], account: str) -> str:
    """Return what is answered, with the account's name taken out of it."""
    variables = sample.of_account(path, account)
    if sample.name.startswith("Subscription."):
        with client.socket() as socket:
            assert received(socket) == {"type": "connection_ack"}
            payload = {"query": sample.text, "variables": variables}
            socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
            told = received(socket)
    else:
        told = client.answer(sample.text, **variables)
    return json.dumps(told).replace(account, "ACCOUNT")


def test_there_are_such_fields() -> None:
    assert len(PLACES) > 15


@pytest.mark.parametrize(("sample", "path"), PLACES)
def test_a_foreign_account_is_as_none(
    callers: dict[str, Client], sample: Sample, path: tuple[str, ...]
) -> None:
    for role, client in callers.items():
        foreign = answer(client, sample, path, "foreign")
        assert foreign == answer(client, sample, path, NOBODYS), role
        assert '"next"' not in foreign
        if role == "trader":
            # Of its own tenant, but not its own to see.
            assert answer(client, sample, path, "unheld") == foreign
