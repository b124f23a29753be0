"""No check of who may do what can be dropped without a test that fails."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.mutants.mutants import TESTS, Mutant, mutants, packages

pytestmark = pytest.mark.mutants
FOUND = list(mutants())
# Plugins are imported before pytest could rewrite their assertions, which matters to nobody.
QUIETLY = ["-x", "-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]

type Run = Callable[[Sequence[str]], int]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy what the tests need, for mutants to be written into."""
    copy = tmp_path_factory.mktemp("mutants")
    ignored = shutil.ignore_patterns("node_modules", "__pycache__", "results")
    for path in packages():
        if path.is_dir():
            shutil.copytree(path, copy / path.name, ignore=ignored)
        else:
            shutil.copy(path, copy)
    return copy


@pytest.fixture(scope="module")
def run(copy: Path) -> Iterator[Run]:
    """Run tests in the copy, and return pytest's exit status."""
    known = sorted({each for tests in TESTS.values() for each in tests})
    # The copy stands before whatever is installed.
    there = dict(os.environ) | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "tests.mutants.server", *known]
    with subprocess.Popen(
        command, cwd=copy, env=there, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        asked, told = server.stdin, server.stdout
        assert asked is not None
        assert told is not None

        def run(tests: Sequence[str]) -> int:
            asked.write(json.dumps([*QUIETLY, *tests]) + "\n")
            asked.flush()
            return int(told.readline())

        yield run


@pytest.fixture
def mutated(copy: Path, mutant: Mutant) -> Iterator[Mutant]:
    path = copy / mutant.path
    sound = path.read_text(encoding="utf-8")
    path.write_text(mutant.text, encoding="utf-8")
    yield mutant
    path.write_text(sound, encoding="utf-8")


@pytest.mark.parametrize("tests", sorted({tuple(each) for each in TESTS.values()}), ids=" ".join)
def test_the_tests_pass_on_what_is_sound(run: Run, tests: Sequence[str]) -> None:
    assert run(tests) == 0


@pytest.mark.parametrize("mutant", FOUND, ids=lambda mutant: mutant.name)
def test_a_dropped_check_is_noticed(run: Run, mutated: Mutant) -> None:
    assert run(TESTS[mutated.path]) == 1


def test_what_is_dropped_is_not_less_than_it_was() -> None:
    """A check that is written in another way must not be left out silently."""
    assert len(FOUND) >= 215
