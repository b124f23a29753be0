"""The link desk: who links an account to a broker, and how its tokens stay good."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from urllib.parse import parse_qs, urlsplit

from trading.audit import ActDecision, ActKind, ActLog, act
from trading.ids import AccountID, base62
from trading.link import (
    BrokerTokens,
    Link,
    LinkClient,
    LinkRefused,
    LinkState,
    LinkStore,
    LinkUnavailable,
    SealedSecret,
    SecretField,
    Vault,
)
from trading.outcome import BadUserInput, BrokerUnavailable, Forbidden, GatewayError, NotFound
from trading.permission import Permission, Principal
from trading.ports import Clock, IdSource
from trading.refusals import refusals
from trading.store import Leases, StoreUnavailable

logger = logging.getLogger(__name__)

CONSENT_NS = 600_000_000_000
"""How long a broker's answer may take: ten minutes."""

_REFRESH_TERM_S = 20.0
_LOOK_EVERY_S = 15.0
_COMMIT_TRIES = 5
_ALARM_NS = 300_000_000_000
"""How close to its end a token is, not refreshed, when that is an error in the log: 5 minutes."""


@dataclass(frozen=True, slots=True)
class LinkBegun:
    """A link that awaits its holder's consent, which is given at this address."""

    link: Link
    url: str


class LinkDesk:
    """Makes and ends links, and refreshes their tokens: one process at a time for each link.

    A broker may take a refresh token back when it is used twice, so that a lease stands for the
    row's lock: a transaction must not stay open while a broker is asked. New tokens are committed
    before anybody can use them.
    """

    def __init__(
        self,
        *,
        store: LinkStore,
        audit: ActLog,
        clients: Mapping[str, LinkClient],
        vault: Vault,
        leases: Leases,
        clock: Clock,
        ids: IdSource,
        holder: str,
        needs_approval: bool,
    ) -> None:
        """Take the brokers that can be linked to, and whether a second person must agree."""
        self._store, self._audit, self._clients = store, audit, clients
        self._vault, self._leases, self._clock, self._ids = vault, leases, clock, ids
        self._holder, self._needs_approval = holder, needs_approval

    async def links(self, principal: Principal) -> Sequence[Link]:
        """Return the links of accounts that the principal may read."""
        found = await self._store.links(principal.tenant_id)
        return [link for link in found if principal.may_read(link.account_id)]

    async def begin(self, principal: Principal, account_id: AccountID, broker: str) -> LinkBegun:
        """Begin a link, for which the holder then consents at the broker's. Raises NotFound."""
        kind, subject = ActKind.BEGIN_LINK, f"account:{account_id} broker:{broker}"
        async with refusals(self._audit, self._clock, principal, kind, subject):
            _authorize(principal)
            if not principal.may_read(account_id):
                raise NotFound(f"there is no account {account_id}")
            client = self._client(broker)
        url, state, verifier = client.begin()
        at = self._clock.now()
        link = Link(
            id=base62(self._ids.next()),
            tenant_id=principal.tenant_id,
            account_id=account_id,
            broker=broker,
            state=LinkState.AUTHORIZING,
            requested_by=principal.user_id,
            requested_at=at,
            state_digest=_digest(state),
            state_expires_at=at + CONSENT_NS,
        )
        sealed = await self._sealed(link, SecretField.VERIFIER, verifier.encode())
        await self._put(principal, kind, link, {SecretField.VERIFIER: sealed})
        return LinkBegun(link, url)

    async def complete(self, principal: Principal, redirected_to: str) -> Link:
        """Take the broker's answer: the address that the holder's browser came back to.

        Only who began the link may bring it, once and in time. Raises NotFound, BadUserInput.
        """
        state = _state(redirected_to)
        kind = ActKind.COMPLETE_LINK
        async with refusals(self._audit, self._clock, principal, kind, "an answer of a broker"):
            _authorize(principal)
            link = await self._store.link_awaiting(_digest(state))
            if link is None or not self._is_awaited(link, principal):
                raise NotFound("no link awaits this answer: begin anew")
        verifier = await self._opened(link, SecretField.VERIFIER)
        # The answer is used up before it is exchanged: it is brought once, whatever comes of it.
        used = replace(link, state_digest="", revision=link.revision + 1)
        await self._put(None, kind, used, {SecretField.VERIFIER: None})
        try:
            client = self._client(link.broker)
            tokens = await client.complete(redirected_to, state, verifier.decode())
        except LinkRefused as refused:
            raise BadUserInput(f"{link.broker} does not link the account: {refused}") from None
        except LinkUnavailable as down:
            raise BrokerUnavailable(f"{link.broker}: {down}") from None
        waits = self._needs_approval
        to = LinkState.AWAITS_APPROVAL if waits else LinkState.ACTIVE
        return await self._keep(used, tokens, to, principal, kind)

    async def approve(self, principal: Principal, link_id: str) -> Link:
        """Let a link be used that another person has made. Raises NotFound, Forbidden."""
        kind = ActKind.APPROVE_LINK
        async with refusals(self._audit, self._clock, principal, kind, link_id):
            link = await self._mine(principal, link_id)
            if link.state is not LinkState.AWAITS_APPROVAL:
                raise NotFound(f"the link {link_id} awaits no approval")
            if link.requested_by == principal.user_id:
                raise Forbidden("another person than the requester must approve")
        approved = replace(
            link,
            state=LinkState.ACTIVE,
            approved_by=principal.user_id,
            revision=link.revision + 1,
        )
        # A secret is sealed for the revision that it stands under.
        token = await self._opened(link, SecretField.TOKEN)
        sealed = await self._sealed(approved, SecretField.TOKEN, token)
        await self._put(principal, kind, approved, {SecretField.TOKEN: sealed})
        return approved

    async def rotate(self, principal: Principal, link_id: str) -> Link:
        """Refresh a link's tokens now. Raises NotFound, BadUserInput, BrokerUnavailable."""
        async with refusals(self._audit, self._clock, principal, ActKind.ROTATE_LINK, link_id):
            link = await self._mine(principal, link_id)
            if link.state is not LinkState.ACTIVE:
                raise NotFound(f"the link {link_id} is {link.state}: nothing can be refreshed")
        try:
            return await self._refreshed(link, principal)
        except LinkRefused as refused:
            raise BadUserInput(f"{link.broker} refreshes no more: {refused}") from None
        except LinkUnavailable as down:
            raise BrokerUnavailable(f"{link.broker}: {down}") from None

    async def unlink(self, principal: Principal, link_id: str) -> Link:
        """End a link: its secrets are gone at once. Raises NotFound."""
        kind = ActKind.UNLINK
        async with refusals(self._audit, self._clock, principal, kind, link_id):
            link = await self._mine(principal, link_id)
        ended = replace(link, state=LinkState.UNLINKED, state_digest="", revision=link.revision + 1)
        await self._put(principal, kind, ended, dict.fromkeys(SecretField))
        return ended

    async def run(self) -> None:
        """Refresh what is due, for ever, and say so where a token nears its end all the same."""
        while True:
            try:
                await self.refresh_due()
            except StoreUnavailable as error:
                logger.warning("links cannot be looked at: %s", error)
            await self._clock.sleep(_LOOK_EVERY_S)

    async def refresh_due(self) -> None:
        """Refresh each link of which two thirds of a token's life are over."""
        for link in await self._store.links(None):
            if link.state is not LinkState.ACTIVE or not link.is_due(self._clock.now()):
                continue
            try:
                await self._refreshed(link, None)
            except (LinkRefused, LinkUnavailable, GatewayError) as error:
                left = (link.token_expires_at or 0) - self._clock.now()
                level = logging.ERROR if left < _ALARM_NS else logging.WARNING
                seconds = left // 1_000_000_000
                logger.log(level, "the link %s ends in %d s: %s", link.id, seconds, error)

    async def _refreshed(self, link: Link, principal: Principal | None) -> Link:
        name = f"link:{link.id}"
        epoch = await self._leases.acquire(name, self._holder, _REFRESH_TERM_S)
        if epoch is None:
            raise LinkUnavailable("it is being refreshed already: ask again")
        try:
            current = await self._store.link(link.id)
            if current is None or current.revision != link.revision:
                return current or link
            old = _tokens(await self._opened(link, SecretField.TOKEN))
            try:
                tokens = await self._client(link.broker).refresh(old)
            except LinkRefused:
                to = LinkState.REAUTHORIZE
                gone = replace(link, state=to, revision=link.revision + 1)
                await self._put(principal, ActKind.ROTATE_LINK, gone, {SecretField.TOKEN: None})
                raise
            return await self._keep(link, tokens, link.state, principal, ActKind.ROTATE_LINK)
        finally:
            await self._leases.release(name, epoch)

    async def _keep(
        self,
        link: Link,
        tokens: BrokerTokens,
        to: LinkState,
        principal: Principal | None,
        kind: ActKind,
    ) -> Link:
        """Commit new tokens. The broker will not give them twice, so that this is tried again."""
        kept = replace(
            link,
            state=to,
            token_expires_at=tokens.expires_at,
            refreshed_at=self._clock.now(),
            revision=link.revision + 1,
        )
        secret = json.dumps(asdict(tokens)).encode()
        for attempt in range(_COMMIT_TRIES):
            try:
                sealed = await self._vault.seal(kept, SecretField.TOKEN, secret)
                await self._put(principal, kind, kept, {SecretField.TOKEN: sealed})
            except (StoreUnavailable, LinkUnavailable):
                if attempt == _COMMIT_TRIES - 1:
                    logger.exception("new tokens of the link %s are lost", link.id)
                    raise
                await self._clock.sleep(1)
            else:
                break
        return kept

    async def _put(
        self,
        principal: Principal | None,
        kind: ActKind,
        link: Link,
        secrets: Mapping[SecretField, SealedSecret | None],
    ) -> None:
        said = None
        if principal is not None:
            waits = link.state is LinkState.AWAITS_APPROVAL
            decision = ActDecision.AWAITS_APPROVAL if waits else ActDecision.DONE
            detail = f"account:{link.account_id} broker:{link.broker} {link.state}"
            at = self._clock.now()
            said = act(kind, decision, principal, at, subject=link.id, detail=detail)
        if not await self._store.put(link, secrets, said):
            raise NotFound(f"the link {link.id} was changed in the meantime: look at it anew")

    async def _mine(self, principal: Principal, link_id: str) -> Link:
        _authorize(principal)
        link = await self._store.link(link_id)
        if link is None or link.state is LinkState.UNLINKED:
            raise NotFound(f"there is no link {link_id}")
        if link.tenant_id != principal.tenant_id or not principal.may_read(link.account_id):
            raise NotFound(f"there is no link {link_id}")
        return link

    def _is_awaited(self, link: Link, principal: Principal) -> bool:
        is_theirs = (link.tenant_id, link.requested_by) == (principal.tenant_id, principal.user_id)
        is_in_time = self._clock.now() < link.state_expires_at
        return is_theirs and is_in_time and link.state is LinkState.AUTHORIZING

    def _client(self, broker: str) -> LinkClient:
        client = self._clients.get(broker)
        if client is None:
            known = ", ".join(sorted(self._clients)) or "none"
            raise NotFound(f"no broker {broker} can be linked to: there are {known}")
        return client

    async def _sealed(self, link: Link, field: SecretField, secret: bytes) -> SealedSecret:
        try:
            return await self._vault.seal(link, field, secret)
        except (LinkUnavailable, LinkRefused) as error:
            raise BrokerUnavailable(f"the link cannot be kept secret: {error}") from None

    async def _opened(self, link: Link, field: SecretField) -> bytes:
        sealed = await self._store.secret(link.id, field)
        if sealed is None or sealed.revision > link.revision:
            raise NotFound(f"the link {link.id} has no {field}: begin anew")
        try:
            return await self._vault.open(sealed)
        except (LinkUnavailable, LinkRefused) as error:
            raise BrokerUnavailable(f"the link cannot be opened: {error}") from None


def _authorize(principal: Principal) -> None:
    if Permission.LINKS_WRITE not in principal.permissions:
        raise Forbidden(f"this takes the permission {Permission.LINKS_WRITE}")


def _state(redirected_to: str) -> str:
    states = parse_qs(urlsplit(redirected_to).query).get("state", [])
    if len(states) != 1:
        raise BadUserInput("redirectedTo: give the whole address that the browser came back to")
    return states[0]


def _digest(state: str) -> str:
    return hashlib.sha256(state.encode()).hexdigest()


def _tokens(secret: bytes) -> BrokerTokens:
    return BrokerTokens(**json.loads(secret))
