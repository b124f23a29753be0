"""Media types: which one a response has, and whether a browser would rather see a page."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum, unique
from functools import lru_cache

_ACCEPTS_KNOWN = 64


@unique
class MediaType(StrEnum):
    """The media types of GraphQL over HTTP."""

    JSON = "application/json"
    """Any well-formed request is answered with 200, whatever is wrong with its operation."""

    GRAPHQL_RESPONSE = "application/graphql-response+json"
    """The status says whether the operation could be run."""


@lru_cache(_ACCEPTS_KNOWN)
def negotiate(accept: str) -> MediaType | None:
    """Choose the media type of a response; None where none would be accepted.

    Whoever takes anything, or says nothing, gets JSON.
    """
    if not accept.strip():
        return MediaType.JSON
    quality = qualities(accept)
    any_ = quality.get("application/*", quality.get("*/*", 0.0))
    best, chosen = 0.0, None
    for each in MediaType:
        # What is named is preferred to what is only not refused.
        found = quality.get(each, any_ if each is MediaType.JSON else 0.0)
        if found > best or (found == best > 0 and each in quality and chosen not in quality):
            best, chosen = found, each
    return chosen


def wants_page(accept: str) -> bool:
    """Say whether a GET of the endpoint comes from a browser that would rather see a page."""
    quality = qualities(accept)
    return quality.get("text/html", 0.0) > max(quality.get(each, 0.0) for each in MediaType)


def qualities(accept: str) -> Mapping[str, float]:
    """Read an Accept header as quality by media type; what is no number counts as refused."""
    found = {}
    for item in accept.split(","):
        media_type, *parameters = (part.strip().lower() for part in item.split(";"))
        weights = (p.removeprefix("q=") for p in parameters if p.startswith("q="))
        found[media_type] = _number(next(weights, "1"))
    return found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
