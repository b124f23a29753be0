"""Administrative acts: who did what to what, when, from where, and what became of it."""

import trading.audit
from schema.definition import enum, field, noun
from schema.scalar import Instant, Sequence
from trading.audit import ActDecision, ActKind
from trading.permission import Permission

__all__ = ["Act"]

enum(
    ActKind,
    "What was done, or tried, beside trading.",
    SET_TRADING_STATE="A trading state was set, or its release asked for.",
    APPROVE_TRADING_STATE="The release of a trading state was approved.",
    SET_LIMITS="Limits were set, or their loosening asked for.",
    APPROVE_LIMITS="The loosening of limits was approved.",
    DENY_LIMITS="The loosening of limits was denied.",
    WITHDRAW_LIMITS="A request to loosen limits was taken back.",
    ADD_ACCOUNT="An account was added.",
    ADD_USER="A user was added.",
    CHANGE_USER="A user's role or name was changed, or what accounts it is entitled to.",
    PUBLISH_DOCUMENTS="A client's documents were registered.",
    RETIRE_DOCUMENTS="A client's documents were taken back.",
    BIND_CLIENT="A client was bound to its registered documents.",
    UNBIND_CLIENT="A client was let send any document again.",
    EXPORT_AUDIT="Records were exported.",
    REVOKE_TOKENS="A user's tokens were revoked.",
    BEGIN_LINK="A link to a broker was begun.",
    COMPLETE_LINK="A broker's answer was brought.",
    APPROVE_LINK="A link was approved.",
    ROTATE_LINK="A link's tokens were refreshed by hand.",
    UNLINK="A link was ended.",
    ROTATE_KEYS="Secrets were put under a new key.",
)

enum(
    ActDecision,
    "What became of an act.",
    DONE="It took effect.",
    AWAITS_APPROVAL="It awaits a second person.",
    REFUSED="It was refused, and changed nothing.",
)


@noun(
    "An administrative act. Acts are never changed; they are chained and sealed, as reports are.",
    requires=Permission.AUDIT_READ,
    of=trading.audit.Act,
)
class Act:
    number: Sequence = field("Its place in the record of acts, which has no gap.")
    kind: ActKind = field("What was done, or tried.")
    decision: ActDecision = field("What became of it.")
    subject: str = field("What it was about: a scope, a version of limits, a request, a client.")
    detail: str = field("What was set, or why it was refused.")
    user_id: str = field("Who did it.")
    role: str = field("The role of who did it.")
    client_id: str = field("The program through which it was done, as its token says.")
    token_id: str = field("The `jti` of the token; empty at the command line.")
    address: str = field("Where the connection came from; empty at the command line.")
    at: Instant = field("When.")
