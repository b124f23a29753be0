"""The layers hold, and every contract is seen to break on a planted import."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tidy.rules import PACKAGES, ROOT

LINT = (sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()")
LAYERS = "Each layer imports only those below it, and siblings are blind to one another"
PORTS = "GraphQL reaches brokers, store, bus, risk and security through ports alone"
FRAMEWORKS = "Trading and risk know no framework"
TRACES = "Only the process knows what traces are made with"


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    command = (*LINT, "--no-cache")
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A tree of the packages as they are, to plant in."""
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("*.pyc", "static")
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_contracts_are_kept() -> None:
    result = lint(ROOT)

    assert result.returncode == 0, result.stdout
    assert "Contracts: 4 kept, 0 broken." in result.stdout


@pytest.mark.parametrize(
    ("contract", "planted"),
    [
        (
            LAYERS,
            [
                ("trading", "risk"),
                ("trading", "schema"),
                ("risk", "brokers"),
                ("brokers", "risk"),
                ("persistence", "events"),
                ("events", "persistence"),
                ("schema", "security"),
                ("security", "schema"),
                ("risk", "resolvers"),
                ("resolvers", "serving"),
                ("serving", "gateway"),
            ],
        ),
        (
            PORTS,
            [
                ("resolvers", "brokers"),
                ("resolvers", "persistence"),
                ("resolvers", "events"),
                ("resolvers", "risk"),
                ("resolvers", "security"),
                ("schema", "brokers"),
                ("schema", "persistence"),
                ("schema", "risk"),
            ],
        ),
        (FRAMEWORKS, [("trading", "sqlalchemy"), ("risk", "strawberry"), ("risk", "starlette")]),
        (TRACES, [(each, "opentelemetry") for each in ("trading", "events", "serving")]),
    ],
    ids=["layers", "ports", "frameworks", "traces"],
)
def test_a_planted_import_breaks_the_contract(
    copy: Path, contract: str, planted: list[tuple[str, str]]
) -> None:
    for importer, imported in planted:
        (copy / importer / f"planted_{imported}.py").write_text(f"import {imported}\n")

    result = lint(copy)

    assert result.returncode == 1
    assert f"{contract} BROKEN" in result.stdout
    for importer, imported in planted:
        assert f"{importer}.planted_{imported} -> {imported} (l.1)" in result.stdout
