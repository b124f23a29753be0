"""The end of a user's tokens."""

from typing import Annotated

import strawberry

import trading.revocation
from resolvers.context import Info
from schema.definition import field
from schema.revocation import Revocation
from schema.scalar import Instant
from trading.ids import UserID
from trading.permission import Permission


async def revoke_tokens(
    info: Info,
    user_id: Annotated[strawberry.ID, strawberry.argument(description="Whose.")],
    reason: Annotated[str, strawberry.argument(description="Why, for the record.")],
    before: Annotated[
        Instant | None,
        strawberry.argument(description="Those issued before it; all that there are, if left out."),
    ] = None,
) -> trading.revocation.Revocation:
    """End a user's sessions and tokens."""
    desk = info.context.revocations
    return await desk.revoke(info.context.caller, UserID(user_id), before, reason)


@strawberry.type
class RevocationMutation:
    revoke_tokens: Revocation = field(
        "End all sessions of a user of your tenant, and refuse its tokens of before.",
        requires=Permission.TOKENS_REVOKE,
        resolver=revoke_tokens,
    )
