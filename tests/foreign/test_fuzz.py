"""Operations that a stranger makes up from the schema file: none of them finds a defect.

schemathesis makes them, valid by the schema and otherwise as odd as it can. Each is sent as it is
made, and again with names that exist, so that it comes past the first check.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.graphql import nodes

from tests.gateway.client import Client
from tests.gateway.process import Running, complaints, running, token
from tests.tidy.rules import ROOT

EXAMPLES = 15
SDL = (ROOT / "schema" / "schema.graphql").read_text(encoding="utf-8")
# Wide enough for what is made up: here it is not the bounds that are tried.
BOUNDS = {
    f"max_{name}": str(most)
    for name, most in {
        "tokens": 100_000,
        "depth": 60,
        "aliases": 5_000,
        "root_fields": 500,
        "fields": 50_000,
        "list_items": 1_000,
        "cost": 10_000_000,
    }.items()
}
LITERAL = r'(?:"(?:[^"\\]|\\.)*"|\[[^\]]*\])'
KNOWN = {"accountId": '"equity"', "symbol": '"AAPL"', "symbols": '["AAPL", "MSFT"]'}

pytestmark = pytest.mark.foreign


def mostly(right: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Make values of which few are odd, so that what is behind the scalars is tried too."""
    odd = st.text(max_size=8)
    return st.sampled_from(range(8)).flatmap(lambda number: right if number else odd)


decimals = mostly(st.decimals(0, 10**6, places=2).map("{:f}".format))
instants = mostly(st.datetimes().map(lambda at: f"{at.isoformat()}Z"))
numbers = mostly(st.integers(0, 2**63).map(str))
for scalar, values in (("Decimal", decimals), ("DateTime", instants), ("Sequence", numbers)):
    schemathesis.graphql.scalar(scalar, values.map(nodes.String))

operations: Any = schemathesis.graphql.from_file(SDL)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("fuzz") / "data", **BOUNDS) as gateway:
        yield gateway
        assert complaints(gateway.log) == []


@pytest.fixture(scope="module")
def send(gateway: Running) -> Iterator[Callable[[str, str], Any]]:
    """Send a document as the role that may."""
    clients = {
        role: Client(gateway.url, token(gateway.data, role)) for role in ("trader", "operator")
    }
    yield lambda role, document: clients[role].post(document)
    for client in clients.values():
        client.close()


def known(document: str) -> str:
    """Put names that exist in the place of made-up ones."""
    for name, value in KNOWN.items():
        document = re.sub(rf"\b{name}: {LITERAL}", f"{name}: {value}", document)
    return document


def found() -> list[Any]:
    # What sets trading states comes last, for an account that is halted tries little.
    every = [result.ok() for result in operations.get_all_operations()]
    return sorted(every, key=lambda each: "TradingState" in each.label)


@pytest.mark.parametrize("operation", found(), ids=lambda each: each.label)
def test_no_operation_finds_a_defect(operation: Any, send: Callable[[str, str], Any]) -> None:
    role = "operator" if "TradingState" in operation.label else "trader"

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def each(case: Any) -> None:
        for document in {case.body, known(case.body)}:
            response = send(role, document)
            assert response.status_code == 200, response.text
            codes = {error["extensions"]["code"] for error in response.json().get("errors", ())}
            assert codes.isdisjoint({"INTERNAL", "GRAPHQL_VALIDATION_FAILED"}), response.text

    each()


def test_every_root_field_is_tried() -> None:
    labels = {each.label for each in found()}
    assert labels >= {"Query.orders", "Query.previewOrder", "Mutation.placeOrder"}
    assert len(labels) >= 20
