"""Real processes around one store and one market: an exchange, and any number of gateways."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tests.faults.checker import SEEDED, Case, Item, gathered, unrest, violations
from tests.faults.load import Follower, Trader
from tests.faults.services import Services, database, query, until
from tests.gateway.client import Client
from tests.gateway.documents import APPROVE_LIMITS, PREVIEW, SET_LIMITS
from tests.gateway.process import STOP_S, complaints, environment, free_port
from tests.gateway.tokens import minted
from trading.ids import AccountID

START_S = 60
QUIET_S = 60


class Process:
    """One process of ours, whose first words say that it is open; it is ended by its id alone."""

    def __init__(self, log: Path, arguments: Sequence[object], **variables: str) -> None:
        self.log = log
        with log.open("a") as errors:
            self.process = subprocess.Popen(
                [sys.executable, *map(str, arguments)],
                env=environment(**variables),
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def opened(self) -> None:
        """Wait until it says that it is open."""
        assert self.process.stdout is not None
        watchdog = threading.Timer(START_S, self.process.kill)
        watchdog.start()
        try:
            while " is open" not in (line := self.process.stdout.readline()):
                assert line, f"it ended with {self.process.wait(STOP_S)}: {self.log.read_text()}"
        finally:
            watchdog.cancel()

    @property
    def pid(self) -> int:
        return self.process.pid

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def stopped(self) -> None:
        """Wait until it is stopped, as by SIGSTOP."""
        status = Path(f"/proc/{self.pid}/status")
        until(lambda: "\nState:\tT" in status.read_text())

    def ended(self) -> int:
        """Wait until it has ended, and return how."""
        return self.process.wait(START_S)

    def close(self) -> None:
        """Kill it, where it still runs."""
        self.process.kill()
        self.process.wait(STOP_S)
        if self.process.stdout is not None:
            self.process.stdout.close()


class Gateway(Process):
    """A gateway process among many."""

    def __init__(self, log: Path, port: int, arguments: Sequence[object], **settings: str) -> None:
        super().__init__(log, arguments, **settings)
        self.url = f"http://127.0.0.1:{port}/graphql"

    def stop(self) -> None:
        """Send SIGTERM: it must end in order."""
        self.signal(signal.SIGTERM)
        assert self.ended() == 0, self.log.read_text()[-5000:]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Where a gateway is struck, on which pass, and how: by `kill`, `stop` or `lose`."""

    at: str
    nth: int = 3
    do: str = "kill"

    @property
    def options(self) -> Sequence[str]:
        return ("--at", self.at, "--pass", str(self.nth), "--do", self.do)


class House:
    """One exchange and one database, and the gateways that a test starts over them."""

    def __init__(
        self, folder: Path, services: Services, database_url: str, stack: ExitStack
    ) -> None:
        self.services, self.database_url = services, database_url
        self.folder, self._stack = folder, stack
        self._market_port = free_port()
        self.exchange = self.open_exchange()
        self.gateways: list[Gateway] = []
        self.opening = dict(SEEDED)
        """The cash with which accounts began."""

    # --- processes ---

    def open_exchange(self) -> Process:
        """Start the exchange, where it was before and with the journal that it had."""
        port, data = self._market_port, self.folder / "market"
        exchange = Process(
            self.folder / "exchange.log",
            ("-m", "gateway.cli", "exchange", "--port", port, "--data", data),
        )
        self._stack.callback(exchange.close)
        exchange.opened()
        self.exchange = exchange
        return exchange

    def start(
        self,
        role: str = "all",
        *,
        fault: Fault | None = None,
        hasty: bool = True,
        services: Services | None = None,
        database_url: str | None = None,
    ) -> Gateway:
        """Start a gateway; `hasty` ones have leases that run out soon."""
        number, port = len(self.gateways) + 1, free_port()
        given = services or self.services
        options = (*(fault.options if fault else ()), *(["--hasty"] if hasty else []))
        gateway = Gateway(
            self.folder / f"gateway-{number}.log",
            port,
            ("-m", "tests.faults.entry", *options, "serve", "--port", port, "--role", role),
            data=str(self.folder / "keys"),
            database_url=database_url or self.database_url,
            amqp_url=given.amqp,
            redis_url=given.redis,
            exchange=f"127.0.0.1:{self._market_port}",
        )
        self._stack.callback(gateway.close)
        gateway.opened()
        self.gateways.append(gateway)
        return gateway

    def client(self, gateway: Gateway, user: str = "trader") -> Client:
        """Make a client of a gateway."""
        client = Client(gateway.url, minted(self.folder / "keys", user))
        self._stack.callback(client.close)
        return client

    def add_account(self, account_id: str, cash: str) -> None:
        """Add an account like `equity`, as an operator does beside the gateways."""
        self.opening[AccountID(account_id)] = Decimal(cash)
        self.command("account", "add", account_id, "--cash", cash)

    def command(self, *arguments: str) -> str:
        """Run a command of ours beside the gateways, and return what it prints."""
        ran = subprocess.run(
            [sys.executable, "-m", "gateway.cli", *arguments],
            env=environment(
                data=str(self.folder / "keys"),
                database_url=self.database_url,
                amqp_url=self.services.amqp,
                redis_url=self.services.redis,
                exchange=f"127.0.0.1:{self._market_port}",
            ),
            check=False,
            capture_output=True,
            text=True,
            timeout=START_S,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def limit(self, gateway: Gateway, name: str, value: str, account: str = "equity") -> Any:
        """Have a risk officer set an account's limit, and return the answer."""
        limits = [{"name": name, "value": value, "scope": {"accountId": account}}]
        asked = {"limits": limits, "owner": "risk", "reason": "a test"}
        return self.client(gateway, "risk_officer").data(SET_LIMITS, input=asked)

    def loosen(self, gateway: Gateway, name: str, value: str, account: str = "equity") -> None:
        """Have one risk officer ask for a wider limit, and another one approve it."""
        asked = self.limit(gateway, name, value, account)
        officer = self.client(gateway, "risk_officer_2")
        answer = officer.data(APPROVE_LIMITS, requestId=asked["request"]["id"])
        assert answer["__typename"] == "LimitsSet", answer

    # --- what they have written ---

    @property
    def journal(self) -> Path:
        return self.folder / "market" / "paper.journal"

    def case(self, streams: Sequence[Sequence[Item]] = ()) -> Case:
        """Read both sides as they are now."""
        return asyncio.run(gathered(self.database_url, self.journal, self.opening, streams))

    def query(self, statement: str) -> list[sa.RowMapping]:
        """Ask the database."""
        return query(self.database_url, statement)

    def lease(self, name: str = "paper") -> tuple[str | None, int]:
        """Return who holds a lease, in that process's own words, and its epoch."""
        for row in self.query(f"SELECT holder, epoch FROM leases WHERE name = '{name}'"):
            return row["holder"], row["epoch"]
        return None, 0

    def fenced(self, epoch: int) -> None:
        """Wait until the holder of an epoch, or of a later one, has the accounts."""
        fences = "SELECT fence FROM accounts"
        until(lambda: all(row["fence"] >= epoch for row in self.query(fences)))

    def priced(self, gateway: Gateway, order: Mapping[str, str]) -> None:
        """Wait until an order would be taken: the first price that anybody wants is on its way."""
        client = self.client(gateway)
        terms = {**order, "clOrdId": "preview"}
        until(lambda: client.data(PREVIEW, input=terms)["accepted"])

    def quiet(self) -> Case:
        """Wait until nothing is under way any more."""
        seen: list[Case] = []

        def look() -> bool:
            seen[:] = [self.case()]
            return not list(unrest(seen[0]))

        try:
            until(look, QUIET_S)
        except AssertionError:
            raise AssertionError("\n".join(unrest(seen[0]))) from None
        return seen[0]

    def balanced(self, streams: Sequence[Sequence[Item]] = ()) -> Case:
        """Wait until all is quiet, and see that every check holds."""
        case = replace(self.quiet(), streams=streams)
        wrong = violations(case)
        assert not wrong, "\n".join(wrong)
        return case

    def followed(self, follower: Follower, traded: Sequence[Trader]) -> Case:
        """See that all holds, that the follower has it all, and nothing accepted is missing."""
        case = self.quiet()
        head = case.records.accounts[AccountID(follower.account)].last_seq
        case = self.balanced([follower.level(head)])
        claimed = {str(claim.cl_ord_id) for claim in case.records.claims}
        accepted = {cl_ord_id for trader in traded for cl_ord_id in trader.accepted}
        assert claimed == accepted, claimed ^ accepted
        assert len(case.records.fills) >= len(traded)
        return case

    def complaints(self) -> list[object]:
        """Return what the gateways' logs have that is worse than a warning."""
        return [line for each in self.gateways for line in complaints(each.log)]


@contextmanager
def opened(folder: Path, services: Services) -> Iterator[House]:
    """Open a market and a database, and end whatever a test has left running over them."""
    with ExitStack() as stack:
        url = stack.enter_context(database(services.postgres))
        house = House(folder, services, url, stack)
        try:
            yield house
        except BaseException:
            for gateway in house.gateways:
                sys.stdout.write(f"--- {gateway.log.name}\n{gateway.log.read_text()[-6000:]}\n")
            raise
