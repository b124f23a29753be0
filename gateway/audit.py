"""`drawbridge audit`: seal, verify, export, and check an export without the store."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from gateway.acts import local_act
from gateway.attached import attached
from gateway.config import ConfigError, Settings
from gateway.system import SystemClock
from persistence.store import SqlStore
from schema.scalar import read_instant
from security.sealing import SealKeys, open_keys
from trading.audit import ACTS, ActKind, chain_of
from trading.exporting import Exported, ExportError, export
from trading.ids import AccountID
from trading.sealing import Sealer
from trading.verification import Verification

DIFFERS = 1
"""The exit status where something does not fit."""

_NEWEST = 1 << 62


async def run_audit(settings: Settings, options: argparse.Namespace) -> tuple[str, int]:
    """Run an action; return what to print, and the exit status.

    Raises ConfigError, KeysRefused, ExportError, StoreRefused and StoreUnavailable.
    """
    keys = open_keys(settings.audit_keys, settings.data)
    if options.action == "keys":
        return keys.public(), 0
    if options.action == "verify" and options.export is not None:
        return _checked(options.export, keys)
    async with attached(settings) as store:
        match options.action:
            case "verify":
                return await _verified(store, keys, _anchors(options.anchor))
            case "seal":
                sealer = Sealer(seals=store.audit, signer=keys, clock=SystemClock())
                return await _sealed(sealer, store), 0
            case _:
                return await _exported(store, options), 0


async def _verified(store: SqlStore, keys: SealKeys, anchors: Mapping[int, str]) -> tuple[str, int]:
    verification = Verification(store.audit, keys, anchors)
    findings = [finding async for finding in verification.findings()]
    newest = await store.audit.newest()
    counted = (
        f"{verification.sealed} records under {verification.seals} seals,"
        f" {verification.unsealed} not sealed yet"
    )
    if findings:
        return "\n".join([*findings, f"{len(findings)} findings; {counted}"]), DIFFERS
    last = f"; the last is {newest.number}:{newest.digest}" if newest else ""
    return f"all fits: {counted}{last}", 0


async def _sealed(sealer: Sealer, store: SqlStore) -> str:
    count = 0
    while sealed := await sealer.seal():
        count += sealed
    newest = await store.audit.newest()
    last = f"; the last seal is {newest.number}:{newest.digest}" if newest else ""
    return f"sealed {count} records{last}"


async def _exported(store: SqlStore, options: argparse.Namespace) -> str:
    chain = ACTS if options.acts else chain_of(AccountID(options.account))
    if not options.acts and not await store.reads.accounts([AccountID(options.account)]):
        raise ConfigError(f"--account {options.account}: there is no such account")
    since = _instant("--since", options.since, 0)
    until = _instant("--until", options.until, _NEWEST)
    lines = [line async for line in export(store.audit, chain, since, until)]
    period = f"from {options.since or 'the first'} until {options.until or 'the last'}"
    said = local_act(ActKind.EXPORT_AUDIT, options.by, subject=chain, detail=period)
    await store.audit.record(said)
    return "\n".join(json.dumps(line, sort_keys=True) for line in lines)


def _checked(file: Path, keys: SealKeys) -> tuple[str, int]:
    try:
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise ExportError(f"{file} cannot be read as an export: {error}") from None
    exported = Exported.of(lines)
    findings = list(exported.findings(keys))
    if findings:
        return "\n".join(findings), DIFFERS
    return f"all fits: {len(exported.records)} records of {exported.chain}, sealed and in order", 0


def _anchors(given: Sequence[str]) -> Mapping[int, str]:
    found = {}
    for each in given:
        number, _, digest = each.partition(":")
        if not (number.isascii() and number.isdigit() and digest):
            raise ConfigError(f"--anchor {each}: say NUMBER:HASH, as `audit verify` prints it")
        found[int(number)] = digest
    return found


def _instant(option: str, text: str | None, default: int) -> int:
    if text is None:
        return default
    try:
        return read_instant(text)
    except ValueError as error:
        raise ConfigError(f"{option} {text}: {error}") from None
