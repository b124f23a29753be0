"""The folders are those the project promises, and their plain names are nobody else's."""

import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from tests.tidy.rules import PACKAGES, ROOT

OURS = "drawbridge"
PROMISED = (
    "pyproject.toml",
    "README.md",
    "schema",
    "resolvers",
    "brokers",
    "risk",
    "persistence",
    "tests",
    "docker-compose.yml",
    "deploy",
)


def settings() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def strangers(package: str, owners: dict[str, list[str]]) -> set[str]:
    """Name the distributions beside ours that install a package of this name."""
    return set(owners.get(package, [])) - {OURS}


def without_init(tests: Path) -> list[str]:
    """Name the folders below tests that hold Python files of ours but no __init__.py."""
    ours = (path for path in tests.rglob("*.py") if "node_modules" not in path.parts)
    folders = {path.parent for path in ours}
    return sorted(str(f.relative_to(tests)) for f in folders if not (f / "__init__.py").exists())


@pytest.mark.parametrize("name", PROMISED)
def test_the_promised_name_exists(name: str) -> None:
    assert (ROOT / name).exists()


@pytest.fixture(scope="module")
def owners() -> dict[str, list[str]]:
    """Map each package that is installed to the distributions that install it."""
    return dict(metadata.packages_distributions())


@pytest.mark.parametrize("package", PACKAGES)
def test_no_other_distribution_owns_the_package(package: str, owners: dict[str, list[str]]) -> None:
    assert strangers(package, owners) == set()


def test_another_owner_would_be_noticed() -> None:
    assert strangers("schema", {"schema": ["drawbridge", "schema"]}) == {"schema"}


def test_every_folder_of_tests_is_a_package() -> None:
    """Else pytest would put it on the path, and tests/schema would lie over schema."""
    assert without_init(ROOT / "tests") == []


def test_a_folder_without_init_would_be_noticed(tmp_path: Path) -> None:
    (tmp_path / "schema").mkdir()
    (tmp_path / "schema" / "test_x.py").touch()
    (tmp_path / "__init__.py").touch()

    assert without_init(tmp_path) == ["schema"]


def test_every_tool_knows_every_package() -> None:
    tool = settings()["tool"]
    on_disk = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}

    assert set(PACKAGES) == on_disk
    assert set(PACKAGES) == set(tool["hatch"]["build"]["targets"]["wheel"]["packages"])
    assert set(PACKAGES) == set(tool["importlinter"]["root_packages"])
    assert {*PACKAGES, "bench", "tests"} == set(tool["mypy"]["files"])
    assert {*PACKAGES, "bench", "tests"} == set(tool["ruff"]["lint"]["isort"]["known-first-party"])


def test_every_package_has_its_layer() -> None:
    contracts = settings()["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")

    assert sorted(name.strip() for layer in layers for name in layer.split("|")) == sorted(PACKAGES)
