"""What the tests of serving share."""

import pytest

from resolvers.root import Schema
from serving.http import HttpEndpoint
from tests.resolvers.fakes import World
from tests.serving.asgi import endpoint, operations


@pytest.fixture(scope="session")
def schema() -> Schema:
    return Schema()


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def http(schema: Schema, world: World) -> HttpEndpoint:
    """The endpoint over a small gateway in memory."""
    return endpoint(operations(world, schema))
