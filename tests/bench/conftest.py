"""The services that the bench measures over."""

import pytest

from bench import servers, stores
from tests.standing import POSTGRESQL, RABBITMQ, REDIS, found


@pytest.fixture
def at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the bench use the services that the tests have found."""
    monkeypatch.setattr(stores, "SERVER", found(POSTGRESQL))
    monkeypatch.setattr(servers, "AMQP", found(RABBITMQ))
    monkeypatch.setattr(servers, "REDIS", found(REDIS))
