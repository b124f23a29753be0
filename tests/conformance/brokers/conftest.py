"""`--broker NAME` runs the kit against one adapter; `--table` writes the report into the docs."""

from pathlib import Path

import pytest

from brokers.conformance import Staging, offered
from tests.conformance.brokers.case import numbered
from tests.conformance.brokers.stages import STAGES
from tests.conformance.brokers.table import placed, table

DOCUMENT = Path(__file__).parents[3] / "docs" / "brokers.md"
_OUTCOMES = pytest.StashKey[dict[tuple[int, str], str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--broker", help="run the conformance kit against this adapter alone")
    parser.addoption("--table", action="store_true", help="write the report into docs/brokers.md")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_OUTCOMES] = {}
    config.pluginmanager.register(_Report(config), "conformance-report")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "staging" not in metafunc.fixturenames:
        return
    name = metafunc.config.getoption("--broker", default=None)
    chosen: dict[str, Staging] = {name: STAGES.get(name) or offered(name)} if name else {**STAGES}
    metafunc.parametrize(("adapter", "staging"), chosen.items(), ids=list(chosen))


class _Report:
    """Notes how each case ended with each adapter, in whichever process it ran."""

    def __init__(self, config: pytest.Config) -> None:
        self._outcomes = config.stash[_OUTCOMES]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        place = dict(report.user_properties)
        if "case" in place and (report.when == "call" or not report.passed):
            self._outcomes[int(str(place["case"])), str(place["adapter"])] = report.outcome


def pytest_sessionfinish(session: pytest.Session) -> None:
    config = session.config
    outcomes = config.stash.get(_OUTCOMES, {})
    if config.getoption("--table", default=False) and not hasattr(config, "workerinput"):
        names = list(dict.fromkeys(name for _, name in outcomes))
        ordered = [name for name in STAGES if name in names]
        written = table(numbered(), ordered, outcomes)
        DOCUMENT.write_text(placed(DOCUMENT.read_text(), written))
