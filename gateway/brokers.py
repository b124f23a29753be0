"""`drawbridge broker`: whose key is mounted, as the broker itself says."""

from __future__ import annotations

from gateway.config import ConfigError, Settings
from gateway.market import broker
from gateway.system import SystemClock
from trading.instrument import Catalogue
from trading.ports import BrokerAccount, ShowsAccounts
from trading.quantity import plain


async def accounts(settings: Settings) -> str:
    """Ask the broker that is set which accounts its key is good for. Raises BrokerError.

    Raises ConfigError for a broker that has no accounts of its own.
    """
    clock = SystemClock()
    adapter = broker(settings, Catalogue(), clock, clock)
    if not isinstance(adapter, ShowsAccounts):
        raise ConfigError(
            f"{settings.broker} keeps no accounts of its own: they are in the store, with"
            " `drawbridge account add`"
        )
    await adapter.connect(None)
    try:
        shown = await adapter.accounts()
    finally:
        await adapter.close()
    return "\n".join(_line(each) for each in shown.items)


def _line(account: BrokerAccount) -> str:
    money = {
        "cash": account.cash,
        "equity": account.equity,
        "buying power": account.buying_power,
        "initial margin": account.initial_margin,
        "maintenance margin": account.maintenance_margin,
    }
    words = ", ".join(f"{name} {plain(value)}" for name, value in money.items())
    state = "blocked" if account.is_blocked else "open"
    return f"{account.number}, here {account.account_id}: {state}, {account.currency}: {words}"
