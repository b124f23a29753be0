"""What a risk officer does at the command line: replay decisions, print the table of controls."""

from __future__ import annotations

from gateway.account import opened_store
from gateway.config import Settings
from persistence.store import SqlStore
from risk.replay import difference

_PAGE = 500


class ReplayDiffers(Exception):
    """A stored decision is not what its inputs give."""


async def replay(settings: Settings) -> str:
    """Replay all decisions of a store; say how many.

    Raises ReplayDiffers at the first that differs, and StoreRefused where it cannot be opened.
    """
    async with opened_store(settings) as store:
        decisions, checks = await _replayed(store)
    return f"replayed {decisions} decisions of {checks} checks: every verdict is the same"


async def _replayed(store: SqlStore) -> tuple[int, int]:
    decisions = checks = after_id = 0
    while page := await store.decisions.page(after_id, _PAGE):
        for logged in page:
            if (found := difference(logged.decision)) is not None:
                raise ReplayDiffers(
                    f"decision {logged.id}, account={logged.account_id}"
                    f" clOrdId={logged.cl_ord_id} {found}"
                )
            checks += len(logged.decision.checks)
        decisions += len(page)
        after_id = page[-1].id
    return decisions, checks
