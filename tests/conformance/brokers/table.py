"""The kit's report, case by adapter, as it stands in docs/brokers.md."""

import re
from collections.abc import Mapping, Sequence

from tests.conformance.brokers.case import Case

BEGIN = "<!-- conformance: written by make test-conformance ARGS=--table -->"
END = "<!-- /conformance -->"
_MARKS = {"passed": "pass", "failed": "FAIL", "skipped": "no"}


def table(
    cases: Mapping[int, Case], names: Sequence[str], outcomes: Mapping[tuple[int, str], str]
) -> str:
    """Write the table."""
    head = f"| | case | {' | '.join(names)} |\n| --- | --- |{' --- |' * len(names)}"
    rows = [
        f"| {number} | {case.title} | "
        + " | ".join(_MARKS.get(outcomes.get((number, name), ""), "not run") for name in names)
        + " |"
        for number, case in cases.items()
    ]
    return "\n".join([head, *rows])


def placed(document: str, written: str) -> str:
    """Put the table where it belongs in a document."""
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    return pattern.sub(lambda _: f"{BEGIN}\n\n{written}\n\n{END}", document)
