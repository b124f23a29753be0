"""Server-sent events, as the HTML standard has them: data, id and comments, line by line."""

from __future__ import annotations

from collections.abc import AsyncIterator

from trading.ports import Unavailable

_LINE_MAX = 1_048_576


async def events(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes | None]:
    """Yield the data of each event, and None for a comment, which shows that the link lives.

    Raises Unavailable for a line beyond a megabyte, and what reading raises.
    """
    data: list[bytes] = []
    async for line in _lines(parts):
        if not line:
            if data:
                yield b"\n".join(data)
            data = []
        elif line.startswith(b":"):
            yield None
        elif line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))


async def _lines(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    rest = b""
    async for part in parts:
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            yield line.removesuffix(b"\r")
        if len(rest) > _LINE_MAX:
            raise Unavailable("an event is too long")
