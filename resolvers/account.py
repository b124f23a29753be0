"""Accounts and positions."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Annotated

import strawberry

import trading.account
from resolvers.context import Info
from resolvers.entitlement import visible
from resolvers.stream import Stream
from schema.account import Account, Position, held
from schema.definition import field, subscription
from trading.ids import AccountID
from trading.permission import Permission

AccountArgument = Annotated[strawberry.ID, strawberry.argument(description="The account.")]


async def list_accounts(info: Info) -> Sequence[trading.account.Account]:
    """Read all accounts that the caller may see."""
    return await info.context.reads.accounts(set(info.context.caller.accounts))


async def find_account(
    info: Info,
    account_id: Annotated[strawberry.ID, strawberry.argument(name="id", description="Its id.")],
) -> trading.account.Account | None:
    """Read one account; None for a foreign one as for one that does not exist."""
    known = AccountID(account_id)
    if not info.context.caller.may_read(known):
        return None
    return next(iter(await info.context.reads.accounts({known})), None)


async def list_positions(
    info: Info,
    account_id: Annotated[
        strawberry.ID | None,
        strawberry.argument(description="The account; all that you may see, if left out."),
    ] = None,
) -> Sequence[trading.account.Position]:
    """Read positions. Raises NotFound."""
    principal = info.context.caller
    wanted = set(principal.accounts) if account_id is None else {visible(principal, account_id)}
    return held(await info.context.reads.positions(wanted))


async def watch_account(info: Info, account_id: AccountArgument) -> Stream[trading.account.Account]:
    """Follow an account. Raises NotFound."""
    account, streams = visible(info.context.caller, account_id), info.context.streams
    return Stream(scope=account, follow=lambda _: streams.account(account), slot=attrgetter("id"))


async def watch_positions(
    info: Info, account_id: AccountArgument
) -> Stream[trading.account.Position]:
    """Follow an account's positions. Raises NotFound."""
    account, streams = visible(info.context.caller, account_id), info.context.streams
    return Stream(
        scope=account, follow=lambda _: streams.positions(account), slot=attrgetter("symbol")
    )


@strawberry.type
class AccountQuery:
    accounts: list[Account] = field(
        "All accounts that you may see.", requires=Permission.ACCOUNTS_READ, resolver=list_accounts
    )
    account: Account | None = field(
        "An account; null if there is none that you may see.",
        requires=Permission.ACCOUNTS_READ,
        resolver=find_account,
    )
    positions: list[Position] = field(
        "Positions, flat ones left out.",
        requires=Permission.ACCOUNTS_READ,
        resolver=list_positions,
    )


@strawberry.type
class AccountSubscription:
    positions: Position = subscription(
        "Every position of an account, then each one that changes, or whose mark does.",
        requires=Permission.ACCOUNTS_READ,
        resolver=watch_positions,
    )
    account: Account = subscription(
        "An account, then again whenever it changes, or a mark that its equity rests on.",
        requires=Permission.ACCOUNTS_READ,
        resolver=watch_account,
    )
