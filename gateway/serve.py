"""`drawbridge serve`: from settings to a gateway that listens, and back to nothing on a signal."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
import uvloop

from gateway import embedded, log, shared
from gateway.app import application
from gateway.assembly import Gateway
from gateway.config import ConfigError, Settings
from gateway.config import Role as ProcessRole
from gateway.market import market_data
from gateway.system import SystemClock
from gateway.token import development_token
from gateway.tracing import traced
from security.roles import Role
from serving.protocol import SocketProtocol
from trading.instrument import Instrument
from trading.probe import Probe
from trading.quantity import plain, use_exact_arithmetic

logger = logging.getLogger(__name__)

_WS_MESSAGE_MAX = 65_536
_DRAIN_S = 5
_YOUNG_MAX = 20_000


def serve(settings: Settings) -> None:
    """Serve until a signal. Raises ConfigError for a port in use, and what `running` raises.

    The port is taken before anything else, so that one in use leaves the store untouched.
    """
    log.configure(settings.log_level)
    use_exact_arithmetic()
    with _listen(settings) as listener, traced(settings, os.environ) as probe:
        uvloop.run(_serve(settings, listener, probe))


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        # Two that have bound and do not listen yet would share the port without an error.
        listener.listen()
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"cannot listen on {settings.host}:{settings.port} ({error.strerror}): end what does,"
            " or choose another with --port or DRAWBRIDGE_PORT"
        ) from error
    return listener


class _Server(uvicorn.Server):
    """A server whose end is the beginning of ours: what is under way is then still recorded."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to us: uvicorn would raise them again once it has ended."""
        yield


@asynccontextmanager
async def _running(settings: Settings, probe: Probe) -> AsyncIterator[tuple[Gateway, Instrument]]:
    """Run the kind of gateway that is set; name an instrument that it can trade at once."""
    if settings.is_shared:
        async with shared.running(settings, probe) as gateway:
            yield gateway, next(iter(gateway.catalogue))
    else:
        source = market_data(settings, SystemClock())
        async with embedded.running(settings, source, probe) as gateway:
            yield gateway, source.instruments[0]


async def _serve(settings: Settings, listener: socket.socket, probe: Probe) -> None:
    async with _running(settings, probe) as (gateway, quoted):
        server = _Server(
            uvicorn.Config(
                application(gateway, settings),
                log_config=None,
                lifespan="off",
                ws=SocketProtocol,
                ws_max_size=_WS_MESSAGE_MAX,
                ws_per_message_deflate=False,
                timeout_graceful_shutdown=_DRAIN_S,
                server_header=False,
                # It would take whom a connection is of from a header that anybody can send to this
                # machine, and proxies that are trusted by their address with it.
                proxy_headers=False,
            )
        )
        print(_welcome(settings, gateway, quoted), flush=True)  # noqa: T201
        watch = asyncio.create_task(_stop_when_failed(gateway, server))
        for signum in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(signum, server.handle_exit, signum, None)
        _spare_the_collector()
        await server.serve(sockets=[listener])
        watch.cancel()
    if gateway.failed.is_set():
        raise SystemExit(1)


def _spare_the_collector() -> None:
    """Have the garbage collector look at little, and seldom: no order goes on while it looks.

    What is there by now stays. Of what comes later orders under way are the most, some ten thousand
    objects in a batch; they go by themselves, unless they are looked at and take longer to go.
    """
    gc.collect()
    gc.freeze()
    logger.info("%d objects are kept for good, and never looked through", gc.get_freeze_count())
    gc.set_threshold(_YOUNG_MAX, *gc.get_threshold()[1:])


async def _stop_when_failed(gateway: Gateway, server: uvicorn.Server) -> None:
    await gateway.failed.wait()
    logger.critical("a part of the gateway has died: it ends, to be started again")
    server.should_exit = True


def _welcome(settings: Settings, gateway: Gateway, quoted: Instrument) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    url = f"http://{host}:{settings.port}/graphql"
    if settings.role is ProcessRole.SESSION:
        return f"Drawbridge runs broker sessions, in the environment {settings.environment}."
    opened = f"""
Drawbridge is open, in the environment {settings.environment}. Data: {settings.data.resolve()}

  GraphiQL   {url}
"""
    if gateway.issuer is None:
        return f"{opened}  Tokens     those of {settings.issuer}\n"
    token = development_token(gateway.issuer, Role.TRADER)
    return f"""{opened}\
  Token      {token}

Place an order:

  curl -s {url} \\
    -H 'Content-Type: application/json' \\
    -H 'Authorization: Bearer {token}' \\
    -d '{_example(gateway, quoted)}'
"""


def _example(gateway: Gateway, quoted: Instrument) -> str:
    """Write a placeOrder for an instrument that is quoted, with a ClOrdID of its own."""
    query = (
        "mutation($input: PlaceOrderInput!) { placeOrder(input: $input, waitFor: BROKER)"
        " { __typename ... on Order { id clOrdId ordStatus cumQty avgPx text }"
        " ... on InvalidInput { errors { path message } } ... on ClOrdIdConflict { message } } }"
    )
    order = {
        "accountId": "futures" if quoted.is_margined else "equity",
        "clOrdId": f"first-{gateway.clock.now()}",
        "symbol": quoted.symbol,
        "side": "BUY",
        "ordType": "MARKET",
        "orderQty": plain(quoted.lot),
    }
    return json.dumps({"query": query, "variables": {"input": order}})
