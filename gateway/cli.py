"""The command line."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from brokers.documents import DocumentError
from brokers.paper.journal import JournalError
from brokers.paper.server import CannotListen
from brokers.quotes.replay import ReplayError
from gateway import config, control, document, permissions
from gateway.account import NewAccount, add_account, migrate
from gateway.assembly import VERSION
from gateway.audit import add_audit, run_audit
from gateway.brokers import accounts
from gateway.config import ConfigError, Settings
from gateway.control import MODES, Word
from gateway.exchange import exchange
from gateway.keys import add_keys, run_keys
from gateway.limits import REFUSALS as LIMIT_REFUSALS
from gateway.limits import add_limits, run_limits
from gateway.risk import RiskDiffers, add_risk, run_risk
from gateway.serve import serve
from gateway.simulate import SIMULATORS, simulate
from gateway.token import token_of_directory
from persistence.errors import StoreRefused
from resolvers.root import sdl
from security.development import IssuerRefused
from security.envelope import KeyUnavailable, SecretRefused
from security.redaction import redact
from security.roles import Role
from security.sealing import KeysRefused
from serving.manifest import ManifestError
from trading.account import TradingState
from trading.control import MassAction
from trading.exporting import ExportError
from trading.outcome import GatewayError
from trading.ports import BrokerError
from trading.quantity import parse, use_exact_arithmetic
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
_OPTIONS = (
    "host",
    "port",
    "data",
    "quotes",
    "speed",
    "faults",
    "role",
    "issuer",
    "broker",
    "broker_url",
    "broker_credentials",
    "broker_account",
)
_DESTINATIONS = {"broker": "with_broker"}
"""Limits have an option of that name too, which is a scope."""
_EXCHANGE_PORT = "8100"
_SIMULATOR_PORT = "8200"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status: 0, or 2 with an explanation on standard error.

    A halt that some owner of a session has not confirmed ends with 1, and so does a decision or an
    exposure that comes out differently.
    It is 3 for a change of limits that awaits another person.
    """
    options = _parser().parse_args(arguments)
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
            print(config.describe(settings))
        case _:
            raise AssertionError(f"the parser let {options.command} through")
    return 0


def _market(settings: Settings, options: argparse.Namespace) -> None:
    config.check_market(settings)
    if options.command == "exchange":
        exchange(settings)
    else:
        simulate(settings, replays=not options.no_replay, rate_limit=options.rate_limit)


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
    "risk": lambda options: f"{asyncio.run(run_risk(_settings(options), options))}\n",
    "permissions": lambda _: permissions.table(),
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
    given = {n: getattr(options, _DESTINATIONS.get(n, n), None) for n in _OPTIONS}
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="drawbridge",
        description="An execution gateway: GraphQL on one bank, brokers on the other.",
        epilog="Settings also come from DRAWBRIDGE_* variables; `check-config` shows them.",
    )
    parser.add_argument("--version", action="version", version=VERSION)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_serve(commands)
    _add_exchange(commands)
    _add_simulate(commands)
    asking = commands.add_parser("broker", help="ask the broker whose key is mounted")
    _add_data(asking)
    _add_token(commands)
    _add_account(commands)
    _add_control(commands)
    document.add_documents(commands)
    add_risk(commands)
    add_limits(commands)
    add_audit(commands)
    add_keys(commands)
    migrating = commands.add_parser("migrate", help="bring the store's schema up to date")
    _add_data(migrating)
    granted = "the PostgreSQL role that gateways log in as, which then has what they need"
    migrating.add_argument("--grant-to", help=granted, metavar="ROLE")
    commands.add_parser("sdl", help="print the GraphQL schema")
    commands.add_parser("permissions", help="print who may do what")
    checking = commands.add_parser("check-config", help="validate the settings and show them")
    for name in _OPTIONS:
        checking.add_argument(f"--{name.replace('_', '-')}", dest=_DESTINATIONS.get(name, name))
    return parser


type _Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - has no public name


def _add_serve(commands: _Commands) -> None:
    serving = commands.add_parser("serve", help="run the gateway")
    serving.add_argument("--host", help="address to listen on (127.0.0.1)")
    serving.add_argument("--port", help="port to listen on (8000)")
    _add_data(serving)
    serving.add_argument("--issuer", help="the OAuth2 issuer of tokens (one for development)")
    serving.add_argument("--role", help="api, session or all: with many processes (all)")
    to = _DESTINATIONS["broker"]
    serving.add_argument("--broker", dest=to, help="paper, alpaca, or another adapter (paper)")
    serving.add_argument("--broker-url", help="where the broker is", metavar="URL")
    serving.add_argument("--broker-credentials", help="folder of its key", metavar="DIR")
    serving.add_argument("--broker-account", help="our account there (equity)", metavar="ID")
    _add_market(serving)


def _add_exchange(commands: _Commands) -> None:
    running = commands.add_parser("exchange", help="run the paper exchange for many gateways")
    running.add_argument("--host", help="address to listen on (127.0.0.1)")
    running.add_argument("--port", default=_EXCHANGE_PORT, help=f"port ({_EXCHANGE_PORT})")
    _add_data(running)
    _add_market(running)


def _add_simulate(commands: _Commands) -> None:
    running = commands.add_parser("simulate", help="run a simulator of a broker's own API")
    running.add_argument("simulated", choices=SIMULATORS, help="which broker's")
    running.add_argument("--host", help="address to listen on (127.0.0.1)")
    running.add_argument("--port", default=_SIMULATOR_PORT, help=f"port ({_SIMULATOR_PORT})")
    running.add_argument(
        "--no-replay", action="store_true", help="let no key into the stream that replays"
    )
    running.add_argument(
        "--rate-limit", type=int, default=200, help="requests in a minute (200)", metavar="N"
    )
    _add_data(running)
    _add_market(running)


def _add_market(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quotes", help="`simulated`, or a CSV file to replay", metavar="FILE")
    parser.add_argument("--speed", help="replay so many times as fast as recorded, or `max`")
    parser.add_argument("--faults", help="a JSON file of faults for the paper exchange")


def _add_token(commands: _Commands) -> None:
    issuing = commands.add_parser("token", help="print a development token and nothing else")
    issuing.add_argument("--role", dest="of_role", required=True, type=_role, help=", ".join(Role))
    issuing.add_argument("--user", help="the user, if not the one named like the role")
    _add_data(issuing)


def _add_account(commands: _Commands) -> None:
    accounts = commands.add_parser("account", help="manage accounts")
    actions = accounts.add_subparsers(dest="action", required=True, metavar="ACTION")
    adding = actions.add_parser("add", help="add an account to a store that is not in use")
    adding.add_argument("id")
    adding.add_argument("--name", help="what people call it")
    adding.add_argument("--tenant", default="demo")
    adding.add_argument("--currency", default="USD", help="ISO 4217")
    adding.add_argument("--cash", default=Decimal(0), type=_money, help="to begin with (0)")
    adding.add_argument(
        "--like", default="equity", help="the account whose limits and entitlements it gets"
    )
    adding.add_argument(
        "--owner", help="the beneficial owner, whose accounts must not trade with one another"
    )
    adding.add_argument("--by", help="who adds it, for the record (the user of this machine)")
    _add_data(adding)


def _add_control(commands: _Commands) -> None:
    halting = commands.add_parser("halt", help="halt trading, on the store itself")
    halting.add_argument("--mode", choices=MODES, default="block-new", help="(block-new)")
    releasing = commands.add_parser("release", help="ask for the release of a halt")
    releasing.add_argument("--to", choices=("ACTIVE", "REDUCING"), default="ACTIVE")
    halting.set_defaults(to=TradingState.HALTED)
    kinds = "all, or broker:, tenant:, user:, account:, strategy: or instrument: and its id"
    for each in (halting, releasing):
        each.add_argument("--scope", required=True, help=kinds)
        each.add_argument("--reason", required=True, help="why, for the record")
        each.add_argument("--by", required=True, help="who says so", metavar="NAME")
        each.add_argument("--tenant", help="narrow a broker, user, strategy or instrument to one")
        _add_data(each)
    approving = commands.add_parser("approve", help="approve a release that another has asked for")
    approving.add_argument("request", help="its id, as `release` has printed it")
    approving.add_argument("--by", required=True, help="who approves", metavar="NAME")
    _add_data(approving)
    _add_data(commands.add_parser("states", help="list what is halted or reducing"))


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", help="the data directory (data)", metavar="DIR")


def _role(text: str) -> Role:
    try:
        return Role(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"say one of {', '.join(Role)}") from None


def _money(text: str) -> Decimal:
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


if __name__ == "__main__":
    sys.exit(main())
