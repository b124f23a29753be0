"""Records are what the standard library makes of their classes, and so are changed copies."""

import dataclasses
from typing import Any

import pytest

from tests.trading.builders import account, order, trade
from trading.control import NOTHING_SET
from trading.record import maker, record, replace


@pytest.mark.parametrize(
    ("record", "changes"),
    [
        (order(), {"last_seq": 7, "text": "now"}),
        (order(), {}),
        (account(), {"open_orders": 3}),
        (trade("t", 5), {"text": None}),
        (NOTHING_SET, {"current": {}}),
    ],
)
def test_a_copy_is_as_the_standard_librarys(record: Any, changes: dict[str, Any]) -> None:
    before = dataclasses.asdict(record)
    copy = replace(record, **changes)

    assert copy == dataclasses.replace(record, **changes)
    assert type(copy) is type(record)
    assert dataclasses.asdict(record) == before
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(copy, dataclasses.fields(copy)[0].name, "other")


def test_what_is_no_field_is_refused() -> None:
    with pytest.raises(AttributeError):
        replace(order(), colour="red")
    with pytest.raises(TypeError):
        replace(3)


def test_a_class_that_looks_at_its_fields_is_refused() -> None:
    @dataclasses.dataclass(frozen=True, slots=True)
    class Careful:
        one: int
        two: int

        def __post_init__(self) -> None:
            raise AssertionError

    with pytest.raises(TypeError, match="Careful"):
        replace(object.__new__(Careful), one=2)

    with pytest.raises(TypeError, match="Careful"):
        record(Careful)


@dataclasses.dataclass(frozen=True, slots=True)
class Standard:
    first: int
    second: str = "two"
    _: dataclasses.KW_ONLY
    third: list[int] = dataclasses.field(default_factory=list, compare=False)
    fourth: int | None = None


@record
@dataclasses.dataclass(frozen=True, slots=True)
class Swift:
    first: int
    second: str = "two"
    _: dataclasses.KW_ONLY
    third: list[int] = dataclasses.field(default_factory=list, compare=False)
    fourth: int | None = None


@pytest.mark.parametrize(
    ("given", "named"),
    [((1,), {}), ((1, "b"), {"fourth": 4}), ((), {"first": 1, "third": [3]})],
)
def test_a_record_is_made_as_the_standard_library_makes_it(
    given: tuple[Any, ...], named: dict[str, Any]
) -> None:
    swift, standard = Swift(*given, **named), Standard(*given, **named)

    assert type(swift) is Swift
    assert dataclasses.asdict(swift) == dataclasses.asdict(standard)
    assert hash(swift) == hash(standard)
    assert repr(swift) == repr(standard).replace("Standard", "Swift")
    assert swift == Swift(*given, **named)
    with pytest.raises(dataclasses.FrozenInstanceError):
        swift.first = 2  # type: ignore[misc]
    with pytest.raises(AttributeError):
        object.__setattr__(swift, "fifth", 5)


def test_each_record_gets_a_default_of_its_own() -> None:
    assert Swift(1).third is not Swift(1).third


@pytest.mark.parametrize(
    ("given", "named"),
    [((), {}), ((1, "b", [3]), {}), ((1,), {"first": 1}), ((1,), {"fifth": 5})],
)
def test_what_the_class_does_not_take_is_refused(
    given: tuple[Any, ...], named: dict[str, Any]
) -> None:
    for kind in (Swift, Standard):
        with pytest.raises(TypeError, match=r"__init__\(\)"):
            kind(*given, **named)


def test_a_record_is_made_of_a_row() -> None:
    make = maker(Swift, ["second", "first", "fourth", "third"])

    assert make(("b", 1, None, [3], "more")) == Swift(1, "b", third=[3])
    with pytest.raises(ValueError, match="values"):
        make(("b", 1, None))
    with pytest.raises(TypeError, match="Swift"):
        maker(Swift, ["first"])
