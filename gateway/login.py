"""How Redis is logged in to with a password that may change: read again for each connection."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit, urlunsplit

from redis import CredentialProvider

from trading.mounted import Mounted, now


class RedisLogin(CredentialProvider):
    """User and password of an address, as they are now."""

    def __init__(self, url: str) -> None:
        """Take the address."""
        self._url = url

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """Return the password, after the user where there is one."""
        parts = urlsplit(now(self._url))
        password = unquote(parts.password or "")
        return (unquote(parts.username), password) if parts.username else (password,)


def redis_login(url: str) -> tuple[str, CredentialProvider | None]:
    """Part an address that may change from its credentials; another stays as it is."""
    if not isinstance(url, Mounted):
        return url, None
    parts = urlsplit(url)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2])
    return urlunsplit(bare), RedisLogin(url)
