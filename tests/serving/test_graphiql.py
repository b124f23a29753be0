"""The GraphiQL page, as a browser and as a program meet it."""

import re
from hashlib import sha256
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.testclient import TestClient

from serving import graphiql

STATIC = Path(graphiql.__file__).parent / "static"


def asking(accept: str) -> Request:
    return Request({"type": "http", "headers": [(b"accept", accept.encode())]})


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
        ("TEXT/HTML", True),
        ("application/json;q=0.5, text/html", True),
        ("text/html;q=0.5, application/graphql-response+json", False),
        ("text/html, application/json", False),
        ("text/html;q=never", False),
        ("text/html;q=0", False),
        ("application/json", False),
        ("*/*", False),
        ("", False),
    ],
)
def test_a_page_is_for_those_who_would_rather_have_html(accept: str, *, wanted: bool) -> None:
    assert graphiql.wants_page(asking(accept)) is wanted


def test_the_page_carries_the_token_unharmed_and_harmless() -> None:
    body = bytes(graphiql.page('"><script>alert(1)</script>').body).decode()

    assert '<meta name="token" content="&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;">' in body


def test_without_a_token_the_page_carries_none() -> None:
    assert '<meta name="token" content="">' in bytes(graphiql.page(None).body).decode()


def test_a_page_with_a_token_is_not_kept_by_any_cache() -> None:
    headers = graphiql.page("secret").headers

    assert headers["cache-control"] == "no-store"
    assert headers["vary"] == "Accept"


def test_page_and_assets_are_served_under_the_strict_policy() -> None:
    asset = TestClient(Starlette(routes=[graphiql.assets()])).get("/graphiql/start.js")

    for headers in (graphiql.page(None).headers, asset.headers):
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


def test_everything_the_page_names_is_served_from_here() -> None:
    client = TestClient(Starlette(routes=[graphiql.assets()]))
    body = bytes(graphiql.page(None).body).decode()
    named = re.findall(r'(?:src|href)="([^"]+)"', body)

    assert "/graphiql/start.js" in named
    for address in named:
        assert address == "data:," or client.get(address).status_code == 200, address


def test_the_page_has_no_inline_script_or_style() -> None:
    body = bytes(graphiql.page(None).body).decode()

    assert re.findall(r"<script[^>]*>([^<]*)", body) == [""] * body.count("<script")
    assert "<style" not in body
    assert re.search(r"\son\w+=|\sstyle=", body) is None


@pytest.mark.parametrize("path", ["../__init__.py", "..%2F__init__.py", "../index.html", "absent"])
def test_nothing_beside_the_assets_is_served(path: str) -> None:
    client = TestClient(Starlette(routes=[graphiql.assets()]))

    assert client.get(f"/graphiql/{path}").status_code == 404


def test_the_vendored_files_are_those_their_readme_names() -> None:
    vendor = STATIC / "vendor"
    table = (vendor / "README.md").read_text(encoding="utf-8")
    named = dict(re.findall(r"^\| `([^`]+)` .* `([0-9a-f]{64})` \|$", table, re.MULTILINE))
    found = {
        path.name: sha256(path.read_bytes()).hexdigest()
        for path in vendor.iterdir()
        if path.suffix in {".js", ".css"}
    }

    assert named == found
