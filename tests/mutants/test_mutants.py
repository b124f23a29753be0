"""No check of who may do what can be dropped without a test that fails."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mutants.mutants import TESTS, Mutant, mutants, packages

pytestmark = pytest.mark.mutants
FOUND = list(mutants())
PATIENCE_S = 120


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


@pytest.fixture
def mutated(copy: Path, mutant: Mutant) -> Iterator[Path]:
    path = copy / mutant.path
    sound = path.read_text(encoding="utf-8")
    path.write_text(mutant.text, encoding="utf-8")
    yield copy
    path.write_text(sound, encoding="utf-8")


def status(copy: Path, path: str) -> int:
    """Run the tests of a file in the copy."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *TESTS[path]]
    # The copy stands before whatever is installed.
    there = dict(os.environ) | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command, cwd=copy, env=there, capture_output=True, timeout=PATIENCE_S, check=False
    )
    return done.returncode


@pytest.mark.parametrize("path", TESTS)
def test_the_tests_pass_on_what_is_sound(copy: Path, path: str) -> None:
    assert status(copy, path) == 0


@pytest.mark.parametrize("mutant", FOUND, ids=lambda mutant: mutant.name)
def test_a_dropped_check_is_noticed(mutated: Path, mutant: Mutant) -> None:
    assert status(mutated, mutant.path) == 1
