"""What the command line is made of, without anything that it runs: help is to come at once."""

from __future__ import annotations

import argparse
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path

from security.roles import Role
from trading.account import TradingState
from trading.control import MassAction
from trading.quantity import parse

OPTIONS = (
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
"""The settings that `serve` and others take as options, too."""

DESTINATIONS = {"broker": "with_broker"}
"""Limits have an option of that name too, which is a scope."""

SIMULATORS = ("alpaca", "tradovate")
"""The brokers of whose own API there is a simulator."""

_EXCHANGE_PORT = "8100"
_SIMULATOR_PORT = "8200"

LIMIT_COLUMNS = (
    "broker",
    "tenant",
    "strategy",
    "account",
    "security_type",
    "symbol",
    "name",
    "value",
    "owner",
    "reason",
    "effective_at",
    "expires_at",
)
"""What is said of a limit: options here, and the columns of a file."""

MODES = {
    "block-new": (TradingState.HALTED, MassAction.NONE),
    "reduce-only": (TradingState.REDUCING, MassAction.NONE),
    "cancel-all": (TradingState.HALTED, MassAction.CANCEL_ORDERS),
    "flatten": (TradingState.REDUCING, MassAction.FLATTEN),
}
"""What `--mode` says: the state that is set, and what is done about orders and positions."""


def parser() -> argparse.ArgumentParser:
    """Make what reads the command line."""
    made = argparse.ArgumentParser(
        prog="drawbridge",
        description="An execution gateway: GraphQL on one bank, brokers on the other.",
        epilog="Settings also come from DRAWBRIDGE_* variables; `check-config` shows them.",
    )
    made.add_argument("--version", action="version", version=version("drawbridge"))
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_serve(commands)
    _add_exchange(commands)
    _add_simulate(commands)
    asking = commands.add_parser("broker", help="ask the broker whose key is mounted")
    _add_data(asking)
    _add_token(commands)
    _add_account(commands)
    _add_user(commands)
    _add_control(commands)
    _add_documents(commands)
    _add_risk(commands)
    _add_limits(commands)
    _add_audit(commands)
    _add_keys(commands)
    migrating = commands.add_parser("migrate", help="bring the store's schema up to date")
    _add_data(migrating)
    granted = "the PostgreSQL role that gateways log in as, which then has what they need"
    migrating.add_argument("--grant-to", help=granted, metavar="ROLE")
    commands.add_parser("sdl", help="print the GraphQL schema")
    commands.add_parser("permissions", help="print who may do what")
    checking = commands.add_parser("check-config", help="validate the settings and show them")
    for name in OPTIONS:
        checking.add_argument(f"--{name.replace('_', '-')}", dest=DESTINATIONS.get(name, name))
    return made


type _Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - has no public name


def _add_serve(commands: _Commands) -> None:
    serving = commands.add_parser("serve", help="run the gateway")
    serving.add_argument("--host", help="address to listen on (127.0.0.1)")
    serving.add_argument("--port", help="port to listen on (8000)")
    _add_data(serving)
    serving.add_argument("--issuer", help="the OAuth2 issuer of tokens (one for development)")
    serving.add_argument("--role", help="api, session or all: with many processes (all)")
    to = DESTINATIONS["broker"]
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
        "--no-replay", action="store_true", help="alpaca: let no key into the stream that replays"
    )
    limit = "requests in a minute to alpaca (200), or in an hour to tradovate (5000)"
    running.add_argument("--rate-limit", type=int, help=limit, metavar="N")
    life = "tradovate: how many seconds an access token lasts (5400)"
    running.add_argument("--token-life", type=float, help=life, metavar="S")
    closed = "tradovate: the daily span of maintenance, in UTC, such as 21:00-22:00 (none)"
    running.add_argument("--maintenance", help=closed, metavar="SPAN")
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


def _add_user(commands: _Commands) -> None:
    users = commands.add_parser("user", help="say who is known, and may do what with which account")
    actions = users.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="show everybody who is known")
    adding = actions.add_parser("add", help="add a user")
    changing = actions.add_parser("change", help="change a user's role, name or accounts")
    for parser in (adding, changing):
        parser.add_argument("id", help="the `sub` of its tokens")
        of_role = f"one of {', '.join(Role)}"
        is_new = parser is adding
        parser.add_argument("--role", dest="of_role", type=_role, required=is_new, help=of_role)
        parser.add_argument("--name", help="what people call it")
        granted = "an account that it may trade, or only READ; may be given again"
        parser.add_argument(
            "--account", action="append", default=[], help=granted, metavar="ID[=READ]"
        )
        parser.add_argument("--by", help="who does it, for the record (this machine's user)")
    adding.add_argument("--tenant", default="demo")
    taken = "an account that it is not entitled to any more"
    changing.add_argument("--withdraw", action="append", default=[], help=taken, metavar="ID")
    for parser in actions.choices.values():
        _add_data(parser)


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


def _add_documents(commands: _Commands) -> None:
    documents = commands.add_parser("documents", help="register documents of clients")
    actions = documents.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, words in _DOCUMENTS.items():
        action = actions.add_parser(name, help=words)
        if name in {"publish", "diff", "check"}:
            is_needed = name != "check"
            action.add_argument("file", type=Path, nargs=None if is_needed else "?")
        if name == "retire":
            action.add_argument("which", help="a name, or a hash")
        if name in {"publish", "retire", "bind", "unbind"}:
            action.add_argument("--by", help="who does it, for the record (this machine's user)")
        if name != "check":
            action.add_argument("--client", required=name != "list", help="whose: its client id")
        _add_data(action)


_DOCUMENTS = {
    "publish": "register the documents of a manifest, all or none",
    "diff": "say what publishing a manifest would do",
    "list": "list what is registered",
    "retire": "take a document back",
    "bind": "let a client send registered documents alone",
    "unbind": "let a client send any document again",
    "check": "check a manifest, or all that is registered, against the schema",
}


def _add_risk(commands: _Commands) -> None:
    controls = commands.add_parser(
        "risk", help="replay decisions, recompute exposure, print the table of controls"
    )
    actions = controls.add_subparsers(dest="action", required=True, metavar="ACTION")
    replaying = actions.add_parser("replay", help="judge every decision of a store again")
    replaying.add_argument(
        "--after", type=int, default=0, help="begin behind this decision (0)", metavar="NUMBER"
    )
    recounting = actions.add_parser("exposure", help="fold every fill from the first one on")
    recounting.add_argument("--account", help="this account, and no others", metavar="ID")
    for parser in (replaying, recounting):
        parser.add_argument("--data", help="the data directory (data)", metavar="DIR")
    actions.add_parser("table", help="print the catalogue of controls")


def _add_limits(commands: _Commands) -> None:
    limits = commands.add_parser("limits", help="read and set limits")
    actions = limits.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="show the limits in force")
    actions.add_parser("export", help="write the limits in force as CSV, as `import` reads them")
    importing = actions.add_parser("import", help="set the limits of a CSV file, all or none")
    importing.add_argument("file", type=Path, metavar="FILE")
    setting = actions.add_parser("set", help="set one limit")
    setting.add_argument("name", help="what is limited, such as MAX_ORDER_QTY")
    setting.add_argument("value", help="a number, or `none` to take the limit away")
    for column in (each for each in LIMIT_COLUMNS if each not in {"name", "value"}):
        setting.add_argument(f"--{column.replace('_', '-')}", default="")
    actions.add_parser("requests", help="show what awaits a second person, and what became of it")
    for action in ("approve", "deny", "withdraw"):
        deciding = actions.add_parser(action, help=f"{action} a request to loosen limits")
        deciding.add_argument("request", metavar="REQUEST")
        if action == "deny":
            deciding.add_argument("--reason", required=True)
    for action, parser in actions.choices.items():
        parser.add_argument("--data", help="the data directory (data)", metavar="DIR")
        needed = action not in {"list", "export"}
        parser.add_argument("--by", required=needed, help="the user who does this")


def _add_audit(commands: _Commands) -> None:
    audit = commands.add_parser("audit", help="verify, seal and export the audit record")
    actions = audit.add_subparsers(dest="action", required=True, metavar="ACTION")
    verifying = actions.add_parser("verify", help="find what was changed, removed or reordered")
    verifying.add_argument("--anchor", action="append", default=[], metavar="NUMBER:HASH")
    verifying.add_argument("--export", type=Path, metavar="FILE", help="check an export alone")
    actions.add_parser("seal", help="seal now what is not sealed yet")
    actions.add_parser("keys", help="print the public keys, for who verifies elsewhere")
    exporting = actions.add_parser("export", help="write records of a period with their proof")
    what = exporting.add_mutually_exclusive_group(required=True)
    what.add_argument("--account", help="the reports of this account")
    what.add_argument("--acts", action="store_true", help="administrative acts")
    exporting.add_argument("--since", help="RFC 3339, inclusive", metavar="TIME")
    exporting.add_argument("--until", help="RFC 3339, exclusive", metavar="TIME")
    exporting.add_argument("--by", help="who exports, for the record (this machine's user)")
    for parser in actions.choices.values():
        parser.add_argument("--data", help="the data directory (data)", metavar="DIR")


def _add_keys(commands: _Commands) -> None:
    keys = commands.add_parser("keys", help="show and rotate the keys that secrets are under")
    actions = keys.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("status", help="count secrets by the key that they are under")
    rotating = actions.add_parser("rotate", help="put all secrets under the key that seals now")
    rotating.add_argument("--by", help="who does it, for the record (this machine's user)")
    for parser in actions.choices.values():
        parser.add_argument("--data", help="the data directory (data)", metavar="DIR")


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
