"""How often an address may be refused: so that made-up tokens cost little, and fill no log.

Whoever was let in lately is no stranger, wherever others at its address come from.
"""

from __future__ import annotations

import ipaddress

from security.rates import LocalAccount, Rate
from trading.outcome import RateExceeded
from trading.ports import Clock

_SITE = 64
"""The bits of an IPv6 address that name a site, which has all of the others to itself."""


class Strangers:
    """Counts refusals by address, in this process; the memory for them is bounded."""

    def __init__(self, rate: Rate, clock: Clock) -> None:
        """Take how many refusals an address is granted."""
        self._rate, self._account = rate, LocalAccount(clock)

    async def admit(self, address: str) -> None:
        """See that an address was not refused too often. Raises RateExceeded."""
        await self._draw(address, 0)

    async def count(self, address: str) -> None:
        """Count a refusal. Raises RateExceeded where it is one too many."""
        await self._draw(address, 1)

    async def _draw(self, address: str, refusals: int) -> None:
        granted = await self._account.draw(_site(address), self._rate, refusals)
        if granted.count < refusals or granted.retry_after > 0:
            words = (
                f"more than {self._rate.count} callers at your address were refused {self._rate}"
            )
            raise RateExceeded(words, retry_after_ms=-(-granted.retry_after // 1_000))


def _site(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed, _SITE), strict=False))
