"""The end of a user's tokens."""

import strawberry

import trading.revocation
from schema.definition import field, noun
from schema.scalar import Instant
from trading.permission import Permission


@noun(
    "A user's tokens are revoked, and the sockets that they opened are closed within a second.",
    requires=Permission.TOKENS_REVOKE,
    of=trading.revocation.Revocation,
)
class Revocation:
    user_id: strawberry.ID = field("The user.")
    before: Instant = field("Tokens that were issued before it open nothing any more.")
