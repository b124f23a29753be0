"""A changed copy is what `dataclasses.replace` makes."""

import dataclasses
from typing import Any

import pytest

from tests.trading.builders import account, order, trade
from trading.control import NOTHING_SET
from trading.replacing import replace


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
