"""What the tests of the executable schema share."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from resolvers.root import Schema
from tests.resolvers.fakes import World, a_principal
from trading.permission import Principal

type Ask = Callable[..., Awaitable[dict[str, Any]]]
type Follow = Callable[..., Awaitable[list[dict[str, Any]]]]


@pytest.fixture(scope="session")
def schema() -> Schema:
    return Schema()


@pytest.fixture
def world() -> World:
    return World()


def rendered(result: Any) -> dict[str, Any]:
    """What a transport would send."""
    errors = [error.formatted for error in result.errors or ()]
    return {"data": result.data} | ({"errors": errors} if errors else {})


@pytest.fixture
def ask(schema: Schema, world: World) -> Ask:
    """Run a query or mutation; by default as a principal who may do everything."""

    async def run(
        query: str,
        variables: dict[str, Any] | None = None,
        principal: Principal | None = a_principal(),  # noqa: B008 - it is immutable
        operation_name: str | None = None,
    ) -> dict[str, Any]:
        context = world.context(principal)
        result = await schema.execute(
            query, variables, context_value=context, operation_name=operation_name
        )
        return rendered(result)

    return run


@pytest.fixture
def follow(schema: Schema, world: World) -> Follow:
    """Run a subscription until it ends."""

    async def run(
        query: str,
        variables: dict[str, Any] | None = None,
        principal: Principal | None = a_principal(),  # noqa: B008 - it is immutable
    ) -> list[dict[str, Any]]:
        context = world.context(principal)
        stream = await schema.subscribe(query, variables, context_value=context)
        return [rendered(result) async for result in stream]

    return run
