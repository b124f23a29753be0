"""What a risk officer does at the command line: replay decisions, recompute exposure.

Both read a page at a time, beside the gateways that run on the store, and take no lock of theirs.
"""

from __future__ import annotations

import argparse

from gateway.attached import attached
from gateway.config import ConfigError, Settings
from gateway.progress import Progress
from gateway.system import SystemClock
from risk.catalogue import table
from risk.replay import difference
from trading.ids import AccountID
from trading.recomputation import recounted
from trading.scope import Scope, ScopeKind

_PAGE = 500


class RiskDiffers(Exception):
    """What is stored is not what its inputs, or the facts, come to."""


async def run_risk(settings: Settings, options: argparse.Namespace) -> str:
    """Run an action; return what to print.

    Raises RiskDiffers, ConfigError for an account that there is not, and StoreRefused.
    """
    match options.action:
        case "table":
            return table().rstrip("\n")
        case "replay":
            return await _replay(settings, options.after)
        case _:
            return await _recount(settings, options.account)


async def _replay(settings: Settings, after_id: int) -> str:
    """Judge all decisions again, up to the first that differs."""
    decisions = checks = 0
    progress = Progress(SystemClock())
    async with attached(settings) as store:
        while page := await store.decisions.page(after_id, _PAGE):
            for logged in page:
                if (found := difference(logged.decision)) is not None:
                    raise RiskDiffers(
                        f"decision {logged.id}, account={logged.account_id}"
                        f" clOrdId={logged.cl_ord_id} {found}"
                    )
                checks += len(logged.decision.checks)
            decisions += len(page)
            after_id = page[-1].id
            progress.tell(f"replayed {decisions} decisions so far, the last is {after_id}")
    return f"replayed {decisions} decisions of {checks} checks: every verdict is the same"


async def _recount(settings: Settings, only: str | None) -> str:
    """Fold the fills of accounts, and compare with what is kept and with what they hold."""
    fills, found = 0, list[str]()
    progress = Progress(SystemClock())
    async with attached(settings) as store:
        accounts = await store.scopes.accounts_in(Scope(ScopeKind.ALL))
        if only is not None and only not in accounts:
            raise ConfigError(f"--account {only}: there is no such account")
        chosen = accounts if only is None else [AccountID(only)]
        for account_id in chosen:
            async for count, details in recounted(store.evidence, store.catalogue, account_id):
                fills += count
                found += [f"account={account_id} {each}" for each in details]
                progress.tell(f"folded {fills} fills so far, the last of {account_id}")
    if found:
        raise RiskDiffers("\n".join(found))
    return f"folded {fills} fills of {len(chosen)} accounts: what they hold is the same"
