"""`drawbridge user`: who is known here, in which role, and entitled to which accounts."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from gateway.account import opened_store
from gateway.acts import local_act
from gateway.config import ConfigError, Settings
from persistence.directory import User, UserChange
from persistence.store import SqlStore
from trading.audit import Act, ActKind
from trading.ids import AccountID, TenantID, UserID
from trading.permission import Entitlement

type _Granted = dict[AccountID, Entitlement]


async def run_user(settings: Settings, options: argparse.Namespace) -> str:
    """Run an action; return what to print. Raises ConfigError, and StoreRefused.

    Gateways that are running heed a change within two seconds.
    """
    granted = dict(_granted(each) for each in options.account) if "account" in options else {}
    async with opened_store(settings) as store:
        match options.action:
            case "add":
                return await _add(store, options, granted)
            case "change":
                return await _change(store, options, granted)
            case _:
                return _listed(await store.directory.users())


async def _add(store: SqlStore, options: argparse.Namespace, granted: _Granted) -> str:
    user = User(
        id=UserID(options.id),
        tenant_id=TenantID(options.tenant),
        name=options.name or options.id,
        role=options.of_role,
        accounts=granted,
    )
    await store.directory.add(user, _act(ActKind.ADD_USER, options, _told(user), user.tenant_id))
    return f"added the user {_told(user)}"


async def _change(store: SqlStore, options: argparse.Namespace, granted: _Granted) -> str:
    change = UserChange(
        user_id=UserID(options.id),
        role=options.of_role,
        name=options.name,
        granted=granted,
        withdrawn=[AccountID(each) for each in options.withdraw],
    )
    if twice := granted.keys() & set(change.withdrawn):
        raise ConfigError(f"--withdraw {', '.join(sorted(twice))}: --account grants it as well")
    words = [f"{name} {text}" for name in ("role", "name") if (text := getattr(change, name))]
    words += [f"grant {id_}={each}" for id_, each in granted.items()]
    words += [f"withdraw {each}" for each in change.withdrawn]
    if not words:
        raise ConfigError("nothing to change: say --role, --name, --account or --withdraw")
    user = await store.directory.change(
        change, _act(ActKind.CHANGE_USER, options, ", ".join(words), None)
    )
    return f"the user is now {_told(user)}"


def _act(kind: ActKind, options: argparse.Namespace, detail: str, tenant: TenantID | None) -> Act:
    return local_act(
        kind, options.by, subject=f"user:{options.id}", detail=detail, tenant_id=tenant
    )


def _listed(users: Sequence[User]) -> str:
    return "\n".join(_told(user) for user in users)


def _told(user: User) -> str:
    accounts = " ".join(f"{id_}={each}" for id_, each in sorted(user.accounts.items()))
    return f"{user.id} tenant={user.tenant_id} role={user.role} {accounts}".rstrip()


def _granted(text: str) -> tuple[AccountID, Entitlement]:
    """Read `ID`, which grants trading, or `ID=READ`. Raises ConfigError."""
    account_id, _, entitlement = text.partition("=")
    try:
        return AccountID(account_id), Entitlement(entitlement or Entitlement.TRADE)
    except ValueError:
        known = " or ".join(Entitlement)
        raise ConfigError(f"--account {text}: say ID={known}") from None
