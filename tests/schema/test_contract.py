"""The public contract: the printed schema is the one that runs, and all of it is described."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLUnionType,
    is_introspection_type,
    is_specified_scalar_type,
)
from strawberry.schema.schema_converter import GraphQLCoreConverter

from resolvers.root import Schema, sdl
from schema import (
    account,
    audit,
    control,
    decision,
    execution,
    instrument,
    limits,
    link,
    order,
    quote,
    viewer,
)
from schema.definition import enum
from tests.schema.sample import Sample

SDL = Path(__file__).parents[2] / "schema" / "schema.graphql"
ROOTS = {"Query", "Mutation", "Subscription"}


@pytest.fixture(scope="module")
def types() -> dict[str, Any]:
    named = Schema()._schema.type_map
    return {name: each for name, each in named.items() if not is_introspection_type(each)}


def test_the_printed_schema_is_the_one_that_runs() -> None:
    assert SDL.read_text(encoding="utf-8") == sdl(), "run `make sdl` and review the difference"


def described(types: dict[str, Any]) -> Iterator[tuple[str, str | None]]:
    for name, named in types.items():
        if is_specified_scalar_type(named):
            continue
        yield name, named.description
        if isinstance(named, GraphQLEnumType):
            yield from ((f"{name}.{key}", value.description) for key, value in named.values.items())
        if isinstance(named, GraphQLObjectType | GraphQLInterfaceType | GraphQLInputObjectType):
            for key, each in named.fields.items():
                yield f"{name}.{key}", each.description
                for argument, value in getattr(each, "args", {}).items():
                    yield f"{name}.{key}({argument})", value.description


def test_everything_is_described(types: dict[str, Any]) -> None:
    found = dict(described(types))

    assert len(found) > 400
    assert [name for name, text in found.items() if not (text or "").endswith((".", ":"))] == []


def test_an_enum_member_without_description_is_found() -> None:
    with pytest.raises(KeyError, match="TWO"):
        enum(Sample, "A sample.", ONE="One.")
    with pytest.raises(KeyError, match="THREE"):
        enum(Sample, "A sample.", ONE="One.", TWO="Two.", THREE="Three.")


@pytest.mark.parametrize(
    "line",
    [
        "price: Decimal",
        "timeInForce: TimeInForce! = DAY",
        "reduceOnly: Boolean! = false",
        "manualOrderIndicator: Boolean",
        "waitFor: WaitFor! = COMMIT",
        "afterSeq: Sequence",
        "symbols: [String!]!",
        "input OrderTarget @oneOf {",
        "input TradingScopeInput @oneOf {",
        "union PlaceOrderResult = Order | InvalidInput | ClOrdIdConflict",
        "union ReplaceOrderResult = Order | OrderCancelReject | InvalidInput | ClOrdIdConflict",
        "union CancelOrderResult = Order | OrderCancelReject | InvalidInput | ClOrdIdConflict",
        "union SetTradingStateResult = TradingStateSet | ApprovalRequired | InvalidInput",
        'type ExecutionReport implements OrderReport @policy(requires: "orders:read") {',
        'type OrderCancelReject implements OrderReport @policy(requires: "orders:read") {',
        "scalar Decimal",
        "scalar Sequence",
    ],
)
def test_the_contract_is_printed_in_its_own_form(line: str) -> None:
    assert line in [each.strip() for each in sdl().splitlines()]


def test_no_default_is_null() -> None:
    assert "= null" not in sdl()


# What a GraphQL type keeps to itself of its domain class.
WITHHELD: dict[type, set[str]] = {
    order.Order: {"tenant_id", "wire_id", "status", "reserve_px", "cum_value", "pending_cancel"},
    order.Replacement: {"reserve_px"},
    execution.ExecutionReport: {"tenant_id"},
    execution.OrderCancelReject: {"tenant_id"},
    account.Account: {"tenant_id", "fence", "scoped_states", "scope_epoch", "conduct"},
    account.Position: {"cost", "open_buy_notional", "open_sell_notional"},
    limits.Limits: {"account_id", "tenant_id", "broker", "known", "catalogue", "_found"},
    limits.Limit: set(),
    limits.LimitScope: set(),
    limits.LimitVersion: {"id"},
    limits.LimitRequest: {"tenant_id"},
    limits.LoosenedLimit: set(),
    account.Break: {"account_id"},
    control.TradingStateChange: {"tenant_id"},
    control.ApprovalRequest: {"tenant_id", "approved_by", "scope"},
    control.ScopeState: {"scope", "ended_epoch"},
    control.Acknowledgement: {"scope"},
    decision.RiskDecision: set(),
    decision.RiskCheck: set(),
    instrument.Instrument: set(),
    quote.Quote: set(),
    viewer.Viewer: {"token_id", "address"},
    audit.Act: {"tenant_id"},
    link.BrokerLink: {"tenant_id", "state_digest", "state_expires_at"},
    link.LinkBegun: set(),
}


@pytest.mark.parametrize("noun", WITHHELD)
def test_a_domain_field_is_shown_or_withheld_on_purpose(noun: Any) -> None:
    shown = {each.python_name for each in noun.__strawberry_definition__.fields}

    assert {each.name for each in fields(noun.domain)} - shown == WITHHELD[noun]


def test_every_attribute_that_a_field_reads_is_there(types: dict[str, Any]) -> None:
    """A type lists names; without a resolver each is read off the domain object."""
    checked = 0
    for name, named in types.items():
        if not isinstance(named, GraphQLObjectType) or name in ROOTS:
            continue
        definition = named.extensions[GraphQLCoreConverter.DEFINITION_BACKREF]
        domain = definition.origin.domain
        known = {each.name for each in fields(domain)} if is_dataclass(domain) else set()
        for each in definition.fields:
            if each.base_resolver is None:
                checked += 1
                assert each.python_name in known or hasattr(domain, each.python_name), name

    assert checked > 150


def test_a_type_knows_its_domain_objects(types: dict[str, Any]) -> None:
    """Unions and interfaces find the type of a domain object by `is_type_of`, which is pinned."""
    unions = [each for each in types.values() if isinstance(each, GraphQLUnionType)]
    members = {member.name: member for union in unions for member in union.types}
    members |= {name: types[name] for name in ("ExecutionReport", "OrderCancelReject")}

    assert len(members) >= 8
    for union in unions:
        domains = [_domain(member) for member in union.types]
        assert len(set(domains)) == len(domains)
    for member in members.values():
        domain = _domain(member)
        assert member.is_type_of is not None
        assert member.is_type_of(object.__new__(domain), None)
        assert not member.is_type_of(object(), None)


def _domain(member: Any) -> type:
    domain: type = member.extensions[GraphQLCoreConverter.DEFINITION_BACKREF].origin.domain
    return domain
