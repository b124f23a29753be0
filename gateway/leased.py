"""Work that one process at a time does: for as long as it holds the lease of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine

from trading.ports import Clock
from trading.store import Leases, StoreUnavailable

logger = logging.getLogger(__name__)

TERM_S = 5.0
BEAT_S = 1.0
_NS_PER_S = 1_000_000_000


async def while_leased(
    name: str,
    *,
    leases: Leases,
    holder: str,
    clock: Clock,
    work: Callable[[], Coroutine[None, None, None]],
) -> None:
    """Do work whenever the lease can be had, until canceled. Two doing it must do no harm."""
    while True:
        try:
            epoch = await leases.acquire(name, holder, TERM_S)
            if epoch is not None:
                logger.info("this process does %s now", name)
                await _hold(name, epoch, leases, clock, work)
        except StoreUnavailable as error:
            logger.warning("the lease of %s cannot be had: %s", name, error)
        await clock.sleep(BEAT_S)


async def _hold(
    name: str,
    epoch: int,
    leases: Leases,
    clock: Clock,
    work: Callable[[], Coroutine[None, None, None]],
) -> None:
    task = asyncio.create_task(work())
    try:
        while not task.done():
            until = clock.monotonic() + int(TERM_S * _NS_PER_S)
            await clock.sleep(BEAT_S)
            if not await _renew(name, epoch, leases, clock, until):
                return
    finally:
        task.cancel()
        [ended] = await asyncio.gather(task, return_exceptions=True)
        if isinstance(ended, Exception):
            logger.error("%s has failed, and is to begin again", name, exc_info=ended)
        try:
            await leases.release(name, epoch)
        except StoreUnavailable as error:
            logger.warning("the lease of %s was not given up: %s", name, error)


async def _renew(name: str, epoch: int, leases: Leases, clock: Clock, until: int) -> bool:
    """Renew in time; a store that does not answer is asked again while the term lasts."""
    while clock.monotonic() < until:
        try:
            return await leases.renew(name, epoch, TERM_S)
        except StoreUnavailable:
            await clock.sleep(BEAT_S / 4)
    return False
