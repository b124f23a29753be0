"""The caller."""

from collections.abc import Sequence
from dataclasses import dataclass

import strawberry

import trading.account
import trading.permission
from schema.account import Account
from schema.context import Info
from schema.definition import AUTHENTICATED, enum, field, noun
from schema.scalar import Instant
from trading.ids import AccountID
from trading.permission import Entitlement

enum(
    Entitlement,
    "What a caller may do with an account.",
    READ="See it.",
    TRADE="See it, and place and cancel its orders.",
)


@dataclass(frozen=True, slots=True)
class Entitled:
    """An account, and what the caller may do with it."""

    account_id: AccountID
    entitlement: Entitlement


def _entitled(
    principal: strawberry.Parent[trading.permission.Principal],
) -> Sequence[Entitled]:
    return [Entitled(*each) for each in sorted(principal.accounts.items())]


def _permissions(principal: strawberry.Parent[trading.permission.Principal]) -> Sequence[str]:
    return sorted(principal.permissions)


async def _account(entitled: strawberry.Parent[Entitled], info: Info) -> trading.account.Account:
    return await info.context.accounts.load(entitled.account_id)


@noun("An account that the caller may see.", requires=AUTHENTICATED, of=Entitled)
class AccountEntitlement:
    account_id: strawberry.ID = field("The account.")
    account: Account = field("The account.", resolver=_account)
    entitlement: Entitlement = field("What the caller may do with it.")


@noun("The caller.", requires=AUTHENTICATED, of=trading.permission.Principal)
class Viewer:
    user_id: strawberry.ID = field("The user.")
    name: str = field("The user's name.")
    tenant_id: strawberry.ID = field("The tenant that the user belongs to.")
    client_id: strawberry.ID = field("The program it asks through, as its token says.")
    role: str = field("The role that permissions come from.")
    permissions: list[str] = field(
        "What the caller may do: the role's permissions, narrowed by the token's scopes.",
        resolver=_permissions,
    )
    accounts: list[AccountEntitlement] = field("The accounts it may see.", resolver=_entitled)
    expires_at: Instant = field("When the token ends.")
