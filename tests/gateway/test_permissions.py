"""Each role may do what docs/permissions.md says, which is what the code says, and no more."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from gateway.permissions import table, written
from resolvers.operation import Fault, Refused
from resolvers.root import Schema
from schema.definition import AUTHENTICATED
from security.roles import Role, permitted
from tests.gateway.operations import Sample, samples
from tests.resolvers.fakes import FakeIds, a_principal
from tests.tidy.rules import ROOT
from trading.permission import Permission

PAGE = (ROOT / "docs" / "permissions.md").read_text(encoding="utf-8")
SCHEMA = Schema()
SAMPLES = {each.name: each for each in samples(SCHEMA._schema)}


def cells() -> Iterator[tuple[str, Role, bool]]:
    """Read the page's matrix of operations."""
    rows = re.findall(r"^\| `(\w+\.\w+)` \| `[\w:-]+` \| (.*) \|$", PAGE, re.MULTILINE)
    for name, row in rows:
        for role, cell in zip(Role, row.split(" | "), strict=True):
            yield name, role, {"yes": True, "-": False}[cell]


CELLS = list(cells())


def test_the_page_is_what_the_code_says() -> None:
    assert table() in PAGE, "run `drawbridge permissions`, and put what it prints into the page"


def test_no_policy_can_be_dropped_without_the_page_telling() -> None:
    sound = written(SCHEMA.policies)
    unseen = [
        name
        for name, policy in SCHEMA.policies.items()
        if policy != AUTHENTICATED and written({**SCHEMA.policies, name: AUTHENTICATED}) == sound
    ]

    assert sound in PAGE
    assert unseen == []


def test_the_matrix_has_every_operation_of_the_schema() -> None:
    assert {name for name, _, _ in CELLS} == set(SAMPLES)


def admitted(sample: Sample, permissions: frozenset[Permission]) -> bool:
    """Tell whether a caller with these permissions may run an operation."""
    caller = a_principal(permissions)
    document = SCHEMA.documents.get(sample.text)
    try:
        SCHEMA.prepare(document, None, sample.variables, caller, FakeIds())
    except Refused as refused:
        if refused.fault is not Fault.FORBIDDEN:
            raise  # It is the sample that is wrong.
        return False
    return True


@pytest.mark.parametrize("role", Role)
def test_a_role_may_do_what_the_page_says(role: Role) -> None:
    held = permitted(role, Permission)

    assert {name: admitted(SAMPLES[name], held) for name in SAMPLES} == {
        name: may for name, of, may in CELLS if of is role
    }


def test_without_scopes_nobody_may_do_anything_but_see_itself() -> None:
    assert [name for name in SAMPLES if admitted(SAMPLES[name], frozenset())] == ["Query.viewer"]


def test_no_other_permission_will_do() -> None:
    guarded = {name: SCHEMA.policies[name] for name in SAMPLES if name != "Query.viewer"}

    assert [
        name
        for name, needed in guarded.items()
        if admitted(SAMPLES[name], frozenset(Permission) - {Permission(needed)})
    ] == []


READING = frozenset(each for each in Permission if each.endswith(":read"))


@pytest.mark.parametrize("role", [Role.VIEWER, Role.AUDITOR])
def test_who_only_reads_runs_no_mutation(role: Role) -> None:
    assert permitted(role, Permission) <= READING
    assert not any(may for name, r, may in CELLS if r is role and name.startswith("Mutation."))


def test_who_controls_does_not_trade_and_who_trades_does_not_control() -> None:
    for role in Role:
        held = permitted(role, Permission)
        trades = Permission.ORDERS_WRITE in held
        controls = held & {
            Permission.LIMITS_WRITE,
            Permission.TRADING_STATE_WRITE,
            Permission.TRADING_STATE_WRITE_ALL,
        }
        assert not (trades and controls), role
