"""Links to brokers: begin, complete, approve, rotate, end."""

from collections.abc import Sequence
from typing import Annotated

import strawberry

import trading.link
import trading.linkdesk
from resolvers.context import Info
from schema.definition import field
from schema.link import BrokerLink, LinkBegun
from trading.ids import AccountID
from trading.permission import Permission

LinkID = Annotated[strawberry.ID, strawberry.argument(description="The link's id.")]


async def list_links(info: Info) -> Sequence[trading.link.Link]:
    """Read the links of accounts that the caller may see."""
    return await info.context.links.links(info.context.caller)


async def begin_link(
    info: Info,
    account_id: Annotated[strawberry.ID, strawberry.argument(description="Which account.")],
    broker: Annotated[str, strawberry.argument(description="To which broker.")],
) -> trading.linkdesk.LinkBegun:
    """Begin a link."""
    return await info.context.links.begin(info.context.actor, AccountID(account_id), broker)


async def complete_link(
    info: Info,
    redirected_to: Annotated[
        str, strawberry.argument(description="The whole address the browser came back to.")
    ],
) -> trading.link.Link:
    """Take the broker's answer."""
    return await info.context.links.complete(info.context.actor, redirected_to)


async def approve_link(info: Info, id: LinkID) -> trading.link.Link:  # noqa: A002
    """Approve a link that another person has made."""
    return await info.context.links.approve(info.context.actor, id)


async def rotate_link(info: Info, id: LinkID) -> trading.link.Link:  # noqa: A002
    """Refresh a link's tokens now."""
    return await info.context.links.rotate(info.context.actor, id)


async def unlink(info: Info, id: LinkID) -> trading.link.Link:  # noqa: A002
    """End a link."""
    return await info.context.links.unlink(info.context.actor, id)


@strawberry.type
class LinkQuery:
    links: list[BrokerLink] = field(
        "The links to brokers of the accounts that you may see.",
        requires=Permission.LINKS_READ,
        resolver=list_links,
    )


@strawberry.type
class LinkMutation:
    begin_link: LinkBegun = field(
        "Begin a link of an account to a broker; its holder then consents at the broker's.",
        requires=Permission.LINKS_WRITE,
        resolver=begin_link,
    )
    complete_link: BrokerLink = field(
        "Bring the broker's answer, once and within ten minutes. In `live`, the link then awaits a"
        " second person.",
        requires=Permission.LINKS_WRITE,
        resolver=complete_link,
    )
    approve_link: BrokerLink = field(
        "Approve a link; nobody approves their own.",
        requires=Permission.LINKS_WRITE,
        resolver=approve_link,
    )
    rotate_link: BrokerLink = field(
        "Have the broker give new tokens now.",
        requires=Permission.LINKS_WRITE,
        resolver=rotate_link,
    )
    unlink: BrokerLink = field(
        "End a link. Its secrets are gone at once.",
        requires=Permission.LINKS_WRITE,
        resolver=unlink,
    )
