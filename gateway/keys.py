"""Who keeps the keys that secrets are wrapped under, and what is moved to new ones."""

from __future__ import annotations

import argparse
import secrets
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from gateway.acts import local_act
from gateway.attached import attached
from gateway.config import PREFIX, ConfigError, Settings
from gateway.system import SystemClock
from persistence.store import SqlStore
from security.awskms import AwsKms
from security.envelope import Envelope, KeyProvider
from security.hsm import Pkcs11Keys
from security.keyfile import KEYS_FILE, LocalKeys, make_keys
from security.transit import Transit
from security.vault import LinkVault
from trading.audit import ActKind
from trading.ports import Environment

_AT_ONCE = 50
_PAUSE_S = 0.05


def open_envelope(settings: Settings) -> Envelope:
    """Open the keepers of `DRAWBRIDGE_KEYS`: the first one seals, the others still open.

    Raises ConfigError, KeysRefused.
    """
    providers = {each.name: each for each in _providers(settings)}
    return Envelope(providers, next(iter(providers)), secrets.token_bytes)


def _providers(settings: Settings) -> Iterator[KeyProvider]:
    for said in settings.keys.split(","):
        kind, _, rest = said.strip().partition(":")
        match kind:
            case "local":
                yield _local(settings, rest)
            case "aws-kms" if rest:
                yield AwsKms.of(rest)
            case "vault" if rest:
                yield _transit(settings, rest)
            case "pkcs11" if rest:
                yield _token(settings, rest)
            case _:
                raise ConfigError(
                    f"{PREFIX}KEYS={said.strip()}: say local, aws-kms:KEY, vault:URL/MOUNT/KEY or"
                    " pkcs11:MODULE?token=<label>&key=<label>; the first of several seals"
                )


def _local(settings: Settings, file: str) -> LocalKeys:
    if settings.environment is Environment.LIVE:
        raise ConfigError(
            f"{PREFIX}KEYS=local: whoever copies the file has all that it keeps; in live, name"
            " aws-kms, vault or pkcs11"
        )
    path = Path(file) if file else settings.data / KEYS_FILE
    if not file and not path.exists():
        make_keys(path, secrets.token_bytes)
    return LocalKeys(path, secrets.token_bytes)


def _transit(settings: Settings, said: str) -> Transit:
    parts = urlsplit(said)
    mount, _, key = parts.path.strip("/").rpartition("/")
    is_private = parts.scheme == "https" or parts.hostname in {"127.0.0.1", "::1", "localhost"}
    if not (is_private and mount and key) or settings.vault_token is None:
        raise ConfigError(
            f"{PREFIX}KEYS=vault:{said}: say vault:https://HOST:PORT/MOUNT/KEY, and name the file"
            f" of its token by {PREFIX}VAULT_TOKEN"
        )
    return Transit(f"{parts.scheme}://{parts.netloc}", mount, key, settings.vault_token)


def _token(settings: Settings, said: str) -> Pkcs11Keys:
    module, _, query = said.partition("?")
    named = {name: values[-1] for name, values in parse_qs(query).items()}
    if named.keys() != {"token", "key"} or settings.pkcs11_pin is None:
        raise ConfigError(
            f"{PREFIX}KEYS=pkcs11:{said}: say pkcs11:MODULE?token=<label>&key=<label>, and name the"
            f" file of the token's PIN by {PREFIX}PKCS11_PIN"
        )
    return Pkcs11Keys(
        Path(module), named["token"], named["key"], settings.pkcs11_pin, secrets.token_bytes
    )


async def run_keys(settings: Settings, options: argparse.Namespace) -> tuple[str, int]:
    """Run an action beside running gateways; return what to print, and the exit status.

    Raises ConfigError, KeysRefused, KeyUnavailable, SecretRefused, StoreRefused, StoreUnavailable.
    """
    async with attached(settings) as store:
        vault = LinkVault(open_envelope(settings))
        if options.action == "rotate":
            return await rotate(store, vault, options.by), 0
        return await _status(store, vault), 0


async def rotate(store: SqlStore, vault: LinkVault, by: str | None) -> str:
    """Put all secrets under the key that seals now, some at a time, while they are in use."""
    (provider, key_id), moved, after = await vault.current(), 0, ""
    try:
        while found := await store.links.under_others(provider, key_id, after, _AT_ONCE):
            for secret in found:
                # One that was sealed anew in the meantime is under the newest key by that.
                moved += await store.links.move(secret, await vault.rewrapped(secret))
            after = found[-1].link_id
            await SystemClock().sleep(_PAUSE_S)
    finally:
        # Those that were moved before a failure are on record as well.
        detail = f"{moved} secrets are under {provider} {key_id} now"
        await store.audit.record(local_act(ActKind.ROTATE_KEYS, by, subject=key_id, detail=detail))
    return detail


async def _status(store: SqlStore, vault: LinkVault) -> str:
    current = await vault.current()
    counts = await store.links.counts()
    lines = [
        f"{count} under {provider} {key_id}{'' if (provider, key_id) == current else ', former'}"
        for provider, key_id, count in counts
    ]
    return "\n".join([*lines, f"sealing under {' '.join(current)}"])
