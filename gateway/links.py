"""Brokers that accounts can be linked to, by the file that `DRAWBRIDGE_LINKS` names.

```json
{"brokers": {"alpaca": {
  "client_id": "…", "client_secret_file": "/run/secrets/alpaca",
  "authorization_endpoint": "https://…", "token_endpoint": "https://…",
  "redirect_uri": "https://app.example/linked", "scope": "trading", "issuer": "https://…"}}}
```
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gateway.config import PREFIX, ConfigError, Settings
from gateway.keys import open_envelope
from gateway.system import SystemClock, TimeOrderedIds
from persistence.store import SqlStore
from security.linkclient import OAuthLink, Registration
from security.vault import LinkVault
from trading.ids import base62
from trading.linkdesk import LinkDesk
from trading.ports import Environment

_ADDRESSES = ("authorization_endpoint", "token_endpoint", "redirect_uri")
_OPTIONAL = ("client_secret_file", "scope", "issuer")
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


def link_desk(
    settings: Settings, store: SqlStore, clock: SystemClock, ids: TimeOrderedIds
) -> LinkDesk:
    """Make the desk of links. Raises ConfigError, KeysRefused."""
    known = registrations(settings.links) if settings.links else {}
    return LinkDesk(
        store=store.links,
        audit=store.audit,
        clients={name: OAuthLink(each, _drawn, clock) for name, each in known.items()},
        vault=LinkVault(open_envelope(settings)),
        leases=store.leases,
        clock=clock,
        ids=ids,
        holder=base62(ids.next()),
        needs_approval=settings.environment is Environment.LIVE,
    )


def registrations(file: Path) -> Mapping[str, Registration]:
    """Read what brokers have registered this gateway as. Raises ConfigError."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))["brokers"]
        return {str(name): _registration(file, name, each) for name, each in found.items()}
    except OSError as error:
        raise ConfigError(f"{PREFIX}LINKS={file} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError(f'{PREFIX}LINKS={file}: write {{"brokers": {{…}}}}') from None


def _registration(file: Path, name: str, said: Mapping[str, Any]) -> Registration:
    where = f"{PREFIX}LINKS={file}: {name}"
    needed = ("client_id", *_ADDRESSES)
    if missing := [each for each in needed if not isinstance(said.get(each), str)]:
        raise ConfigError(f"{where} lacks {', '.join(missing)}")
    if unknown := said.keys() - {*needed, *_OPTIONAL}:
        raise ConfigError(f"{where} says {', '.join(sorted(unknown))}, which means nothing here")
    for each in _ADDRESSES:
        parts = urlsplit(said[each])
        if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
            raise ConfigError(f"{where}.{each} must begin with https://")
    secret = said.get("client_secret_file")
    return Registration(
        client_id=said["client_id"],
        secret_file=Path(secret) if secret else None,
        authorization_endpoint=said["authorization_endpoint"],
        token_endpoint=said["token_endpoint"],
        redirect_uri=said["redirect_uri"],
        scope=said.get("scope"),
        issuer=said.get("issuer"),
    )


def _drawn() -> str:
    return secrets.token_urlsafe(32)
