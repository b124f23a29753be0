"""Text frames of a WebSocket server: unmasked (RFC 6455, 5.2), so that many sockets share bytes."""

from functools import lru_cache

_FINAL_TEXT = b"\x81"
_SHORT_MAX, _MEDIUM_MAX = 125, 0xFFFF
_REASON_MAX = 123


@lru_cache(maxsize=4096)
def head(length: int) -> bytes:
    """Write what stands before a text of so many bytes."""
    if length <= _SHORT_MAX:
        return _FINAL_TEXT + bytes((length,))
    if length <= _MEDIUM_MAX:
        return _FINAL_TEXT + b"\x7e" + length.to_bytes(2)
    return _FINAL_TEXT + b"\x7f" + length.to_bytes(8)


def text(message: bytes) -> bytes:
    """Frame one message."""
    return head(len(message)) + message


def reason(words: str) -> str:
    """Cut the reason of a close to what its frame has room for."""
    return words.encode()[:_REASON_MAX].decode(errors="ignore")
