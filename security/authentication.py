"""From a token to a principal: who is asking, and what of it the store still grants."""

import ipaddress
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from security.credentials import Credentials, Scheme, presented, refuse
from security.dpop import Proofs, certificate_thumbprint
from security.fetch import IssuerUnavailable
from security.roles import Role, permitted
from security.strangers import Strangers
from security.verifier import Claims
from trading.ids import AccountID, TenantID, UserID
from trading.outcome import AuthenticationUnavailable, Unauthenticated
from trading.permission import Entitlement, Permission, Principal
from trading.ports import Clock
from trading.store import StoreUnavailable

KEPT_S = 2
"""How long a caller is taken from memory, and so how late a change of its rights can be felt."""

KEPT_DOWN_S = 900
"""The same while the store is down, when rights cannot change either."""

KEPT_MAX = 4096
_SECOND_NS = 1_000_000_000

type Proxies = Collection[ipaddress.IPv4Network | ipaddress.IPv6Network]

logger = logging.getLogger(__name__)


class User(Protocol):
    """A user, as the store knows one."""

    @property
    def id(self) -> UserID:
        """The user's id: the subject of its tokens."""

    @property
    def tenant_id(self) -> TenantID:
        """The tenant it belongs to."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def role(self) -> str:
        """The name of its role."""

    @property
    def accounts(self) -> Mapping[AccountID, Entitlement]:
        """What it may do with which accounts."""

    @property
    def revoked_before(self) -> int:
        """The instant before which its tokens are revoked, in UTC nanoseconds."""


class Users(Protocol):
    """Where users are looked up."""

    async def user(self, user_id: UserID) -> User | None:
        """Return a user, or None."""


class Tokens(Protocol):
    """What verifies tokens."""

    async def verify(self, token: str) -> Claims:
        """Return what a token says. Raises Unauthenticated and IssuerUnavailable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demands:
    """What is demanded of callers beyond a valid token."""

    partners_are_bound: bool = True
    """Whether partners write orders by tokens alone that are bound to their key or certificate."""

    withheld: frozenset[Permission] = frozenset()
    """What nobody may do in this environment, whatever the role."""

    proxies: Proxies = ()
    """The networks of those whose word is taken for a client's certificate."""


@dataclass(frozen=True, slots=True)
class _Kept:
    principal: Principal
    claims: Claims
    since: int


class Authentication:
    """Authenticates callers by the token of a request or of a socket.

    Whom it has let in, it knows again for `KEPT_S` seconds, because to verify a signature and to
    read the user is a good part of what an order costs. While the store or the issuer is down it is
    `KEPT_DOWN_S` instead, so that orders can still be canceled. A refusal is never remembered, and
    nobody is known again once the token has ended. What a token is bound to is shown each time.
    """

    def __init__(
        self,
        *,
        tokens: Tokens,
        users: Users,
        proofs: Proofs,
        strangers: Strangers,
        clock: Clock,
        demands: Demands,
    ) -> None:
        """Take what verifies tokens and proofs, knows users, and counts refusals."""
        self._tokens, self._users, self._proofs = tokens, users, proofs
        self._strangers = strangers
        self._clock, self._demands = clock, demands
        self._kept: dict[str, _Kept] = {}

    async def of(self, credentials: Credentials) -> Principal:
        """Authenticate a caller. Raises Unauthenticated, and AuthenticationUnavailable.

        Raises RateExceeded to strangers at an address that was refused too often, before their
        tokens are looked at. Whoever is known, or has a socket that is looked at again, is none.
        """
        try:
            scheme, token = presented(credentials.authorization)
            if token not in self._kept and not credentials.is_proven:
                await self._strangers.admit(credentials.address)
            known = await self._known(token)
            if known.claims.is_bound or scheme is not Scheme.BEARER:
                await self._check_possession(scheme, token, known.claims, credentials)
        except Unauthenticated as refused:
            if not credentials.is_proven:
                await self._strangers.count(credentials.address)
            # Never the token: whoever reads the log could use it.
            logger.info("a caller at %s is refused: %s", credentials.address or "?", refused)
            raise
        return known.principal

    def forget(self, user_id: UserID) -> None:
        """Look at a user's tokens again, from now on."""
        kept = self._kept.items()
        self._kept = {token: each for token, each in kept if each.principal.user_id != user_id}

    async def _known(self, token: str) -> _Kept:
        kept = self._kept.get(token)
        if kept is not None and self._is_good(kept, KEPT_S):
            return kept
        since = self._clock.monotonic()
        try:
            claims = await self._tokens.verify(token)
            principal = await self._principal(claims)
        except Unauthenticated:
            self._kept.pop(token, None)
            raise
        except StoreUnavailable:
            if kept is not None and self._is_good(kept, KEPT_DOWN_S):
                return kept
            raise
        except IssuerUnavailable as error:
            if kept is not None and self._is_good(kept, KEPT_DOWN_S):
                return kept
            logger.warning("tokens cannot be verified: %s", error)
            words = "tokens cannot be verified at present: ask again"
            raise AuthenticationUnavailable(words) from None
        found = _Kept(principal, claims, since)
        self._keep(token, found)
        return found

    def _is_good(self, kept: _Kept, seconds: int) -> bool:
        is_fresh = self._clock.monotonic() < kept.since + seconds * _SECOND_NS
        return is_fresh and self._clock.now() < kept.principal.expires_at

    def _keep(self, token: str, kept: _Kept) -> None:
        if len(self._kept) >= KEPT_MAX:
            # Nothing is lost by it but time, and tokens that nobody uses any more go too.
            self._kept.clear()
        self._kept[token] = kept

    async def _principal(self, claims: Claims) -> Principal:
        user = await self._users.user(claims.user_id)
        if user is None:
            raise Unauthenticated("the token is refused: its user is not known here")
        if claims.issued_at < user.revoked_before:
            raise Unauthenticated("the token is refused: it was revoked; get a new one")
        role = _role(user)
        return Principal(
            user_id=user.id,
            name=user.name,
            tenant_id=user.tenant_id,
            role=role,
            permissions=permitted(role, claims.scopes) - self._withheld(role, claims),
            accounts=user.accounts,
            expires_at=claims.expires_at,
            client_id=claims.client_id,
            token_id=claims.token_id,
        )

    def _withheld(self, role: Role, claims: Claims) -> frozenset[Permission]:
        """Return what neither scope nor role decides: a partner's stolen token places no order."""
        demands = self._demands
        if role is Role.PARTNER and demands.partners_are_bound and not claims.is_bound:
            return demands.withheld | {Permission.ORDERS_WRITE}
        return demands.withheld

    async def _check_possession(
        self, scheme: Scheme, token: str, claims: Claims, credentials: Credentials
    ) -> None:
        """Check that the caller has what its token is bound to. Raises Refused."""
        is_by_key = claims.thumbprint is not None
        if is_by_key != (scheme is Scheme.DPOP):
            words = "is bound to a key: send" if is_by_key else "is not bound to a key: do not send"
            refuse(f"the token {words} it as `authorization: DPoP <token>`", scheme)
        if credentials.is_proven:
            return
        if claims.certificate is not None and claims.certificate != self._certificate(credentials):
            refuse("the token is bound to a certificate that the caller does not have", scheme)
        if claims.thumbprint is not None:
            await self._proofs.check(credentials, token, claims.thumbprint)

    def _certificate(self, credentials: Credentials) -> str | None:
        """Return the thumbprint of the client's certificate, by the word of a trusted proxy."""
        try:
            peer = ipaddress.ip_address(credentials.peer)
        except ValueError:
            return None
        if not any(peer in network for network in self._demands.proxies):
            return None
        return certificate_thumbprint(credentials.certificate)


def _role(user: User) -> Role:
    try:
        return Role(user.role)
    except ValueError:
        raise Unauthenticated("the token is refused: its user has no role here") from None
