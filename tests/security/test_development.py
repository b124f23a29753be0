"""The development issuer: its key, its tokens, and where it refuses to serve."""

import json
import stat
from pathlib import Path

import pytest

from security.development import KEY_FILE, LIFETIME_S, DevelopmentIssuer, IssuerRefused, open_issuer
from security.roles import ROLE_PERMISSIONS, Role
from tests.security.fakes import FakeClock, FakeIds
from trading.ids import UserID
from trading.ports import Environment

SCOPES = ROLE_PERMISSIONS[Role.TRADER]


def opened(
    directory: Path, environment: Environment = Environment.SIM, host: str = "127.0.0.1"
) -> DevelopmentIssuer:
    return open_issuer(
        directory, environment=environment, host=host, clock=FakeClock(), ids=FakeIds()
    )


def test_a_token_says_who_for_how_long_and_what(tmp_path: Path) -> None:
    issuer = opened(tmp_path)

    claims = issuer.verifier().verify(issuer.mint(UserID("trader"), SCOPES))

    assert claims.user_id == "trader"
    assert claims.scopes == SCOPES
    assert claims.expires_at == (FakeClock().now() // 10**9 + LIFETIME_S) * 10**9


def test_no_two_tokens_are_the_same(tmp_path: Path) -> None:
    issuer = opened(tmp_path)

    one, two = (issuer.verifier().verify(issuer.mint(UserID("u"), [])) for _ in range(2))

    assert one.token_id != two.token_id


def test_the_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    token = opened(tmp_path).mint(UserID("u"), SCOPES)
    before = (tmp_path / KEY_FILE).read_bytes()

    assert opened(tmp_path).verifier().verify(token).user_id == "u"
    assert (tmp_path / KEY_FILE).read_bytes() == before
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600


@pytest.mark.parametrize("environment", [Environment.PAPER, Environment.LIVE])
def test_it_serves_sim_alone(tmp_path: Path, environment: Environment) -> None:
    with pytest.raises(IssuerRefused, match=f"not {environment}"):
        opened(tmp_path, environment)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "192.0.2.1", "::", "example.org", "", "localhost.example"]
)
def test_it_serves_loopback_alone(tmp_path: Path, host: str) -> None:
    with pytest.raises(IssuerRefused, match="loopback alone"):
        opened(tmp_path, host=host)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_every_loopback_will_do(tmp_path: Path, host: str) -> None:
    opened(tmp_path, host=host)

    assert (tmp_path / KEY_FILE).exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_key_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    opened(tmp_path)
    (tmp_path / KEY_FILE).chmod(mode)

    with pytest.raises(IssuerRefused, match=r"others may read .*delete it"):
        opened(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "nonsense", '{"kty": "OKP", "crv": "Ed25519"}', "5"]
)
def test_a_broken_key_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / KEY_FILE
    path.touch(0o600)
    path.write_text(text)

    with pytest.raises(IssuerRefused, match="not a private key: delete it"):
        opened(tmp_path)


def test_a_public_key_is_refused(tmp_path: Path) -> None:
    opened(tmp_path)
    path = tmp_path / KEY_FILE
    key = json.loads(path.read_text())
    path.write_text(json.dumps({name: key[name] for name in ("kty", "crv", "x")}))

    with pytest.raises(IssuerRefused, match="not a private key"):
        opened(tmp_path)
