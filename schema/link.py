"""Links to brokers: whose, how far, until when. Nothing secret of one is ever shown."""

from typing import Annotated

import strawberry

import trading.link
import trading.linkdesk
from schema.context import Info
from schema.definition import enum, field, noun
from schema.scalar import Instant
from trading.link import LinkState
from trading.permission import Permission

__all__ = ["BrokerLink", "LinkBegun"]

enum(
    LinkState,
    "How far a link to a broker is.",
    AUTHORIZING="Its holder has not consented at the broker's yet.",
    AWAITS_APPROVAL="A second person must approve it.",
    ACTIVE="It is used.",
    REAUTHORIZE="The broker refreshes it no more: it must be begun anew.",
    UNLINKED="It has ended, and its secrets are gone.",
)


def _is_expiring(link: strawberry.Parent[trading.link.Link], info: Info) -> bool:
    return link.is_due(info.context.gateway.clock.now())


@noun(
    "A link of an account to a broker, made by OAuth 2.0.",
    requires=Permission.LINKS_READ,
    of=trading.link.Link,
)
class BrokerLink:
    id: strawberry.ID = field("The gateway's id of it.")
    account_id: strawberry.ID = field("The account that is linked.")
    broker: str = field("The broker.")
    state: LinkState = field("How far it is.")
    requested_by: str = field("Who began it.")
    requested_at: Instant = field("When it was begun.")
    approved_by: str | None = field("Who approved it; another person.")
    token_expires_at: Instant | None = field("When its token ends, if it does.")
    refreshed_at: Instant | None = field("When the broker gave its token.")
    revision: int = field("How often it was changed.")
    is_expiring: bool = field(
        "Whether two thirds of its token's life are over, and it is about to be refreshed.",
        resolver=_is_expiring,
    )


@noun(
    "A link that was begun.",
    requires=Permission.LINKS_WRITE,
    of=trading.linkdesk.LinkBegun,
)
class LinkBegun:
    link: Annotated["BrokerLink", strawberry.lazy("schema.link")] = field("The link.")
    url: str = field("Where its holder consents: send their browser there within ten minutes.")
