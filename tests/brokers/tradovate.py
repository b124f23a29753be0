"""A simulator of Tradovate on a real socket, and the adapter to it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brokers.faults import FaultScript
from brokers.link.http import Timeouts
from brokers.tradovate.broker import TradovateBroker
from brokers.tradovate.fence import Credentials
from brokers.tradovate.link import TradovateSettings
from brokers.tradovate.simulator.simulator import Simulator
from gateway.system import SystemClock
from tests.brokers import tradovate_simulator
from tests.brokers.alpaca import PATIENT, timeouts
from tests.brokers.tradovate_simulator import LOGIN
from trading.ids import AccountID
from trading.instrument import Catalogue
from trading.ports import Clock, Environment

USER = Credentials(name=LOGIN.name, password=LOGIN.password, cid=LOGIN.cid, sec=LOGIN.sec)
NUMBER = "SIM1000001"


@dataclass(frozen=True, slots=True)
class Tradovate:
    """A simulator that is served; brokers are made to it."""

    simulator: Simulator
    port: int
    folder: Path
    catalogue: Catalogue
    timeouts: Timeouts = PATIENT

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def settings(self, account: str = "a", **terms: Any) -> TradovateSettings:
        plain: dict[str, Any] = {
            "environment": Environment.SIM,
            "url": self.url,
            "credentials": USER,
            "accounts": {AccountID(account): NUMBER},
            "directory": self.folder / "adapter",
            "timeouts": self.timeouts,
            "watermark_s": 0.3,
            "arrival_s": 1.0,
        }
        return TradovateSettings(**(plain | terms))

    def broker(
        self, account: str = "a", clock: Clock | None = None, **terms: Any
    ) -> TradovateBroker:
        settings = self.settings(account, **terms)
        return TradovateBroker(settings, self.catalogue, clock or SystemClock())


@asynccontextmanager
async def simulated(
    folder: Path, catalogue: Catalogue, faults: FaultScript | None = None, **terms: Any
) -> AsyncIterator[Tradovate]:
    """Serve a simulator with a journal in this folder."""
    terms = {"rate_limit": 1_000_000} | terms
    async with tradovate_simulator.simulated(folder, catalogue, faults, **terms) as (made, port):
        yield Tradovate(made, port, folder, catalogue, timeouts(faults))
