"""Which addresses of others may be trusted with a question."""

from urllib.parse import urlsplit

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def is_private(url: str) -> bool:
    """Tell whether nobody on the way can read or change what a URL gives: HTTPS, or loopback."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
