"""Runs tests again and again without starting Python and its libraries each time.

It imports what the tests need of others, and runs each lot in a fork of itself, where our own
modules are imported as they are then. Lots come on standard input, as JSON lists of what pytest is
told; the exit status of each goes to standard output.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

PATIENCE_S = 60
"""After how long a lot is ended: a dropped check may leave a test waiting for ever."""


def run(told: Sequence[str]) -> int:
    """Run tests in a fork; return the exit status, or the negated signal that ended it."""
    child = os.fork()
    if child == 0:
        signal.alarm(PATIENCE_S)
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, sys.stdout.fileno())
        os.dup2(silent, sys.stderr.fileno())
        os._exit(int(pytest.main(list(told))))
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def imported_by(told: Sequence[str]) -> Sequence[str]:
    """Return what collecting tests imports, in its order; a fork does it, and nothing stays."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        pytest.main(["--collect-only", *told])
        os.write(writing, json.dumps([*sys.modules]).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        names = json.loads(stream.read())
    os.waitpid(child, 0)
    return list(names)


def of_others(names: Sequence[str], folder: Path) -> Iterator[str]:
    """Leave out what is ours."""
    ours = {each.name.removesuffix(".py") for each in folder.iterdir()}
    return (name for name in names if name.partition(".")[0] not in ours)


def serve(told: Sequence[str]) -> None:
    """Import what these tests import of others, and run what is asked for until the input ends."""
    for name in of_others(imported_by(told), Path.cwd()):
        with suppress(Exception):
            importlib.import_module(name)
    for line in sys.stdin:
        print(run(json.loads(line)), flush=True)  # noqa: T201 - it is what is asked for


if __name__ == "__main__":
    serve(sys.argv[1:])
