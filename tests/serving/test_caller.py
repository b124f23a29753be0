"""What a socket shows of its caller: in its handshake, and in `connection_init`."""

from collections.abc import AsyncIterator

import pytest

from serving.socket import BAD_REQUEST, TRY_AGAIN_LATER, Limits
from tests.serving.served import Served, serving
from trading.outcome import AuthenticationUnavailable


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving(Limits(ping_every_s=0.01)) as running:
        yield running


async def test_possession_is_proven_once_and_rights_are_looked_at_again(served: Served) -> None:
    client = await served.raw(Client_Cert=":QUJD:")
    payload = {"authorization": "Bearer trader", "dpop": "proof"}
    await client.send({"type": "connection_init", "payload": payload})
    assert await client.next() == {"type": "connection_ack"}
    for _ in range(2):
        assert (await client.any())["type"] == "ping"

    first, again, *_ = served.callers.shown
    assert (first.authorization, first.proof, first.method) == ("Bearer trader", "proof", "GET")
    assert (first.certificate, first.peer) == (":QUJD:", "127.0.0.1")
    assert not first.is_proven
    assert (again.authorization, again.proof, again.is_proven) == ("Bearer trader", None, True)


async def test_a_new_token_brings_a_new_proof(served: Served) -> None:
    client = await served.client()
    payload = {"authorization": "Bearer trader", "dpop": "second"}
    await client.send({"type": "ping", "payload": payload})
    assert await client.next() == {"type": "pong"}
    await client.still()

    [renewed] = [each for each in served.callers.shown if each.proof is not None]
    assert (renewed.proof, renewed.is_proven) == ("second", False)


@pytest.mark.parametrize("name", ["authorization", "dpop"])
async def test_what_is_no_text_is_no_credential(served: Served, name: str) -> None:
    client = await served.raw()
    await client.send({"type": "connection_init", "payload": {name: 5}})

    assert await client.closed() == (BAD_REQUEST, "authorization and dpop must be strings")


async def test_an_issuer_that_is_down_ends_no_socket_and_opens_none(served: Served) -> None:
    client = await served.client()
    served.callers.failure = AuthenticationUnavailable("ask again")
    for _ in range(3):
        assert (await client.any())["type"] == "ping"
    await client.still()

    late = await served.raw()
    await late.send({"type": "connection_init", "payload": {"authorization": "Bearer trader"}})
    assert await late.closed() == (TRY_AGAIN_LATER, "ask again")
