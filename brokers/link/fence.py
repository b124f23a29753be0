"""The fence between environments: what every adapter's hosts and mounted credentials keep to."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from urllib.parse import urlsplit

from trading.ports import Environment, Unauthorized


def check_host(url: str, environment: Environment, allowed: str) -> None:
    """Raise Unauthorized unless a URL is of the host allowed, over TLS; in `sim`, of loopback."""
    parts = urlsplit(url)
    if environment is Environment.SIM:
        if not _is_loopback(parts.hostname or ""):
            raise Unauthorized(
                f"{url} is not of the environment sim, whose brokers are simulators on this"
                " machine: use an address such as http://127.0.0.1:8200"
            )
        return
    if parts.hostname != allowed or parts.scheme not in {"https", "wss"} or parts.port:
        raise Unauthorized(
            f"{url} is not of the environment {environment}, whose host is {allowed}, over TLS"
        )


def mounted(path: Path, *, spaces: bool = False) -> str:
    """Read a credential from its file: one line, without spaces where none may be in it.

    Raises Unauthorized.
    """
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise Unauthorized(f"the credential {path} cannot be read: {error}") from None
    if not text or not text.isprintable() or (" " in text and not spaces):
        words = "one line" if spaces else "one line without spaces"
        raise Unauthorized(f"the credential {path} must be {words}")
    return text


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
