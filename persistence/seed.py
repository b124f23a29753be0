"""What a fresh store begins with: a tenant, two accounts with cash and limits, a user per role."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from persistence.account import Tenant
from persistence.directory import User
from persistence.errors import StoreRefused
from persistence.store import SqlStore
from trading.account import Account
from trading.ids import AccountID, TenantID, UserID
from trading.instrument import SecurityType
from trading.limits import Limit, LimitName, LimitScope
from trading.permission import Entitlement

_TENANT = Tenant(id=TenantID("demo"), name="Demo")

# Who may place orders trades both accounts; everyone else only looks. Two risk officers, because
# it takes two to loosen a trading state.
_USERS = {
    "viewer": ("viewer", Entitlement.READ),
    "trader": ("trader", Entitlement.TRADE),
    "risk_officer": ("risk_officer", Entitlement.READ),
    "risk_officer_2": ("risk_officer", Entitlement.READ),
    "operator": ("operator", Entitlement.READ),
    "auditor": ("auditor", Entitlement.READ),
    "partner": ("partner", Entitlement.TRADE),
}

_OF_ACCOUNT = {
    LimitName.MAX_OPEN_ORDERS: Decimal(200),
    LimitName.PRICE_COLLAR: Decimal("0.05"),
    LimitName.REFERENCE_MAX_AGE_MS: Decimal(10_000),
    LimitName.MIN_BUYING_POWER: Decimal(0),
    LimitName.INSTRUMENT_PERMITTED: Decimal(1),
    LimitName.SHORT_SALE_PERMITTED: Decimal(1),
    LimitName.SELF_MATCH_PERMITTED: Decimal(1),
    LimitName.PRICE_COLLAR_TICKS: Decimal(1_000_000),
    LimitName.PRICE_COLLAR_OVER_TIME: Decimal("0.10"),
    LimitName.MAX_DUPLICATE_ORDERS: Decimal(10_000),
    LimitName.MAX_STRATEGY_ORDERS: Decimal(1000),
    LimitName.MAX_MESSAGE_RATE: Decimal(20_000),
    LimitName.MIN_EXCESS_EQUITY: Decimal(0),
    LimitName.MIN_INTRADAY_EXCESS: Decimal(0),
    LimitName.MAX_OPEN_NOTIONAL: Decimal(20_000_000),
    LimitName.MAX_GROSS_NOTIONAL: Decimal(50_000_000),
    LimitName.MAX_LEVERAGE: Decimal(100),
    LimitName.MAX_CONCENTRATION: Decimal(50),
    LimitName.MAX_DAILY_LOSS: Decimal(100_000),
    LimitName.MAX_DRAWDOWN: Decimal(100_000),
    LimitName.MAX_IN_DOUBT_ORDERS: Decimal(20),
}

# The largest order, the largest position and the largest value of an order: shares, contracts,
# units of the base currency and coins differ too much for one number.
_SIZE_NAMES = (LimitName.MAX_ORDER_QTY, LimitName.MAX_POSITION_QTY, LimitName.MAX_ORDER_NOTIONAL)
_SIZES = {
    SecurityType.COMMON_STOCK: (Decimal(10_000), Decimal(50_000), Decimal(500_000)),
    SecurityType.FUTURE: (Decimal(50), Decimal(100), Decimal(20_000_000)),
    SecurityType.FX_SPOT: (Decimal(1_000_000), Decimal(5_000_000), Decimal(2_000_000)),
    SecurityType.CRYPTO_SPOT: (Decimal(10), Decimal(50), Decimal(1_000_000)),
}


async def seed(store: SqlStore, broker: str, linked: Sequence[AccountID] = ()) -> None:
    """Fill a fresh store; one that has a tenant already is left as it is. Raises StoreUnavailable.

    The accounts are served by the broker of this name; `linked` are the only ones that it serves,
    where a key there is good for some.
    """
    if await store.accounts.tenants():
        return
    accounts = [
        _account("equity", "Equity", Decimal(1_000_000), broker),
        _account("futures", "Futures", Decimal(250_000), broker),
    ]
    if linked:
        accounts = [_account(each, each.title(), Decimal(1_000_000), broker) for each in linked]
    limits = [limit for account in accounts for limit in standard_limits(account.id)]
    try:
        users = [_user(name, accounts) for name in _USERS]
        await store.accounts.add_tenant(_TENANT, accounts, limits, users)
    except StoreRefused:
        # Another process may have been a moment earlier, and then it is filled all the same.
        if not await store.accounts.tenants():
            raise


def standard_limits(account_id: AccountID) -> list[Limit]:
    """Set every limit of an account to a cautious value: sizes for each kind of instrument."""
    scope = LimitScope(account_id=account_id)
    limits = [_limit(scope, name, value) for name, value in _OF_ACCOUNT.items()]
    for security_type, sizes in _SIZES.items():
        scope = LimitScope(account_id=account_id, security_type=security_type)
        limits += [_limit(scope, *each) for each in zip(_SIZE_NAMES, sizes, strict=True)]
    return limits


def _limit(scope: LimitScope, name: LimitName, value: Decimal) -> Limit:
    reason = "a cautious value to begin with"
    return Limit(scope=scope, name=name, value=value, owner="risk", reason=reason)


def _account(account_id: str, name: str, cash: Decimal, broker: str) -> Account:
    return Account(
        id=AccountID(account_id),
        tenant_id=_TENANT.id,
        name=name,
        currency="USD",
        broker=broker,
        cash=cash,
    )


def _user(name: str, accounts: Iterable[Account]) -> User:
    role, entitlement = _USERS[name]
    return User(
        id=UserID(name),
        tenant_id=_TENANT.id,
        name=name.replace("_", " ").title(),
        role=role,
        accounts={account.id: entitlement for account in accounts},
    )
