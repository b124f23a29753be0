"""A user's sessions end, everywhere and at once, when its tokens are revoked."""

from itertools import count

import pytest
from websockets.exceptions import ConnectionClosed

from tests.gateway.client import Client, received
from tests.gateway.process import Running
from tests.gateway.tokens import minted

pytestmark = pytest.mark.slow

REVOKE = """mutation($userId: ID!, $reason: String!) {
  revokeTokens(userId: $userId, reason: $reason) { userId before } }"""
ACTS = "{ acts(first: 1) { kind subject detail userId } }"


def test_what_a_user_has_open_ends_and_a_new_token_opens(gateway: Running) -> None:
    with (
        Client(gateway.url, minted(gateway.data, "operator")) as operator,
        Client(gateway.url, minted(gateway.data, "viewer")) as viewer,
        Client(gateway.url, minted(gateway.data)) as trader,
        viewer.socket() as socket,
        trader.socket() as other,
    ):
        assert received(socket) == received(other) == {"type": "connection_ack"}
        told = operator.data(REVOKE, userId="viewer", reason="a lost phone")
        assert told["userId"] == "viewer"

        with pytest.raises(ConnectionClosed) as closed:
            all(received(socket) for _ in count())
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4403
        assert "revoked" in closed.value.rcvd.reason
        assert "revoked" in viewer.error("{ viewer { userId } }")["message"]

        other.send('{"type": "ping"}')
        assert received(other) == {"type": "pong"}
        # Issued a second later, so that it is certainly after.
        with Client(gateway.url, minted(gateway.data, "viewer", issued_s_ago=-1)) as again:
            assert again.data("{ viewer { userId } }") == {"userId": "viewer"}

    with Client(gateway.url, minted(gateway.data, "auditor")) as auditor:
        assert auditor.data(ACTS) == [
            {
                "kind": "REVOKE_TOKENS",
                "subject": "viewer",
                "detail": "a lost phone",
                "userId": "operator",
            }
        ]


def test_another_tenants_user_is_as_none(gateway: Running) -> None:
    with Client(gateway.url, minted(gateway.data, "operator")) as operator:
        errors = [
            operator.error(REVOKE, userId=name, reason="why") for name in ("stranger", "nothere1")
        ]

    assert {error["extensions"]["code"] for error in errors} == {"NOT_FOUND"}
    assert len({error["message"].replace("nothere1", "stranger") for error in errors}) == 1
