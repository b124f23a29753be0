"""From a token to a principal: who is asking, and what of it the store still grants."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from security.roles import Role, permitted
from security.verifier import Claims
from trading.ids import AccountID, TenantID, UserID
from trading.outcome import Unauthenticated
from trading.permission import Entitlement, Principal
from trading.ports import Clock
from trading.store import StoreUnavailable

KEPT_S = 2
"""How long a caller is taken from memory, and so how late a change of its rights can be felt."""

KEPT_DOWN_S = 900
"""The same while the store is down, when rights cannot change either."""

KEPT_MAX = 4096
_SECOND_NS = 1_000_000_000
_SEND = "send `authorization: Bearer <token>`"


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


class Users(Protocol):
    """Where users are looked up."""

    async def user(self, user_id: UserID) -> User | None:
        """Return a user, or None."""


class Tokens(Protocol):
    """What verifies tokens."""

    def verify(self, token: str) -> Claims:
        """Return what a token says. Raises Unauthenticated."""


@dataclass(frozen=True, slots=True)
class _Kept:
    principal: Principal
    since: int


class Authentication:
    """Authenticates callers by the bearer token of a request or of a socket.

    Whom it has let in, it knows again for `KEPT_S` seconds, because to verify a signature and to
    read the user is a good part of what an order costs. While the store is down it is `KEPT_DOWN_S`
    instead, so that orders can still be canceled. A refusal is never remembered, and nobody is
    known again once the token has ended.
    """

    def __init__(self, *, tokens: Tokens, users: Users, clock: Clock) -> None:
        """Take what verifies tokens and knows users."""
        self._tokens = tokens
        self._users = users
        self._clock = clock
        self._kept: dict[str, _Kept] = {}

    async def of_header(self, authorization: str | None) -> Principal:
        """Authenticate by an Authorization header. Raises Unauthenticated."""
        token = _bearer(authorization)
        kept = self._kept.get(token)
        if kept is not None and self._is_good(kept, KEPT_S):
            return kept.principal
        since = self._clock.monotonic()
        claims = self._tokens.verify(token)
        try:
            principal = await self._principal(claims)
        except StoreUnavailable:
            if kept is not None and self._is_good(kept, KEPT_DOWN_S):
                return kept.principal
            raise
        self._keep(token, _Kept(principal, since))
        return principal

    def _is_good(self, kept: _Kept, seconds: int) -> bool:
        is_fresh = self._clock.monotonic() < kept.since + seconds * _SECOND_NS
        return is_fresh and self._clock.now() < kept.principal.expires_at

    def _keep(self, token: str, kept: _Kept) -> None:
        if len(self._kept) >= KEPT_MAX:
            # Nothing is lost by it but time, and tokens that nobody uses any more go too.
            self._kept.clear()
        self._kept[token] = kept

    async def of_payload(self, payload: object) -> Principal:
        """Authenticate by the payload of `connection_init` or `ping`. Raises Unauthenticated."""
        match payload:
            case {"authorization": str() as authorization}:
                return await self.of_header(authorization)
            case _:
                raise Unauthenticated(
                    'no token: send the payload {"authorization": "Bearer <token>"}'
                )

    async def _principal(self, claims: Claims) -> Principal:
        user = await self._users.user(claims.user_id)
        if user is None:
            raise Unauthenticated("the token is refused: its user is not known here")
        role = _role(user)
        return Principal(
            user_id=user.id,
            name=user.name,
            tenant_id=user.tenant_id,
            role=role,
            permissions=permitted(role, claims.scopes),
            accounts=user.accounts,
            expires_at=claims.expires_at,
            client_id=claims.client_id,
        )


def _bearer(authorization: str | None) -> str:
    """Take the token out of a header (RFC 6750)."""
    if not authorization:
        raise Unauthenticated(f"no token: {_SEND}")
    scheme, _, token = authorization.strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated(f"not a bearer token: {_SEND}")
    return token.strip()


def _role(user: User) -> Role:
    try:
        return Role(user.role)
    except ValueError:
        raise Unauthenticated("the token is refused: its user has no role here") from None
