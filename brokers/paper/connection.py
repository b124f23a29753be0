"""One end of a TCP connection between an exchange and its client.

It carries lines, beats so that the other end knows that it lives, and ends when that one does not.
"""

from __future__ import annotations

import asyncio
import os
import socket
from abc import abstractmethod
from contextlib import suppress
from typing import cast

from brokers.paper.wire import BEAT_S, LINE_MAX, SILENCE_S, Message, ProtocolError, decode, encode
from trading.ports import Clock

_SECOND_NS = 1_000_000_000
_SILENCE_NS = int(SILENCE_S * _SECOND_NS)
_UNSENT_MAX = 8_388_608
_LATE_NS = int(2 * BEAT_S * _SECOND_NS)


class Connection(asyncio.Protocol):
    """A connection from when it is made until it has ended, once, with a reason.

    `write_high` is from how many unsent bytes on it has no more room. With 0 each message goes to
    the kernel in the very call that sends it; else those of one turn of the loop leave together.
    """

    def __init__(self, clock: Clock, write_high: int) -> None:
        """Wait to be connected."""
        self._clock = clock
        self._write_high = write_high
        self._transport: asyncio.Transport | None = None
        self._watching: asyncio.Task[None] | None = None
        self._unfinished = b""
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._heard_at = clock.monotonic()
        self._stuck_since: int | None = None
        self._has_room = asyncio.Event()
        self._has_room.set()
        self.why_ended: str | None = None
        self.closed = asyncio.Event()
        """Set when the socket is gone as well."""

    # --- what the two ends do differently ---

    @abstractmethod
    def hear(self, message: Message, line: bytes) -> None:
        """Take in a message. Raises ProtocolError for one that cannot be meant."""

    @abstractmethod
    def beat(self) -> Message:
        """Return the message that shows that this end lives."""

    @abstractmethod
    def ended(self, why: str) -> None:
        """Learn that nothing more will be heard, and nothing more can be sent."""

    def refuse(self, why: str) -> None:
        """End the connection, for the other end does not keep to the protocol."""
        self.end(why)

    def watched(self, now: int) -> None:
        """Do what is to be done with every beat; `now` is monotonic."""

    # --- sending ---

    @property
    def has_room(self) -> bool:
        """Whether what is sent now is written at once, not behind what waits already."""
        return self._has_room.is_set()

    async def room(self) -> None:
        """Wait until there is room, or the connection has ended."""
        await self._has_room.wait()

    def send(self, message: Message) -> bool:
        """Send a message, unless the connection has ended; return whether its first byte has left.

        The event loops write in the very call, where nothing else waits; what the kernel does not
        take then, they write later.
        """
        if self._transport is None or self.why_ended is not None:
            return False
        line = encode(message)
        self._unsent.append(line)
        self._unsent_bytes += len(line)
        if self._unsent_bytes > self._write_high:
            self._flush()
        elif len(self._unsent) == 1:
            asyncio.get_running_loop().call_soon(self._flush)
        waiting = self._unsent_bytes + self._transport.get_write_buffer_size()
        return waiting < len(line)

    def _flush(self) -> None:
        if self._transport is None or self.why_ended is not None or not self._unsent:
            return
        self._transport.write(b"".join(self._unsent))
        self._unsent.clear()
        self._unsent_bytes = 0
        if self._transport.get_write_buffer_size() > _UNSENT_MAX:
            self.end(f"over {_UNSENT_MAX} bytes were not taken")

    def cut_off(self, why: str) -> None:
        """End the connection so that nothing leaves that the kernel does not have by now."""
        if self._transport is not None and self.why_ended is None:
            # Aborted, it is closed in the loop's next turn, and uvloop may still write before that.
            here: socket.socket = self._transport.get_extra_info("socket")
            with socket.socket(fileno=os.dup(here.fileno())) as same, suppress(OSError):
                same.shutdown(socket.SHUT_RDWR)
        self.end(why)

    def end(self, why: str, *, after_sending: bool = False) -> None:
        """End the connection: now, or when what was sent has left."""
        if after_sending:
            self._flush()
        if self.why_ended is not None:
            return
        self.why_ended = why
        if self._transport is not None:
            if after_sending:
                self._transport.close()
            else:
                self._transport.abort()
        self._has_room.set()
        self.ended(why)

    # --- what asyncio calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to beat and to watch."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=self._write_high)
        # asyncio does it only for sockets that it made itself; without it an answer waits 40 ms.
        here: socket.socket = transport.get_extra_info("socket")
        here.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._heard_at = self._clock.monotonic()
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    def data_received(self, data: bytes) -> None:
        """Take in bytes, line by line."""
        self._heard_at = self._clock.monotonic()
        *lines, self._unfinished = (self._unfinished + data).split(b"\n")
        try:
            for line in lines:
                _check_length(line)
                if self.why_ended is None:
                    self.hear(decode(line), line)
            _check_length(self._unfinished)
        except ProtocolError as error:
            self.refuse(str(error))

    def pause_writing(self) -> None:
        """Learn that the other end takes less than is sent."""
        self._stuck_since = self._clock.monotonic()
        self._has_room.clear()

    def resume_writing(self) -> None:
        """Learn that it has caught up."""
        self._stuck_since = None
        self._has_room.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Learn that the socket is gone."""
        self.end(f"the connection broke: {exc}" if exc else "the other end closed the connection")
        if self._watching is not None:
            self._watching.cancel()
        self.closed.set()

    # --- watching ---

    async def _watch(self) -> None:
        woke_at = self._clock.monotonic()
        while True:
            await self._clock.sleep(BEAT_S)
            now, late = self._clock.monotonic(), self._clock.monotonic() - woke_at > _LATE_NS
            woke_at = now
            # A process that was itself held up has not listened, and listens before it judges.
            if not late:
                self._judge(now)
            self.send(self.beat())
            self.watched(now)

    def _judge(self, now: int) -> None:
        if now - self._heard_at >= _SILENCE_NS:
            self._give_up(f"nothing was heard for {SILENCE_S:g} s")
        elif self._stuck_since is not None and now - self._stuck_since >= _SILENCE_NS:
            self._give_up(f"nothing was taken for {SILENCE_S:g} s")

    def _give_up(self, why: str) -> None:
        self.end(why)
        if self._transport is not None:
            # One that was to end after sending cannot, if nothing leaves.
            self._transport.abort()


def _check_length(line: bytes) -> None:
    if len(line) > LINE_MAX:
        raise ProtocolError(f"a line is longer than {LINE_MAX} bytes")
