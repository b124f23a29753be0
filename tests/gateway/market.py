"""Recorded markets for a gateway to replay, and accounts that its seed does not have."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from brokers.quotes.simulated import SimulatedQuotes
from gateway.system import SystemClock
from persistence.account import Tenant
from persistence.directory import User
from persistence.opening import open_store
from persistence.seed import seed, standard_limits
from trading.account import Account
from trading.ids import AccountID, TenantID, UserID
from trading.instrument import Catalogue
from trading.permission import Entitlement
from trading.ports import Environment

HEADER = "ts,symbol,bid,bid_size,ask,ask_size"
MONDAY = datetime(2026, 1, 5, 15, tzinfo=UTC)

# Empty sizes fill any quantity.
STANDING = {
    "AAPL": "230.00,,230.02,",
    "MSFT": "430.00,,430.10,",
    "NVDA": "140.00,,140.01,",
    "ESH6": "6000.00,,6000.25,",
    "EURUSD": "1.10000,,1.10002,",
}


def recorded(path: Path, rows: Iterable[tuple[datetime, str, str]]) -> Path:
    """Write a file of quotes: when, of what, and its four numbers."""
    lines = [f"{ts:%Y-%m-%dT%H:%M:%S.%fZ},{symbol},{numbers}" for ts, symbol, numbers in rows]
    path.write_text("\n".join([HEADER, *lines, ""]))
    return path


def standing(path: Path) -> Path:
    """Write a market that does not move for a quarter of an hour, fresh in every second of it."""
    return recorded(
        path,
        (
            (MONDAY + timedelta(seconds=second), symbol, numbers)
            for second in range(900)
            for symbol, numbers in STANDING.items()
        ),
    )


async def populate(data: Path) -> None:
    """Make a store with accounts beside the seeded ones.

    `watched` is the trader's to read only, `unheld` nobody's, and `foreign` another tenant's.
    """
    clock = SystemClock()
    catalogue = Catalogue(SimulatedQuotes(clock, 1).instruments)
    store = await open_store(
        data, environment=Environment.SIM, catalogue=catalogue, clock=clock, version="test"
    )
    try:
        await seed(store, "paper")
        demo, other = TenantID("demo"), TenantID("other")
        for name, entitled in (("watched", {UserID("trader"): Entitlement.READ}), ("unheld", {})):
            account = _account(name, demo)
            limits = standard_limits(account.id)
            await store.accounts.add(account, limits, entitled)
        foreign = _account("foreign", other)
        stranger = User(
            id=UserID("stranger"),
            tenant_id=other,
            name="Stranger",
            role="trader",
            accounts={foreign.id: Entitlement.TRADE},
        )
        await store.accounts.add_tenant(
            Tenant(id=other, name="Other"), [foreign], standard_limits(foreign.id), [stranger]
        )
    finally:
        await store.close()


def _account(name: str, tenant: TenantID) -> Account:
    return Account(
        id=AccountID(name),
        tenant_id=tenant,
        name=name.title(),
        currency="USD",
        broker="paper",
        cash=Decimal(100_000),
    )
