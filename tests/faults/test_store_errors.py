"""A PostgreSQL that gives transactions up, and one that has no connection left to give."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults import house as houses
from tests.faults.house import House
from tests.faults.load import Caller, Follower, following, traders, trading
from tests.faults.outsider import Outsider, outside
from tests.faults.services import PostgresServer, Services, until
from tests.gateway.client import Client

pytestmark = pytest.mark.faults

# What both the desk and the session write in each of their transactions, and the relays delete.
WRITTEN = ("orders", "commands", "reports", "outbox")
# Well above what one transaction writes, else none would ever succeed.
EVERY = 101

# A sequence counts what is rolled back as well, so that the next attempt is another number.
STRIKE = """
CREATE SEQUENCE struck;
CREATE FUNCTION strike() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF mod(nextval('struck'), {every}) = 0 THEN
    RAISE EXCEPTION 'struck' USING ERRCODE = '{sqlstate}';
  END IF;
  RETURN NULL;
END $$;
"""
IN_THE_STATEMENT = """
CREATE TRIGGER strike AFTER INSERT OR UPDATE OR DELETE ON {table}
FOR EACH STATEMENT EXECUTE FUNCTION strike();
"""
AT_THE_COMMIT = """
CREATE CONSTRAINT TRIGGER strike AFTER INSERT OR UPDATE OR DELETE ON {table}
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION strike();
"""

BLOCKED_BY = "SELECT 1 FROM pg_stat_activity WHERE {pid} = ANY(pg_blocking_pids(pid))"
DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
OURS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'drawbridge'"
END_OURS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'drawbridge'"
)
ORDERS = '{ orders(accountId: "equity", first: 5) { nodes { id } } }'


@pytest.mark.parametrize("sqlstate", ["40P01", "40001"])
@pytest.mark.parametrize("when", [IN_THE_STATEMENT, AT_THE_COMMIT], ids=["statement", "commit"])
def test_transactions_that_the_server_gives_up_are_made_anew(
    house: House, sqlstate: str, when: str
) -> None:
    gateways = [house.start(), house.start()]
    house.fenced(1)
    traded = traders(house.client, gateways)
    follower = Follower([house.client(gateways[1])])
    with outside(house.database_url) as outsider:
        strike = STRIKE.format(every=EVERY, sqlstate=sqlstate)
        outsider.run(strike, *(when.format(table=table) for table in WRITTEN))
        outsider.run("COMMIT")

    with following(follower):
        with trading(*traded):
            pass
        house.followed(follower, traded)
    [struck] = house.query("SELECT last_value FROM struck")
    assert struck["last_value"] >= 4 * EVERY
    assert house.complaints() == []


def test_a_deadlock_with_somebody_else_costs_a_transaction_and_nothing_more(house: House) -> None:
    gateways = [house.start(), house.start()]
    house.fenced(1)
    traded = traders(house.client, gateways)
    follower = Follower([house.client(gateways[0])])

    with following(follower), outside(house.database_url) as outsider:
        with trading(*traded):
            until(lambda: house.query("SELECT 1 FROM positions"))
            for _ in range(3):
                deadlock(house, outsider)
        house.followed(follower, traded)
    until(lambda: house.query(DEADLOCKS)[0]["deadlocks"] >= 3)
    assert house.complaints() == []


def deadlock(house: House, outsider: Outsider) -> None:
    """Take what gateways lock last, and then what they lock first; they find out before we do."""
    outsider.run("SET deadlock_timeout = '1min'", "SELECT FROM positions FOR UPDATE")
    until(lambda: house.query(BLOCKED_BY.format(pid=outsider.pid)))
    outsider.run("SELECT FROM accounts ORDER BY id DESC FOR UPDATE")
    outsider.end()


def test_a_pool_that_is_exhausted_is_waited_for_within_bounds(house: House) -> None:
    gateway = house.start()
    house.fenced(1)
    traded = traders(house.client, [gateway])
    follower = Follower([house.client(gateway)])

    with following(follower):
        with trading(*traded), outside(house.database_url) as outsider:
            until(lambda: len(follower.items) > 10)
            outsider.run("LOCK TABLE orders")
            with reading([house.client(gateway) for _ in range(24)]):
                until(lambda: "the store was busy for" in gateway.log.read_text())
                until(lambda: any("OVERLOADED" in trader.caller.heard for trader in traded))
                outsider.end()
        house.followed(follower, traded)
    assert house.complaints() == []


@contextmanager
def reading(clients: list[Client]) -> Iterator[None]:
    """Ask for orders with all clients at once, until each has been answered."""
    callers = [Caller([client]) for client in clients]
    threads = [threading.Thread(target=caller.ask, args=(ORDERS,)) for caller in callers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join()


def test_a_server_without_a_free_connection_has_lost_nothing(
    tmp_path: Path, services: Services
) -> None:
    with (
        PostgresServer.running("max_connections=40") as server,
        houses.opened(tmp_path, replace(services, postgres=server.url)) as house,
    ):
        gateways = [house.start(), house.start()]
        house.fenced(1)
        traded = traders(house.client, gateways)
        follower = Follower([house.client(gateways[0])])

        with following(follower):
            with trading(*traded), outside(house.database_url) as outsider:
                until(lambda: len(follower.items) > 10)
                outsider.take()
                until(lambda: crowded_out(outsider))
                until(lambda: all("too many clients" in each.log.read_text() for each in gateways))
                outsider.end()
            house.followed(follower, traded)
        assert house.complaints() == []


def crowded_out(outsider: Outsider) -> bool:
    """End the gateways' connections and take them; return whether they have none any more."""
    outsider.rows(END_OURS)
    outsider.take_all()
    return not outsider.rows(OURS)
