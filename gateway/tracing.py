"""Whether traces are asked for: by OpenTelemetry's own variables, and off without them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from urllib.parse import urlsplit

from gateway.config import ConfigError, Settings
from trading.probe import NO_PROBE, Probe

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_SAMPLERS = ("always_on", "always_off", "traceidratio")


@contextmanager
def traced(settings: Settings, variables: Mapping[str, str]) -> Iterator[Probe]:
    """Lend what hears of legs, and end it with all that it has still to send, within bounds.

    Raises ConfigError.
    """
    if not is_asked_for(variables):
        yield NO_PROBE
        return
    # Only now: the SDK takes longer to import, and more memory, than a gateway without traces has.
    with importlib.import_module("gateway.telemetry").exported(settings) as probe:
        yield probe


def is_asked_for(variables: Mapping[str, str]) -> bool:
    """Tell whether traces are to be exported. Raises ConfigError with a line for each mistake."""
    given = {name: text for name, text in variables.items() if name.startswith("OTEL_") and text}
    exporter = given.get("OTEL_TRACES_EXPORTER", "otlp" if given.keys() & {*_ENDPOINTS} else "none")
    if exporter == "none" or given.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    wrong = [
        f"{name}: {words}"
        for name, (is_right, words) in _CHECKS.items()
        if name in given and not is_right(given[name])
    ]
    if wrong:
        # What was given is not shown: a URL may have a password in it.
        raise ConfigError("\n".join(wrong))
    return True


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_share(text: str) -> bool:
    try:
        share = Decimal(text)
    except InvalidOperation:
        return False
    return share.is_finite() and 0 <= share <= 1


def _is_sampler(text: str) -> bool:
    return text.removeprefix("parentbased_") in _SAMPLERS


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdecimal() and int(text) > 0


type _Check = tuple[Callable[[str], bool], str]

_CHECKS: Mapping[str, _Check] = {
    "OTEL_TRACES_EXPORTER": (lambda text: text == "otlp", "say otlp, or none"),
    **dict.fromkeys(_ENDPOINTS, (_is_url, "say a URL that begins with http:// or https://")),
    **dict.fromkeys(
        _PROTOCOLS, (lambda text: text == "http/protobuf", "say http/protobuf, the only one here")
    ),
    "OTEL_TRACES_SAMPLER": (
        _is_sampler,
        f"say one of {', '.join(f'parentbased_{each}' for each in _SAMPLERS)}",
    ),
    "OTEL_TRACES_SAMPLER_ARG": (_is_share, "say which share of traces to take, from 0 to 1"),
    **dict.fromkeys(
        (
            "OTEL_BSP_SCHEDULE_DELAY",
            "OTEL_BSP_MAX_QUEUE_SIZE",
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
        ),
        (_is_count, "say a whole number from 1 on"),
    ),
}
