"""Every numbered case against every adapter, each ending with the same three checks."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from brokers.conformance import Setting, Stage, Staging
from gateway.system import SystemClock
from tests.conformance.brokers.case import Case, numbered
from tests.conformance.brokers.office import Office
from tests.trading.builders import ACCOUNT, FUTURE, STOCK
from trading.instrument import Catalogue
from trading.quantity import use_exact_arithmetic

pytestmark = pytest.mark.conformance


@pytest.fixture(params=numbered().values(), ids=lambda case: f"{case.number:02}")
def case(request: pytest.FixtureRequest) -> Case:
    chosen: Case = request.param
    return chosen


@pytest.fixture
async def stage(staging: Staging, case: Case, tmp_path: Path) -> AsyncIterator[Stage]:
    use_exact_arithmetic()
    setting = Setting(
        folder=tmp_path,
        account_id=ACCOUNT,
        catalogue=Catalogue([STOCK, FUTURE]),
        clock=SystemClock(),
        faults=case.faults,
    )
    made = await staging(setting)
    yield made
    await made.close()


async def test_case(
    stage: Stage, case: Case, adapter: str, record_property: Callable[[str, object], None]
) -> None:
    record_property("case", case.number)
    record_property("adapter", adapter)
    office = Office(stage)
    if not case.fits(office.broker.capabilities) or not case.sessions <= set(stage.suffers):
        pytest.skip(f"{office.name} does not offer this")
    await office.open()
    try:
        office.show()
        await case.run(office)
        await office.square()
    finally:
        await office.close()
