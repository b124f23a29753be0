"""What went over the wire, kept raw: the evidence in a dispute, with its secrets taken out."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from pathlib import Path

import orjson

from trading.ports import Clock

SIZE_MAX = 16_777_216
_HIDDEN = "(secret)"
_LATER_MAX = 50


class WireLog:
    """A file of JSON lines, and the one before it: neither grows beyond `SIZE_MAX` bytes.

    Headers are not kept, for credentials travel there; a secret that a body repeats is replaced.
    """

    def __init__(self, path: Path, clock: Clock, secrets: Collection[str] = ()) -> None:
        """Go on with a file, or begin one; what is in it can be read by its owner alone."""
        self._path = path
        self._clock = clock
        self._secrets = [secret for secret in secrets if secret]
        self._given_later: deque[str] = deque(maxlen=_LATER_MAX)
        path.touch(mode=0o600, exist_ok=True)
        self._file = path.open("ab", buffering=0)

    def hide(self, secret: str) -> None:
        """Take a secret out of what is written from here on, as one that was given later."""
        self._given_later.append(secret)

    def note(self, direction: str, what: str, text: bytes | str) -> None:
        """Write one message: `direction` is sent, received or event, `what` names it."""
        body = text.decode(errors="replace") if isinstance(text, bytes) else text
        line = {"at": self._clock.now(), "is": direction, "what": what, "text": self._clean(body)}
        self._file.write(orjson.dumps(line) + b"\n")
        if self._file.tell() >= SIZE_MAX:
            self._turn()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _clean(self, text: str) -> str:
        for secret in (*self._secrets, *self._given_later):
            text = text.replace(secret, _HIDDEN)
        return text

    def _turn(self) -> None:
        self._file.close()
        self._path.replace(self._path.with_suffix(".1.jsonl"))
        self._path.touch(mode=0o600)
        self._file = self._path.open("ab", buffering=0)
