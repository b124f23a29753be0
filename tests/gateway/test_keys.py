"""`drawbridge keys`, and links over GraphQL: what is configured, refused and rotated."""

import json
from pathlib import Path

import pytest

from gateway.config import ConfigError
from gateway.links import registrations
from tests.gateway.client import Client
from tests.gateway.conftest import Command
from tests.gateway.process import running
from tests.gateway.tokens import minted

BROKER = {
    "client_id": "gateway",
    "authorization_endpoint": "https://broker.example/authorize",
    "token_endpoint": "https://broker.example/token",
    "redirect_uri": "https://app.example/linked",
}
BEGIN = 'mutation { beginLink(accountId: "equity", broker: "%s") { url link { id state } } }'


def written(directory: Path, **fields: object) -> Path:
    file = directory / "links.json"
    file.write_text(json.dumps({"brokers": {"alpaca": BROKER | fields}}))
    return file


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("paper", "say local, aws-kms:KEY"),
        ("vault:https://vault/transit/gw", "DRAWBRIDGE_VAULT_TOKEN"),
        ("vault:http://vault/transit/gw", "say vault:https://"),
        ("pkcs11:/lib/x.so?token=gw", "pkcs11:MODULE?token=<label>&key=<label>"),
        ("local:/nowhere/keys.json", "cannot be read"),
    ],
)
def test_a_keeper_that_cannot_be_is_refused(
    command: Command, data: Path, keys: str, words: str
) -> None:
    assert words in command("keys", "status", "--data", data, keys=keys).refused()


def test_keys_that_lie_on_a_disk_are_refused_in_live(command: Command, data: Path) -> None:
    told = command("keys", "status", "--data", data, environment="live").refused()

    assert "aws-kms" in told or "belongs to the environment sim" in told


def test_keys_are_shown_and_rotated_with_a_record_of_it(command: Command, data: Path) -> None:
    assert command("keys", "status", "--data", data).out.startswith("sealing under local ")
    rotated = command("keys", "rotate", "--by", "ann", "--data", data).out
    assert rotated.startswith("0 secrets are under local ")
    command("audit", "seal", "--data", data)
    assert "ROTATE_KEYS" in command("audit", "export", "--acts", "--data", data).out


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"client_id": None}, "lacks client_id"),
        ({"secret": "x"}, "says secret, which means nothing"),
        ({"token_endpoint": "http://broker.example/token"}, "must begin with https"),
    ],
)
def test_a_registration_that_is_wrong_is_refused(
    tmp_path: Path, fields: dict[str, object], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        registrations(written(tmp_path, **fields))


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        registrations(tmp_path / "none.json")
    (tmp_path / "links.json").write_text("[]")
    with pytest.raises(ConfigError, match="write"):
        registrations(tmp_path / "links.json")


@pytest.mark.slow
def test_a_link_is_begun_listed_and_ended_over_graphql(tmp_path: Path) -> None:
    links = str(written(tmp_path))
    with running(tmp_path / "data", links=links) as gateway:
        officer = Client(gateway.url, minted(gateway.data, "risk_officer"))
        trader = Client(gateway.url, minted(gateway.data, "trader"))
        with officer, trader:
            begun = officer.data(BEGIN % "alpaca")
            assert begun["url"].startswith("https://broker.example/authorize?")
            assert begun["link"]["state"] == "AUTHORIZING"
            assert officer.error(BEGIN % "nobody")["extensions"]["code"] == "NOT_FOUND"
            assert trader.error(BEGIN % "alpaca")["extensions"]["code"] == "FORBIDDEN"
            [link] = trader.data("{ links { id accountId broker state requestedBy isExpiring } }")
            assert link == {
                "id": begun["link"]["id"],
                "accountId": "equity",
                "broker": "alpaca",
                "state": "AUTHORIZING",
                "requestedBy": "risk_officer",
                "isExpiring": False,
            }
            ended = officer.data(f'mutation {{ unlink(id: "{link["id"]}") {{ state }} }}')
            assert ended == {"state": "UNLINKED"}
            assert trader.data("{ links { id } }") == []
