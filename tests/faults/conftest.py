"""The services, and a market with an empty store for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import house as houses
from tests.faults import services as servers
from tests.faults.house import House
from tests.faults.services import Services
from trading.quantity import use_exact_arithmetic


@pytest.fixture(scope="session")
def services() -> Iterator[Services]:
    with servers.found() as found:
        yield found


@pytest.fixture
def house(tmp_path: Path, services: Services) -> Iterator[House]:
    use_exact_arithmetic()
    with houses.opened(tmp_path, services) as house:
        yield house
