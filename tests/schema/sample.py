"""An enum that is nobody's, to be published in part."""

from enum import StrEnum


class Sample(StrEnum):
    ONE = "ONE"
    TWO = "TWO"
