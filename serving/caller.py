"""What a caller shows, as it stands in the head of a request or of a WebSocket's handshake."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from starlette.types import Scope

from security.credentials import Credentials

type Proxies = Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]
"""The networks of proxies whose word counts."""


def shown(scope: Scope, proxies: Proxies) -> Credentials:
    """Read credentials. A header that comes more than once is joined, as RFC 9110 says."""
    found: dict[bytes, str] = {}
    for name, value in scope["headers"]:
        if name in _NAMES:
            text = value.decode("latin-1")
            found[name] = f"{found[name]}, {text}" if name in found else text
    return Credentials(
        authorization=found.get(b"authorization"),
        proof=found.get(b"dpop"),
        method=scope.get("method", "GET"),
        certificate=found.get(b"client-cert"),
        peer=(scope.get("client") or ("",))[0],
        address=address(scope, proxies),
    )


def address(scope: Scope, proxies: Proxies) -> str:
    """Say where a caller is: where its connection came from, or whom a trusted proxy speaks for.

    Each proxy adds the one that it has heard from to the end of X-Forwarded-For. What is before the
    last that is not trusted anybody can have written.
    """
    peer = (scope.get("client") or ("",))[0]
    if not proxies:
        return peer
    hops = [
        hop.strip()
        for name, value in scope["headers"]
        if name == b"x-forwarded-for"
        for hop in value.decode("latin-1").split(",")
    ]
    while _is_among(peer, proxies) and hops and _is_address(hops[-1]):
        peer = hops.pop()
    return peer


def _is_among(peer: str, proxies: Proxies) -> bool:
    return _is_address(peer) and any(ipaddress.ip_address(peer) in each for each in proxies)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


_NAMES = frozenset({b"authorization", b"dpop", b"client-cert"})
