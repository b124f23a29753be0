"""What must not leave in a log, a trace or an error: secrets, by the shapes that they have.

Nothing of ours writes a secret down. This is for what others put into an exception's words, and for
what a user puts where it does not belong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

SHOWN = "[redacted]"

_NAMES = r"password|passwd|pwd|passphrase|secret|token|api[_-]?key|private[_-]?key|credential|pin"

RULES: Mapping[str, tuple[re.Pattern[str], str]] = {
    # Before all else, since what is in it may look like anything.
    "a private key in PEM": (
        re.compile(
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*KEY-----|\Z)", re.DOTALL
        ),
        SHOWN,
    ),
    "user and password in a URL": (re.compile(r"(?<=:/)/?[^\s/@'\"]*(?=@)"), SHOWN),
    "a JWS or JWE in compact form": (re.compile(r"\beyJ[\w-]+(?:\.[\w-]*){1,4}"), SHOWN),
    "credentials of HTTP": (
        re.compile(r"(?i)\b(bearer|basic|dpop|negotiate)(\s+)[\w~+/.=-]{4,}"),
        rf"\1\2{SHOWN}",
    ),
    "a private part of a JWK": (
        re.compile(r"""(["'](?:d|k|p|q|dp|dq|qi)["']\s*:\s*["'])[\w-]{20,}"""),
        rf"\1{SHOWN}",
    ),
    "the value of a telling name": (
        re.compile(
            # A word is looked at once, from its beginning: it may be as long as a body.
            rf"""(?ix) (?<![\w-]) (?=[\w-]*(?:{_NAMES})) ([\w-]++)
            (["']?[ \t]*=[ \t]*|["'][ \t]*:[ \t]*)
            (?: "[^"]*" | '[^']*' | [^\s,;&}})\]<]+ )"""
        ),
        rf"\1\2{SHOWN}",
    ),
    "a key id of AWS or of a broker": (re.compile(r"\b(?:[APC]K|ASIA)[A-Z0-9]{16,24}\b"), SHOWN),
    "a token of Vault": (re.compile(r"\bhv[sbr]\.[\w-]{20,}"), SHOWN),
}
"""Each kind of secret: its shape, and what is written in its place; in this order."""


def redact(text: str) -> str:
    """Take everything out of a text that has the shape of a secret."""
    for pattern, instead in RULES.values():
        text = pattern.sub(instead, text)
    return text
