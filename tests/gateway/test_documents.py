"""`drawbridge documents`: from a manifest to a gateway that serves what it has."""

import json
from pathlib import Path
from typing import Any

import pytest

from resolvers.document import sha256
from tests.gateway.client import Client, received
from tests.gateway.conftest import Command, Ran
from tests.gateway.process import running
from tests.gateway.tokens import minted

pytestmark = pytest.mark.slow

CLIENT = "development"
VIEWER = "query Viewer { viewer { userId } }"
ORDER = 'query Order { order(id: "x") { id } }'


def manifest(folder: Path, **documents: str) -> Path:
    entries = [{"name": name, "document": text} for name, text in documents.items()]
    file = folder / "manifest.json"
    file.write_text(json.dumps({"version": "1", "documents": entries}))
    return file


def documents(command: Command, data: Path, *words: object, client: str | None = CLIENT) -> Ran:
    named = ("--client", client) if client else ()
    return command("documents", *words, *named, "--data", data)


def short(text: str) -> str:
    return f"sha256:{sha256(text)[:12]}"


def test_the_way_of_a_manifest(command: Command, data: Path, tmp_path: Path) -> None:
    file = manifest(tmp_path, Viewer=VIEWER)
    added = f"+ Viewer {short(VIEWER)}\n"
    assert documents(command, data, "diff", file).out == added
    assert documents(command, data, "list").out == "\n"
    assert documents(command, data, "publish", file).out == added
    assert documents(command, data, "publish", file).out == f"= Viewer {short(VIEWER)}\n"
    assert documents(command, data, "list").out == f"{CLIENT} Viewer sha256:{sha256(VIEWER)} 1\n"
    assert documents(command, data, "list", client="another").out == "\n"

    newer = VIEWER.replace("userId", "userId name")
    file = manifest(tmp_path, Viewer=newer, Order=ORDER)
    expected = [
        f"+ Order {short(ORDER)}",
        f"~ Viewer {short(newer)}",
        f"  Viewer {short(VIEWER)} stays until it is retired",
    ]
    assert documents(command, data, "diff", file).out.splitlines() == expected
    assert documents(command, data, "publish", file).out.splitlines() == expected

    old = f"sha256:{sha256(VIEWER)}"
    assert documents(command, data, "retire", old).out == f"- Viewer {short(VIEWER)}\n"
    assert (
        f"{CLIENT} has registered no document {old}"
        in documents(command, data, "retire", old).refused()
    )
    assert documents(command, data, "retire", "Viewer").out == f"- Viewer {short(newer)}\n"
    [left] = documents(command, data, "list", client=None).out.splitlines()
    assert left == f"{CLIENT} Order sha256:{sha256(ORDER)} 1"
    assert documents(command, data, "bind").out == f"{CLIENT} may send registered documents alone\n"
    assert f"{CLIENT} (bound) Order" in documents(command, data, "list").out
    assert documents(command, data, "unbind").out == f"{CLIENT} may send any document\n"


@pytest.mark.parametrize("action", ["publish", "diff"])
def test_of_a_faulty_manifest_nothing_is_registered(
    command: Command, data: Path, tmp_path: Path, action: str
) -> None:
    file = manifest(tmp_path, Viewer=VIEWER, Wrong="query Wrong { nothing }")

    refused = documents(command, data, action, file).refused()
    assert "Wrong: Cannot query field 'nothing' on type 'Query'. (line 1)" in refused
    assert documents(command, data, "list").out == "\n"


def test_a_file_that_is_not_there_is_told(command: Command, data: Path, tmp_path: Path) -> None:
    refused = documents(command, data, "publish", tmp_path / "none.json").refused()
    assert "none.json cannot be read: No such file" in refused


def test_what_is_registered_is_checked_against_the_schema(
    command: Command, data: Path, tmp_path: Path
) -> None:
    file = manifest(tmp_path, Viewer=VIEWER)
    assert (
        documents(command, data, "check", file, client=None).out == "1 documents fit the schema\n"
    )
    documents(command, data, "publish", file)
    checked = documents(command, data, "check", client=None)
    assert checked.out == "1 registered documents fit the schema\n"
    # With narrower bounds than those it was published under it could not be served.
    narrow = command("documents", "check", "--data", data, max_depth="1")
    assert "Viewer: the document is too large: depth 2" in narrow.refused()


def test_a_gateway_serves_what_was_published(command: Command, data: Path, tmp_path: Path) -> None:
    documents(command, data, "publish", manifest(tmp_path, Viewer=VIEWER))
    documents(command, data, "bind")
    with running(data) as gateway, Client(gateway.url, minted(data)) as client:
        asked: dict[str, Any] = {"documentId": f"sha256:{sha256(VIEWER)}"}
        assert client.send(json.dumps(asked), "application/json").json() == {
            "data": {"viewer": {"userId": "trader"}}
        }
        got = client._http.get(client.url, params=asked)
        assert got.json() == {"data": {"viewer": {"userId": "trader"}}}
        with client.socket() as socket:
            assert received(socket) == {"type": "connection_ack"}
            for number, payload in enumerate((asked, {"query": VIEWER})):
                socket.send(
                    json.dumps({"id": str(number), "type": "subscribe", "payload": payload})
                )
            found = [received(socket) for _ in range(3)]
        told = {(each["id"], each["type"]): each.get("payload") for each in found}
        assert told["0", "next"]["data"] == {"viewer": {"userId": "trader"}}
        [error] = told["1", "error"]
        assert error["extensions"] == {"code": "PERSISTED_QUERY_REQUIRED"}
        refused = client.answer(VIEWER)["errors"][0]
        assert refused["extensions"] == {"code": "PERSISTED_QUERY_REQUIRED"}
