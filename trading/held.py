"""An order that need not be read, because whoever asks for it knows it."""

from __future__ import annotations

from dataclasses import dataclass

from trading.command import Command
from trading.execution import Fill
from trading.order import Order


@dataclass(frozen=True, slots=True)
class Held:
    """An order as somebody last committed it, with its open commands and all of its fills."""

    order: Order
    commands: tuple[Command, ...]
    fills: tuple[Fill, ...]
