"""Alpaca's own OpenAPI documents, where they are present: every answer must fit them."""

import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml  # type: ignore[import-untyped]  # it has no types
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it has none

FOLDER = Path(
    os.environ.get("DRAWBRIDGE_TEST_SPECS") or Path(__file__).parents[2].parent / "shared" / "specs"
)
TRADING = FOLDER / "alpaca-trading.openapi.yaml"


@cache
def document() -> Mapping[str, Any]:
    """Read the trading API, made plain JSON Schema: in OpenAPI 3.0 null is a word of its own."""
    given: Mapping[str, Any] = _plain(yaml.safe_load(TRADING.read_text()))
    return given


def _plain(given: Any) -> Any:
    if isinstance(given, list):
        return [_plain(each) for each in given]
    if not isinstance(given, dict):
        return given
    # Alpaca's oneOf lists schemas of which several fit, since they demand no field.
    names = {"oneOf": "anyOf"}
    made = {names.get(name, name): _plain(value) for name, value in given.items()}
    made.pop("nullable", None)
    if given.get("nullable") and "type" in made:
        made["type"] = [made["type"], "null"]
    return made


def problems(method: str, url: str, status: int, body: object) -> list[str]:
    """Say what of an answer does not fit; nothing, of one that the document does not describe."""
    schema = _schema(method, urlsplit(url).path, status)
    if schema is None:
        return []
    validator = Draft202012Validator({**schema, "components": document()["components"]})
    return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(body)]


def describes(method: str, url: str, status: int) -> bool:
    """Tell whether the document has a schema for such an answer."""
    return _schema(method, urlsplit(url).path, status) is not None


def _schema(method: str, path: str, status: int) -> Mapping[str, Any] | None:
    for template, verbs in document()["paths"].items():
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template))
        if not re.fullmatch(pattern, path) or method.lower() not in verbs:
            continue
        answer = verbs[method.lower()].get("responses", {}).get(str(status), {})
        content = answer.get("content", {}).get("application/json", {})
        found: Mapping[str, Any] | None = content.get("schema")
        return found
    return None
