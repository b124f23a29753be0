"""The commands: what each of them runs, and what it says where it is refused."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Mapping

from brokers.documents import DocumentError
from brokers.paper.journal import JournalError
from brokers.paper.server import CannotListen
from brokers.quotes.replay import ReplayError
from gateway import config, control, document, permissions, tracing
from gateway.account import NewAccount, add_account, migrate
from gateway.arguments import DESTINATIONS, MODES, OPTIONS
from gateway.audit import run_audit
from gateway.brokers import accounts
from gateway.config import ConfigError, Settings
from gateway.control import Word
from gateway.exchange import exchange
from gateway.keys import run_keys
from gateway.limits import REFUSALS as LIMIT_REFUSALS
from gateway.limits import run_limits
from gateway.risk import RiskDiffers, run_risk
from gateway.serve import serve
from gateway.simulate import Manners, simulate
from gateway.token import token_of_directory
from gateway.user import run_user
from persistence.errors import StoreRefused
from resolvers.root import sdl
from security.development import IssuerRefused
from security.envelope import KeyUnavailable, SecretRefused
from security.redaction import redact
from security.watched import KeysRefused
from serving.manifest import ManifestError
from trading.account import TradingState
from trading.control import MassAction
from trading.exporting import ExportError
from trading.outcome import GatewayError
from trading.ports import BrokerError
from trading.quantity import use_exact_arithmetic
from trading.store import StoreUnavailable

# What a person can mend: told in words, without a traceback.
_REFUSALS = (
    BrokerError,
    CannotListen,
    ConfigError,
    DocumentError,
    ExportError,
    GatewayError,
    IssuerRefused,
    JournalError,
    KeyUnavailable,
    KeysRefused,
    ManifestError,
    ReplayError,
    SecretRefused,
    StoreRefused,
    StoreUnavailable,
    *LIMIT_REFUSALS,
)
_EXIT_DIFFERS = 1
_EXIT_REFUSED = 2
_EXIT_UNCONFIRMED = 1


def run(options: argparse.Namespace) -> int:
    """Run a command; return its exit status: 0, or 2 with an explanation on standard error.

    A halt that some owner of a session has not confirmed ends with 1, and so does a decision or an
    exposure that comes out differently.
    It is 3 for a change of limits that awaits another person.
    """
    use_exact_arithmetic()
    try:
        return _run(options)
    except _REFUSALS as refusal:
        print(f"drawbridge: {redact(str(refusal))}", file=sys.stderr)
        return _EXIT_REFUSED
    except RiskDiffers as differs:
        print(f"drawbridge: {differs}", file=sys.stderr)
        return _EXIT_DIFFERS
    except KeyboardInterrupt:
        pass
    return 0


def _run(options: argparse.Namespace) -> int:
    if options.command in _PRINTED:
        print(_PRINTED[options.command](options), end="")
        return 0
    settings = _settings(options)
    match options.command:
        case "serve":
            config.check(settings)
            serve(settings)
        case "exchange" | "simulate":
            _market(settings, options)
        case "token":
            print(token_of_directory(settings, options.of_role, options.user))
        case "account":
            asyncio.run(add_account(settings, _new_account(options), options.by))
            print(f"added the account {options.id}")
        case "halt" | "release" | "approve" | "states":
            return asyncio.run(_control(settings, options))
        case "limits" | "audit" | "keys":
            text, status = asyncio.run(_TOLD[options.command](settings, options))
            print(text)
            return status
        case "migrate":
            print(asyncio.run(migrate(settings, options.grant_to)))
        case "check-config":
            config.check(settings)
            exporter = "otlp" if tracing.is_asked_for(os.environ) else "none"
            print(f"{config.describe(settings)}\nOTEL_TRACES_EXPORTER={exporter}")
        case _:
            raise AssertionError(f"the parser let {options.command} through")
    return 0


def _market(settings: Settings, options: argparse.Namespace) -> None:
    config.check_market(settings)
    if options.command == "exchange":
        exchange(settings)
    else:
        simulate(settings, options.simulated, _manners(options))


def _manners(options: argparse.Namespace) -> Manners:
    return Manners(
        replays=not options.no_replay,
        rate_limit=options.rate_limit,
        token_life_s=options.token_life,
        maintenance=options.maintenance,
    )


def _accounts(settings: Settings) -> str:
    config.check(settings)
    return asyncio.run(accounts(settings))


_TOLD = {"limits": run_limits, "audit": run_audit, "keys": run_keys}
"""Commands with actions of their own, which say what to print and the exit status."""


_PRINTED: Mapping[str, Callable[[argparse.Namespace], str]] = {
    "sdl": lambda _: sdl(),
    "broker": lambda options: f"{_accounts(_settings(options))}\n",
    "documents": lambda options: (
        f"{asyncio.run(document.run_documents(_settings(options), options))}\n"
    ),
    "permissions": lambda _: permissions.table(),
    "risk": lambda options: f"{asyncio.run(run_risk(_settings(options), options))}\n",
    "user": lambda options: f"{asyncio.run(run_user(_settings(options), options))}\n",
}
"""Commands that do nothing but print, and what they print."""


async def _control(settings: Settings, options: argparse.Namespace) -> int:
    is_confirmed = True
    match options.command:
        case "approve":
            told = await control.approve(settings, options.request, options.by)
        case "states":
            told = await control.states(settings)
        case _:
            told, is_confirmed = await control.set_state(settings, _word(options))
    print(told)
    return 0 if is_confirmed else _EXIT_UNCONFIRMED


def _word(options: argparse.Namespace) -> Word:
    state, action = TradingState(options.to), MassAction.NONE
    if options.command == "halt":
        state, action = MODES[options.mode]
    return Word(
        scope=options.scope,
        reason=options.reason,
        by=options.by,
        tenant=options.tenant,
        state=state,
        action=action,
    )


def _settings(options: argparse.Namespace) -> Settings:
    given = {n: getattr(options, DESTINATIONS.get(n, n), None) for n in OPTIONS}
    return config.with_options(config.from_environment(os.environ), given)


def _new_account(options: argparse.Namespace) -> NewAccount:
    return NewAccount(
        id=options.id,
        name=options.name or options.id,
        tenant=options.tenant,
        currency=options.currency,
        cash=options.cash,
        like=options.like,
        owner=options.owner,
    )
