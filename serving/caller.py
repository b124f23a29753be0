"""What a caller shows, as it stands in the head of a request or of a WebSocket's handshake."""

from __future__ import annotations

from starlette.types import Scope

from security.credentials import Credentials


def shown(scope: Scope) -> Credentials:
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
    )


_NAMES = frozenset({b"authorization", b"dpop", b"client-cert"})
