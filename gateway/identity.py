"""By what this gateway knows its callers: the development issuer, or one that is configured."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.config import Settings
from gateway.login import redis_login
from gateway.system import SystemClock, TimeOrderedIds
from security.authentication import Authentication, Demands, Tokens, Users
from security.development import DevelopmentIssuer, open_issuer
from security.discovery import Discovery
from security.dpop import Proofs
from security.fetch import HttpFetch
from security.introspection import Introspection
from security.issuer import IssuerTokens
from security.jwks import RemoteKeys
from security.rates import Account, LocalAccount, Rate, Rates, SharedAccount
from security.redis import connected
from security.replays import LocalReplays, Replays, SharedReplays
from security.strangers import Strangers
from security.verifier import audience
from trading.permission import Permission
from trading.ports import Environment


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What verifies tokens and proofs; `development` mints them where nobody else does."""

    tokens: Tokens
    proofs: Proofs
    demands: Demands
    strangers: Strangers
    rates: Rates
    development: DevelopmentIssuer | None

    def authentication(self, users: Users, clock: SystemClock) -> Authentication:
        """Make what knows callers among these users."""
        return Authentication(
            tokens=self.tokens,
            users=users,
            proofs=self.proofs,
            strangers=self.strangers,
            clock=clock,
            demands=self.demands,
        )


@asynccontextmanager
async def identified(
    settings: Settings, clock: SystemClock, ids: TimeOrderedIds, database: str
) -> AsyncIterator[Identity]:
    """Open what callers are known by. Raises IssuerRefused.

    A configured issuer need not answer yet: until it does, nobody new is let in. `database` is the
    identity of the store, which keeps deployments on one Redis apart.
    """
    async with AsyncExitStack() as stack:
        replays: Replays = LocalReplays(clock)
        account: Account = LocalAccount(clock)
        if settings.redis_url is not None:
            redis = await stack.enter_async_context(connected(*redis_login(settings.redis_url)))
            prefix = f"drawbridge:{settings.environment}:{database}"
            replays = SharedReplays(redis, prefix, clock)
            account = SharedAccount(redis, prefix, clock)
        development = None if settings.issuer else _development(settings, clock, ids)
        yield Identity(
            tokens=development or await _remote(settings, clock, stack),
            proofs=Proofs(url=settings.endpoint_url, replays=replays, clock=clock),
            demands=demands(settings),
            strangers=Strangers(Rate(settings.rate_refused), clock),
            rates=Rates(settings.rates, account, clock, settings.quotas),
            development=development,
        )


def demands(settings: Settings) -> Demands:
    """Say what is demanded of callers beyond a valid token."""
    # The development issuer binds no tokens, and serves this machine alone. What the schema has is
    # nothing that a live gateway tells anybody: it is published beside it.
    is_live = settings.environment is Environment.LIVE
    return Demands(
        partners_are_bound=settings.issuer is not None,
        withheld=frozenset({Permission.SCHEMA_READ}) if is_live else frozenset(),
        proxies=settings.trusted_proxies,
    )


def _development(settings: Settings, clock: SystemClock, ids: TimeOrderedIds) -> DevelopmentIssuer:
    return open_issuer(
        settings.data,
        environment=settings.environment,
        host=settings.host,
        clock=clock,
        ids=ids,
    )


async def _remote(settings: Settings, clock: SystemClock, stack: AsyncExitStack) -> IssuerTokens:
    fetch, issuer = await stack.enter_async_context(HttpFetch.opened()), settings.issuer or ""
    discovery = Discovery(issuer, fetch, settings.jwks_url)
    keys = RemoteKeys(discovery, fetch, clock)
    stack.push_async_callback(keys.close)
    return IssuerTokens(
        issuer=issuer,
        audience=audience(settings.environment),
        keys=keys,
        introspection=_introspection(settings, discovery, fetch, clock),
        clock=clock,
    )


def _introspection(
    settings: Settings, discovery: Discovery, fetch: HttpFetch, clock: SystemClock
) -> Introspection | None:
    client, secret = settings.introspection_client, settings.introspection_secret
    if client is None or secret is None:
        return None
    return Introspection(
        discovery=discovery,
        fetch=fetch,
        # Read each time: the file of a secret that rotates is put in its place from outside.
        client=lambda: (client, _read(secret)),
        audience=audience(settings.environment),
        clock=clock,
    )


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip()
