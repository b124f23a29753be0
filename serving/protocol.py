"""uvicorn's WebSocket protocol, with the way to its transport that ASGI does not give.

ASGI can neither write a frame without waiting for the peer, nor close past a peer that has stopped
reading, nor abort: uvicorn's own close waits for a buffer that such a peer never empties.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any, cast
from weakref import WeakKeyDictionary

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

logger = logging.getLogger(__name__)

LINE = "drawbridge.line"
"""The extension of the ASGI scope that holds the socket's `Line`."""

GRACE_S = 2.0
WRITE_BUFFER_MAX = 32 * 1024
_SEND_BUFFER = 128 * 1024
_NOT_SENT_MAX = 16 * 1024
_AT_A_TIME = 256
_GATHERED_MAX = 16 * 1024
"""How many bytes a turn gathers at most before they are written, and found too many to take."""

_INVALID_UTF8 = 1007
_WENT_AWAY = 1006


class _Turn:
    """The sockets that something is said to in one turn of an event loop, written to at its end.

    One callback for all of them, since one for each would cost as much as all else but the kernel.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lines: list[SocketProtocol] = []

    def add(self, line: SocketProtocol) -> None:
        """Have a socket written to, soon."""
        if not self._lines:
            self._loop.call_soon(self._end)
        self._lines.append(line)

    def _end(self) -> None:
        """Write to some, and let others have their turn before the rest."""
        some = self._lines[:_AT_A_TIME]
        del self._lines[:_AT_A_TIME]
        if self._lines:
            self._loop.call_soon(self._end)
        for line in some:
            try:
                line.write_gathered()
            except Exception:
                logger.exception("a socket cannot be written to, and is dropped")
                line.abort()


_TURNS: WeakKeyDictionary[asyncio.AbstractEventLoop, _Turn] = WeakKeyDictionary()


class SocketProtocol(WebSocketsSansIOProtocol):
    """A WebSocket whose buffers are small, and whose end takes `GRACE_S` at most.

    It is the `Line` of a mailbox: what has not left yet stays there, where quotes are conflated,
    rather than in the transport and the kernel.
    """

    on_writable: Callable[[], None] | None = None
    _gathered_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Make the buffers small."""
        super().connection_made(transport)
        self._gathered: list[bytes] = []
        self._turn = _TURNS.setdefault(self.loop, _Turn(self.loop))
        self.transport.set_write_buffer_limits(high=WRITE_BUFFER_MAX)
        peer = transport.get_extra_info("socket")
        if peer is not None and peer.family in {socket.AF_INET, socket.AF_INET6}:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
            if hasattr(socket, "TCP_NOTSENT_LOWAT"):
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _NOT_SENT_MAX)

    def handle_connect(self, event: Request) -> None:
        """Put the line into the scope of a handshake that is sound."""
        super().handle_connect(event)
        if self.response.status_code == 101:
            extensions = cast("dict[str, Any]", self.scope["extensions"])
            extensions[LINE] = self

    # --- the line --------------------------------------------------------------------------------

    @property
    def is_writable(self) -> bool:
        """Whether the transport takes more; `on_writable` is called when it does again."""
        return self.writable.is_set()

    def write(self, frame: bytes) -> None:
        """Write a whole frame, past everything that checks it, with what else this turn brings.

        A write to the kernel costs more than all before it: so what several symbols have to say in
        one turn of the loop goes to their socket in one.
        """
        if not self._gathered:
            self._turn.add(self)
        self._gathered.append(frame)
        self._gathered_bytes += len(frame)
        if self._gathered_bytes > _GATHERED_MAX:
            self.write_gathered()

    def write_gathered(self) -> None:
        """Write what the turn has brought, unless the socket has ended."""
        frames = self._gathered
        if frames and not self.close_sent and not self.transport.is_closing():
            self.transport.write(frames[0] if len(frames) == 1 else b"".join(frames))
        frames.clear()
        self._gathered_bytes = 0

    def end(self, code: int, reason: str) -> None:
        """Close, whether the peer reads or not, and abort if it does not answer in time."""
        if self.disconnected or self.close_sent or self.transport.is_closing():
            return
        self.write_gathered()
        self.stop_keepalive()
        self.conn.send_close(code, reason)
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self._leave()

    def abort(self) -> None:
        """Drop the connection with all that it buffers."""
        if not self.disconnected:
            self.transport.abort()

    def _leave(self) -> None:
        """Send the close frame, hear nothing but the peer's, and wait no longer than the grace."""
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(GRACE_S, self.abort)

    # --- what uvicorn calls ----------------------------------------------------------------------

    def resume_writing(self) -> None:
        """Go on with what the mailbox holds."""
        super().resume_writing()
        if self.on_writable is not None:
            self.on_writable()

    def keepalive_timeout(self) -> None:
        """Abort a peer that has not answered a ping: it would not read a close either."""
        self.pong_timer = None
        if not self.close_sent:
            self.abort()

    def data_received(self, data: bytes) -> None:
        """Take in what comes, but nothing after what could not be understood."""
        if self.conn.parser_exc is None:
            super().data_received(data)

    def handle_parser_exception(self) -> None:
        """Tell the peer what it did wrong, and go on reading, or a reset would overtake that."""
        if self.close_sent:
            return
        closing = self.conn.close_sent
        code, reason = (closing.code, closing.reason) if closing else (_WENT_AWAY, "")
        self.stop_keepalive()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self._leave()

    def send_receive_event_to_app(self) -> None:
        """Refuse text that is no text; it is the client's mistake, and not logged."""
        if self.curr_msg_data_type == "text":
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self.frames = []
                self.conn.fail(_INVALID_UTF8)
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake whoever waits for the line."""
        super().connection_lost(exc)
        if self.on_writable is not None:
            self.on_writable()

    def shutdown(self) -> None:
        """End with the server, which a peer that does not read cannot hold up."""
        super().shutdown()
        self.loop.call_later(GRACE_S, self.abort)
