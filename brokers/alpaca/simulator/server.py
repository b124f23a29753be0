"""The simulator behind a socket: one port for what Alpaca has two hosts for."""

from __future__ import annotations

import socket
from contextlib import AbstractAsyncContextManager

from brokers.alpaca.simulator.app import Api
from brokers.alpaca.simulator.simulator import Simulator
from brokers.paper import skin


def served(simulator: Simulator, listener: socket.socket) -> AbstractAsyncContextManager[None]:
    """Serve on a socket that listens, until the exit; the exchange is closed then."""
    return skin.served(Api(simulator).application(), simulator.venue, listener)
