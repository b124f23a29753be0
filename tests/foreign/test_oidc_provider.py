"""Tokens of an authorization server that nobody here wrote open the gateway, and no others do."""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

from tests.foreign.provider import SECRET, Provider, proof, provider
from tests.gateway.process import Running, running

type Issued = tuple[Provider, Running]

pytestmark = pytest.mark.foreign
VIEWER = {"query": "{ viewer { userId role permissions } }"}
PLACE = """mutation($id: String!) { placeOrder(input: {
  accountId: "equity", clOrdId: $id, symbol: "AAPL", side: BUY, ordType: MARKET, orderQty: "1"
}) { __typename } }"""


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issued]:
    """Run the server, and a gateway that takes its tokens."""
    directory = tmp_path_factory.mktemp("issued")
    secret = directory / "secret"
    secret.write_text(f"{SECRET}\n")
    with ExitStack() as stack:
        server = stack.enter_context(provider(directory))
        gateway = stack.enter_context(
            running(
                directory / "data",
                issuer=server.issuer,
                introspection_client="gateway",
                introspection_secret=str(secret),
            )
        )
        yield server, gateway


def asked(
    gateway: Running, token: str, body: Any = None, scheme: str = "Bearer", **headers: str
) -> httpx2.Response:
    given = {"authorization": f"{scheme} {token}"} | headers
    return httpx2.post(gateway.url, json=body or VIEWER, headers=given)


def viewer(answer: httpx2.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]["viewer"]


def order() -> dict[str, Any]:
    return {"query": PLACE, "variables": {"id": secrets.token_hex(8)}}


def test_a_person_signs_in_by_code_with_pkce_and_refreshes(
    issued: tuple[Provider, Running],
) -> None:
    server, gateway = issued
    tokens = server.code("trader")
    assert viewer(asked(gateway, tokens["access_token"]))["role"] == "trader"

    fresh = server.refreshed(tokens["refresh_token"])
    assert fresh["access_token"] != tokens["access_token"]
    assert viewer(asked(gateway, fresh["access_token"]))["userId"] == "trader"

    # What was signed for the app itself is no access token.
    assert asked(gateway, tokens["id_token"]).status_code == 401


def test_a_program_shows_its_private_key(issued: Issued) -> None:
    server, gateway = issued
    tokens = server.client_credentials("trader")

    answer = asked(gateway, tokens["access_token"], order())

    assert answer.json()["data"]["placeOrder"]["__typename"] == "Order"


def test_who_is_not_known_here_is_refused(issued: Issued) -> None:
    server, gateway = issued

    answer = asked(gateway, server.code("stranger")["access_token"])

    assert (answer.status_code, answer.headers["www-authenticate"]) == (
        401,
        'Bearer error="invalid_token"',
    )


def test_a_partner_writes_orders_by_a_token_that_is_bound(issued: Issued) -> None:
    server, gateway = issued
    plain = server.client_credentials("partner")["access_token"]
    assert "orders:write" not in viewer(asked(gateway, plain))["permissions"]
    [error] = asked(gateway, plain, order()).json()["errors"]
    assert error["extensions"]["code"] == "FORBIDDEN"

    key = ECKey.generate_key("P-256")
    tokens = server.client_credentials("partner", DPoP=proof(key, "POST", f"{server.issuer}/token"))
    assert tokens["token_type"] == "DPoP"
    bound = tokens["access_token"]

    def shown(**claims: Any) -> httpx2.Response:
        made = claims.pop("proof", None) or proof(key, "POST", gateway.url, bound, **claims)
        return asked(gateway, bound, order(), "DPoP", DPoP=made)

    assert shown().json()["data"]["placeOrder"]["__typename"] == "Order"
    once = proof(key, "POST", gateway.url, bound)
    assert shown(proof=once).status_code == 200
    for answer in (
        shown(proof=once),
        shown(htu="https://elsewhere.example/graphql"),
        shown(htm="GET"),
        shown(iat=int(time.time()) - 120),
        shown(proof=proof(ECKey.generate_key("P-256"), "POST", gateway.url, bound)),
        asked(gateway, bound, order()),
    ):
        assert answer.status_code == 401, answer.text


def test_an_opaque_token_is_asked_about(issued: Issued) -> None:
    server, gateway = issued
    token = server.client_credentials("viewer")["access_token"]
    assert "." not in token

    assert viewer(asked(gateway, token))["role"] == "viewer"
    assert asked(gateway, token[:-1]).status_code == 401


def test_what_was_not_issued_for_here_is_refused(issued: Issued) -> None:
    server, gateway = issued
    good = server.client_credentials("trader")["access_token"]
    head, body, signature = good.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    published = httpx2.get(f"{server.issuer}/jwks").json()["keys"][0]
    header = {"alg": "ES256", "typ": "at+jwt", "kid": published["kid"]}
    own = ECKey.generate_key("P-256")
    secret = OctKey.import_key(json.dumps(published).encode())
    forged = {
        "tampered": f"{head}.{_part(claims | {'sub': 'operator'})}.{signature}",
        "unsigned": f"{_part(header | {'alg': 'none'})}.{body}.",
        "public key as secret": jwt.encode(
            header | {"alg": "HS256"}, claims, secret, algorithms=["HS256"]
        ),
        "another key": jwt.encode(header, claims, own),
        "unknown key": jwt.encode(header | {"kid": "unknown"}, claims, own),
        "embedded key": jwt.encode(header | {"jwk": own.as_dict(private=False)}, claims, own),
        "too long": good + "a" * 10_000,
    }
    for name, token in forged.items():
        answer = asked(gateway, token)
        assert answer.status_code == 401, name
        assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"', name
        assert token[:40] not in gateway.log.read_text(), name
    assert viewer(asked(gateway, good))["userId"] == "trader"


def test_keys_rotate_under_load_without_a_failure(issued: Issued) -> None:
    server, gateway = issued
    stop, failures, kids = threading.Event(), list[str](), list[str]()
    news = threading.Condition()

    def once() -> None:
        token = server.client_credentials("trader")["access_token"]
        viewer(asked(gateway, token))
        with news:
            kids.append(json.loads(base64.urlsafe_b64decode(token.partition(".")[0] + "=="))["kid"])
            news.notify()

    def load() -> None:
        while not stop.is_set():
            try:
                once()
            except Exception as error:  # noqa: BLE001 - it is told below, by the test's own thread
                with news:
                    failures.append(repr(error))
                    news.notify()
                return

    def count(kid: str, beyond: int) -> None:
        with news:
            is_done = news.wait_for(lambda: kids.count(kid) >= beyond or failures, 60)
            assert is_done, f"{kid} signed {kids.count(kid)} of {beyond}"

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        count("first", 20)
        server.rotate()
        count("second", 20)
        server.rotate()
        count("second", 60)
    finally:
        stop.set()
        for thread in threads:
            thread.join()

    assert failures == []
    assert {"first", "second"} == set(kids)


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
