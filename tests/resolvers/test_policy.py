"""Nothing runs that its caller may not do: every way to a field passes the one walk."""

from collections.abc import Mapping
from typing import Any

import pytest
import strawberry
from graphql import GraphQLInterfaceType, GraphQLObjectType

from resolvers.root import Schema
from resolvers.viewer import ViewerQuery
from schema.definition import AUTHENTICATED, field, policies
from schema.order import Order
from security.roles import ROLE_PERMISSIONS, Role
from tests.resolvers.conftest import Ask, Follow
from tests.resolvers.fakes import World, a_principal
from trading.permission import Permission

NO_ORDERS = a_principal(frozenset(Permission) - {Permission.ORDERS_READ})
INTROSPECTION = "{ __schema { queryType { name } } }"


def codes(result: dict[str, Any]) -> list[str]:
    return [error["extensions"]["code"] for error in result["errors"]]


@pytest.mark.parametrize(
    "query",
    [
        '{ order(id: "o1") { __typename } }',
        '{ aliased: order(id: "o1") { __typename } }',
        '{ ...F } fragment F on Query { order(id: "o1") { __typename } }',
        '{ ...F } fragment F on Query { ...G } fragment G on Query { order(id: "o1") { id } }',
        '{ ... on Query { order(id: "o1") { __typename } } }',
        '{ ... { order(id: "o1") { __typename } } }',
        '{ order(id: "o1") @include(if: false) { __typename } }',
        '{ ... @skip(if: true) { order(id: "o1") { __typename } } }',
        '{ orderReports(accountId: "ours") { nodes { ... on OrderReport { seq } } } }',
        (
            'mutation { placeOrder(input: {accountId: "ours", clOrdId: "c", symbol: "AAPL",'
            ' side: BUY, ordType: MARKET, orderQty: "1"}) { ... on Order { id } } }'
        ),
        (
            'mutation { cancelAllOrders(input: {accountId: "ours", clOrdId: "c"}) {'
            " ... on OrderMassCancelReport { totalAffectedOrders } } }"
        ),
        (
            "query A { viewer { name } } query B { ...F } fragment F on Query {"
            ' order(id: "o1") { id } }'
        ),
    ],
)
async def test_no_way_leads_around_a_policy(ask: Ask, world: World, query: str) -> None:
    name = "B" if query.startswith("query A") else None

    result = await ask(query, principal=NO_ORDERS, operation_name=name)

    assert result["data"] is None
    assert codes(result) == ["FORBIDDEN"]
    assert "orders:read" in result["errors"][0]["message"]
    assert world.desk.commands == []
    assert world.reads.calls == []


async def test_of_several_operations_none_is_run_without_its_name(ask: Ask) -> None:
    result = await ask("query A { viewer { name } } query B { viewer { role } }")

    assert result["data"] is None
    assert codes(result) == ["OPERATION_RESOLUTION_FAILURE"]
    assert "operationName" in result["errors"][0]["message"]


async def test_an_operation_answers_for_itself_alone(ask: Ask) -> None:
    query = '{ viewer { name } } query B { order(id: "o1") { id } }'.replace("{", "query A {", 1)

    result = await ask(query, principal=NO_ORDERS, operation_name="A")

    assert result == {"data": {"viewer": {"name": "Test Trader"}}}


@pytest.mark.parametrize(
    "query",
    [
        'subscription { orderReports(accountId: "ours") { seq } }',
        'subscription { fills(accountId: "ours") { __typename } }',
    ],
)
async def test_a_subscription_has_its_policy(follow: Follow, world: World, query: str) -> None:
    [result] = await follow(query, principal=NO_ORDERS)

    assert codes(result) == ["FORBIDDEN"]
    assert world.streams.opened == []


async def test_every_missing_permission_is_named(ask: Ask) -> None:
    result = await ask(
        '{ order(id: "o1") { account { id } } gateway { time } }', None, a_principal([])
    )

    assert codes(result) == ["FORBIDDEN"] * 3
    messages = " ".join(error["message"] for error in result["errors"])
    assert all(each in messages for each in ("orders:read", "accounts:read", "gateway:read"))


@pytest.mark.parametrize("query", ["{ viewer { name } }", INTROSPECTION])
async def test_who_is_not_signed_in_gets_nothing(ask: Ask, query: str) -> None:
    result = await ask(query, principal=None)

    assert result["data"] is None
    assert codes(result) == ["UNAUTHENTICATED"]


async def test_the_name_of_a_type_is_free(ask: Ask) -> None:
    assert await ask("{ __typename }", principal=None) == {"data": {"__typename": "Query"}}


async def test_introspection_has_its_own_permission(ask: Ask) -> None:
    without = frozenset(Permission) - {Permission.SCHEMA_READ}

    assert codes(await ask(INTROSPECTION, principal=a_principal(without))) == ["FORBIDDEN"]
    assert codes(
        await ask('{ __type(name: "Order") { name } }', principal=a_principal(without))
    ) == ["FORBIDDEN"]
    allowed = await ask(INTROSPECTION, principal=a_principal([Permission.SCHEMA_READ]))
    assert allowed == {"data": {"__schema": {"queryType": {"name": "Query"}}}}


async def test_a_wrong_document_is_told_to_be_wrong_first(ask: Ask) -> None:
    assert codes(await ask("{ nothing }", principal=None)) == ["GRAPHQL_VALIDATION_FAILED"]


# --- the walk ------------------------------------------------------------------------------------


def test_every_field_has_a_policy_that_exists(schema: Schema) -> None:
    found = dict(policies(schema._schema))

    assert len(found) > 200
    assert set(found.values()) <= {AUTHENTICATED, *Permission}
    assert {each.partition(".")[0] for each in found} >= {"Query", "Mutation", "Subscription"}


def test_a_planted_root_field_without_a_policy_is_found() -> None:
    @strawberry.type
    class Leaky(ViewerQuery):
        leaked: Order | None = field("It states no policy.", resolver=lambda: None)

    with pytest.raises(ValueError, match=r"require: Leaky\.leaked$"):
        Schema(query=Leaky)


def test_a_planted_type_without_a_policy_is_found() -> None:
    @strawberry.type
    class Bare:
        secret: str

    @strawberry.type
    class Leaky(ViewerQuery):
        bare: Bare | None = field("A type.", requires=AUTHENTICATED, resolver=lambda: None)

    with pytest.raises(ValueError, match=r"require: Bare\.secret$"):
        Schema(query=Leaky)


async def test_an_unknown_policy_is_denied_to_all(world: World) -> None:
    @strawberry.type
    class Odd(ViewerQuery):
        odd: str = field("Its policy is no permission.", requires="anything", resolver=lambda: "")

    result = await Schema(query=Odd).execute("{ odd }", context_value=world.context(a_principal()))

    assert result.errors is not None
    assert result.errors[0].extensions == {"code": "FORBIDDEN"}


def test_an_interface_asks_what_its_types_ask(schema: Schema) -> None:
    """Else a field would be cheaper to reach through the interface than on the type."""
    compared = 0
    for named in schema._schema.type_map.values():
        for parent in named.interfaces if isinstance(named, GraphQLObjectType) else ():
            assert isinstance(parent, GraphQLInterfaceType)
            for name in parent.fields:
                compared += 1
                assert (
                    schema.policies[f"{parent.name}.{name}"]
                    == schema.policies[f"{named.name}.{name}"]
                )

    assert compared >= 16


# --- roles ---------------------------------------------------------------------------------------

EVERYBODY = frozenset(Role)
STAFF = EVERYBODY - {Role.PARTNER}
TRADERS = frozenset({Role.TRADER, Role.PARTNER})
CONTROLLERS = frozenset({Role.RISK_OFFICER, Role.OPERATOR})

# A new root field fails here until somebody has said whose it is.
WHOSE: Mapping[str, frozenset[Role]] = {
    "Query.viewer": EVERYBODY,
    "Query.gateway": EVERYBODY,
    "Query.accounts": EVERYBODY,
    "Query.account": EVERYBODY,
    "Query.positions": EVERYBODY,
    "Query.order": EVERYBODY,
    "Query.orderByClOrdId": EVERYBODY,
    "Query.orders": EVERYBODY,
    "Query.previewOrder": EVERYBODY,
    "Query.orderReports": EVERYBODY,
    "Query.quotes": EVERYBODY,
    "Query.instrument": EVERYBODY,
    "Query.instruments": EVERYBODY,
    "Query.tradingStates": EVERYBODY,
    "Query.acts": frozenset({Role.AUDITOR}),
    "Query.links": STAFF,
    "Query.limits": STAFF,
    "Query.limitVersions": STAFF,
    "Query.limitRequests": STAFF,
    "Mutation.placeOrder": TRADERS,
    "Mutation.replaceOrder": TRADERS,
    "Mutation.cancelOrder": TRADERS,
    "Mutation.cancelAllOrders": TRADERS,
    "Mutation.setTradingState": CONTROLLERS,
    "Mutation.approveTradingState": CONTROLLERS,
    "Mutation.setLimits": CONTROLLERS,
    "Mutation.approveLimits": CONTROLLERS,
    "Mutation.denyLimits": CONTROLLERS,
    "Mutation.withdrawLimits": CONTROLLERS,
    "Mutation.revokeTokens": frozenset({Role.OPERATOR}),
    "Mutation.beginLink": CONTROLLERS,
    "Mutation.completeLink": CONTROLLERS,
    "Mutation.approveLink": CONTROLLERS,
    "Mutation.rotateLink": CONTROLLERS,
    "Mutation.unlink": CONTROLLERS,
    "Subscription.orderReports": EVERYBODY,
    "Subscription.fills": EVERYBODY,
    "Subscription.quotes": EVERYBODY,
    "Subscription.positions": EVERYBODY,
    "Subscription.account": EVERYBODY,
    "Subscription.tradingState": EVERYBODY,
}


def test_each_role_reaches_its_root_fields_and_no_others(schema: Schema) -> None:
    roots = ("Query.", "Mutation.", "Subscription.")
    required = {name: each for name, each in schema.policies.items() if name.startswith(roots)}
    reached = {
        name: frozenset(
            role for role in Role if policy == AUTHENTICATED or policy in ROLE_PERMISSIONS[role]
        )
        for name, policy in required.items()
    }

    assert reached == WHOSE


MUTATIONS = {
    "placeOrder": '(input: {accountId: "ours", clOrdId: "c", symbol: "AAPL", side: BUY,'
    ' ordType: MARKET, orderQty: "1"})',
    "replaceOrder": '(input: {accountId: "ours", clOrdId: "c", target: {orderId: "o1"}})',
    "cancelOrder": '(input: {accountId: "ours", clOrdId: "c", target: {orderId: "o1"}})',
    "cancelAllOrders": '(input: {accountId: "ours", clOrdId: "c"})',
    "setTradingState": '(input: {scope: {accountId: "ours"}, state: HALTED, reason: "r"})',
    "approveTradingState": '(requestId: "r1")',
    "setLimits": '(input: {limits: [{name: MAX_ORDER_QTY, scope: {accountId: "ours"}, value: "1"}],'
    ' owner: "o", reason: "r"})',
    "approveLimits": '(requestId: "r1")',
    "denyLimits": '(requestId: "r1", reason: "r")',
    "withdrawLimits": '(requestId: "r1")',
    "revokeTokens": '(userId: "u1", reason: "r")',
    "beginLink": '(accountId: "ours", broker: "alpaca")',
    "completeLink": '(redirectedTo: "https://app.example/?state=s")',
    "approveLink": '(id: "l1")',
    "rotateLink": '(id: "l1")',
    "unlink": '(id: "l1")',
}


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("mutation", MUTATIONS)
async def test_each_role_does_what_it_may(
    ask: Ask, world: World, role: Role, mutation: str
) -> None:
    principal = a_principal(ROLE_PERMISSIONS[role], role)

    result = await ask(
        f"mutation {{ {mutation}{MUTATIONS[mutation]} {{ __typename }} }}", None, principal
    )

    allowed = role in WHOSE[f"Mutation.{mutation}"]
    assert ("errors" not in result) is allowed
    assert bool(world.desk.commands) is allowed


def test_the_matrix_names_every_mutation(schema: Schema) -> None:
    assert schema._schema.mutation_type is not None
    assert set(schema._schema.mutation_type.fields) == set(MUTATIONS)
