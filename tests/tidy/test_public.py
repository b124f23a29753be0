"""What is committed speaks of the project alone: no package registry, no path of one machine."""

import re
import subprocess

import pytest

from tests.tidy.rules import ROOT

# Spelled with character classes, so that this file does not name what it forbids.
PRIVATE = re.compile(
    rb"""
      [a-z.-]*(?:python[h]osted|py[p]i|npm[j]s|yarn[p]kg)\.(?:org|com)   # a registry
    | (?<! [\w.~-] ) / (?: wor[k] | roo[t] | far[m] | hom[e] | User[s] ) /     # a machine's folder
    | /tm[p]/ (?= \w )
    | [.]{2}/[.]librar[y]
    """,
    re.VERBOSE | re.IGNORECASE,
)


def findings(text: bytes) -> list[bytes]:
    return [match.group() for match in PRIVATE.finditer(text)]


def test_no_committed_file_names_a_registry_or_a_machine() -> None:
    listing = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, check=True).stdout
    paths = [ROOT / name.decode() for name in names.split(b"\0") if name]
    broken = {
        str(path.relative_to(ROOT)): found
        for path in paths
        if path.is_file() and (found := findings(path.read_bytes()))
    }

    assert paths
    assert broken == {}


@pytest.mark.parametrize(
    "text",
    [
        b"--index-url https://" + b"py" + b"pi.org/simple",
        b"https://files.python" + b"hosted.org/x",
        b'"resolved": "https://registry.npm' + b'js.org/x"',
        b"cd /wo" + b"rk/main",
        b"'/ro" + b"ot/.pyenv'",
        b"(/ho" + b"me/someone/x)",
        b"open('/tm" + b"p/x')",
    ],
)
def test_a_planted_name_is_found(text: bytes) -> None:
    assert findings(text)


@pytest.mark.parametrize(
    "text",
    [
        b"docs/homework/x and the network/ of brokers",
        b"FROM python:3.12-slim",
        b"https://127.0.0.1:8000/graphql",
        b"WORKDIR /app",
    ],
)
def test_what_is_public_passes(text: bytes) -> None:
    assert findings(text) == []
