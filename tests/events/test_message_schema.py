"""The schema that consumers in other languages read says what the codec writes, and no less."""

import json
import re
from collections.abc import Iterator
from dataclasses import fields
from enum import StrEnum
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from events.codec import VERSION, Channel, Message, Ring, Unreadable, decode, encode
from tests.events.fakes import batch, report
from tests.events.test_codec import CHANGES, ENUMS, FRAMES, batches
from tests.tidy.rules import ROOT
from trading.control import TradingStateChange
from trading.execution import ExecutionReport, OrderCancelReject
from trading.quote import Quote

PAGE = (ROOT / "docs" / "messages.md").read_text(encoding="utf-8")
SCHEMA = json.loads((ROOT / "docs" / f"messages.v{VERSION}.schema.json").read_bytes())
VALIDATOR = Draft202012Validator(SCHEMA)
RINGS = st.builds(
    Ring, st.lists(st.text(), max_size=3).map(tuple), st.lists(st.text(), max_size=3).map(tuple)
)
SAMPLE = orjson.loads(encode(batch(report(7))))


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@given(batches() | FRAMES | CHANGES | RINGS)
def test_what_is_written_keeps_it(message: Message) -> None:
    VALIDATOR.validate(orjson.loads(encode(message)))


@pytest.mark.parametrize("kind", [ExecutionReport, OrderCancelReject, Quote, TradingStateChange])
def test_it_has_every_member_and_describes_it(kind: type) -> None:
    written = [field.name for field in fields(kind)]
    schema = SCHEMA["$defs"][kind.__name__]
    described = [name for name in schema["properties"] if name != "type"]
    assert described == written
    assert schema["required"] == list(schema["properties"])
    assert all(schema["properties"][name]["description"] for name in described)


@pytest.mark.parametrize("kind", ENUMS, ids=lambda kind: kind.__name__)
def test_it_has_every_member_of_an_enum(kind: type[StrEnum]) -> None:
    assert SCHEMA["$defs"][kind.__name__]["enum"] == list(kind)


def test_it_has_every_kind_of_message() -> None:
    kinds = [each["$ref"].removeprefix("#/$defs/") for each in SCHEMA["oneOf"]]
    assert kinds == list(Channel)
    assert [SCHEMA["$defs"][kind]["properties"]["kind"]["const"] for kind in kinds] == kinds
    assert {SCHEMA["$defs"][kind]["properties"]["v"]["const"] for kind in kinds} == {VERSION}


def spoiled() -> Iterator[dict[str, Any]]:
    """Spoil a message in each of its members."""
    for name in SAMPLE:
        yield {key: value for key, value in SAMPLE.items() if key != name}
    (theirs,) = SAMPLE["batches"]
    for name in theirs:
        yield SAMPLE | {"batches": [{key: value for key, value in theirs.items() if key != name}]}
    (item,) = theirs["reports"]
    for name in item:
        yield with_reports({key: value for key, value in item.items() if key != name})
        yield with_reports(item | {name: 1.5})
        yield with_reports(item | {name: {}})
    yield SAMPLE | {"batches": []}
    yield with_reports()
    yield with_reports(item | {"price": "1e3"})
    yield with_reports(item | {"seq": 2**63})
    yield SAMPLE | {"v": VERSION + 1}


def with_reports(*reports: dict[str, Any]) -> dict[str, Any]:
    batch = {"account_id": "one", "reports": reports}
    return {**SAMPLE, "batches": [batch]}


@pytest.mark.parametrize("message", list(spoiled()))
def test_what_breaks_it_is_refused_by_the_codec_too(message: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid(json.loads(orjson.dumps(message)))
    with pytest.raises(Unreadable):
        decode(orjson.dumps(message))


def test_a_later_member_keeps_it() -> None:
    (item,) = SAMPLE["batches"][0]["reports"]
    VALIDATOR.validate(json.loads(orjson.dumps(with_reports(item | {"later": {}}) | {"later": 1})))


def test_the_examples_of_the_page_keep_it() -> None:
    examples = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert examples
    for example in examples:
        VALIDATOR.validate(json.loads(example))
        decode(example)


def test_the_page_names_every_kind_and_the_schema() -> None:
    assert f"messages.v{VERSION}.schema.json" in PAGE
    for channel in Channel:
        assert f"| `{channel}` |" in PAGE
