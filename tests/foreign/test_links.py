"""An account is linked at an authorization server that nobody here wrote, and stays so."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from persistence.opening import store_file
from tests.foreign.provider import CALLBACK, Provider, provider
from tests.gateway.client import Client
from tests.gateway.process import Running, running
from tests.gateway.tokens import minted

pytestmark = pytest.mark.foreign

BEGIN = 'mutation { beginLink(accountId: "equity", broker: "broker") { url link { id } } }'
COMPLETE = "mutation($to: String!) { completeLink(redirectedTo: $to) { id state revision } }"
ROTATE = "mutation($id: ID!) { rotateLink(id: $id) { state revision tokenExpiresAt } }"
UNLINK = "mutation($id: ID!) { unlink(id: $id) { state } }"

type Linked = tuple[Provider, Running]


@pytest.fixture(scope="module")
def linked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Linked]:
    """Run the server as a broker's, and a gateway that is registered there as a public client."""
    directory = tmp_path_factory.mktemp("linked")
    with ExitStack() as stack:
        server = stack.enter_context(provider(directory))
        registered = {
            "client_id": "web",
            "authorization_endpoint": f"{server.issuer}/auth",
            "token_endpoint": f"{server.issuer}/token",
            "redirect_uri": CALLBACK,
            "scope": "openid gateway:read",
            "issuer": server.issuer,
        }
        links = directory / "links.json"
        links.write_text(json.dumps({"brokers": {"broker": registered}}))
        gateway = stack.enter_context(running(directory / "data", links=str(links)))
        yield server, gateway


@pytest.fixture
def officer(linked: Linked) -> Iterator[Client]:
    _, gateway = linked
    with Client(gateway.url, minted(gateway.data, "risk_officer")) as client:
        yield client


def consented(server: Provider, url: str) -> str:
    """Consent as the account's holder; return the address that the browser comes back to."""
    answer = server._interacted(dict(parse_qsl(urlsplit(url).query)), "holder")
    return f"{CALLBACK}?{urlencode(answer, doseq=True)}"


def test_a_link_is_made_refreshed_and_ended(linked: Linked, officer: Client) -> None:
    server, gateway = linked
    begun = officer.data(BEGIN)
    completed = officer.data(COMPLETE, to=consented(server, begun["url"]))
    assert (completed["id"], completed["state"]) == (begun["link"]["id"], "ACTIVE")

    # Its refresh tokens are good once: each refresh rests on the one that was committed before.
    for turn in range(1, 4):
        rotated = officer.data(ROTATE, id=completed["id"])
        assert rotated["state"] == "ACTIVE"
        assert rotated["revision"] == completed["revision"] + turn
    with closing(sqlite3.connect(store_file(gateway.data))) as store:
        [(ciphertext,)] = store.execute("SELECT ciphertext FROM sealed_secrets").fetchall()
    assert b"token" not in bytes.fromhex(ciphertext)
    assert officer.data(UNLINK, id=completed["id"]) == {"state": "UNLINKED"}


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda answer: answer | {"iss": "https://evil.example"}, "BAD_USER_INPUT"),
        (
            lambda answer: {name: each for name, each in answer.items() if name != "iss"},
            "BAD_USER_INPUT",
        ),
        (lambda answer: answer | {"state": "another"}, "NOT_FOUND"),
        (lambda answer: answer | {"code": "made-up"}, "BAD_USER_INPUT"),
    ],
)
def test_an_answer_that_was_tampered_with_links_nothing(
    linked: Linked, officer: Client, spoil: Any, code: str
) -> None:
    server, _ = linked
    came = consented(server, officer.data(BEGIN)["url"])
    answer = spoil(dict(parse_qsl(urlsplit(came).query)))

    error = officer.error(COMPLETE, to=f"{CALLBACK}?{urlencode(answer)}")
    assert error["extensions"]["code"] == code
    states = {each["state"] for each in officer.data("{ links { state } }")}
    assert states == {"AUTHORIZING"}


def test_an_answer_is_good_once(linked: Linked, officer: Client) -> None:
    server, _ = linked
    came = consented(server, officer.data(BEGIN)["url"])
    link = officer.data(COMPLETE, to=came)

    assert officer.error(COMPLETE, to=came)["extensions"]["code"] == "NOT_FOUND"
    officer.data(UNLINK, id=link["id"])
