"""The simulator behind a socket: one port for what Tradovate has two hosts for."""

from __future__ import annotations

import socket
from contextlib import AbstractAsyncContextManager

from brokers.paper import skin
from brokers.tradovate.simulator.app import Application
from brokers.tradovate.simulator.simulator import Simulator


def served(simulator: Simulator, listener: socket.socket) -> AbstractAsyncContextManager[None]:
    """Serve on a socket that listens, until the exit; the exchange is closed then."""
    return skin.served(Application(simulator).made(), simulator.venue, listener)
