"""The bench: measures side by side in one run, prints the tables, and writes docs/benchmarks.md.

`make bench`, or `python -m bench --help`. It ends by itself; nothing here judges a figure.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench import machine, sections, servers
from bench.sections import Settings

_PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"


def main() -> int:
    """Measure what is asked for."""
    options = _options()
    settings = Settings(
        rounds=options.rounds, seconds=options.seconds, reports=options.history, only=options.server
    )
    chosen = options.section or list(sections.SECTIONS)
    text = ""
    with tempfile.TemporaryDirectory(prefix="drawbridge-bench-") as directory:
        for part in _page(chosen, settings, Path(directory)):
            print(part, end="", flush=True)  # noqa: T201 - it is what this is for
            text += part
    if not options.section and not options.server:
        _PAGE.write_text(text, encoding="utf-8")
    return 0


def _page(chosen: list[str], settings: Settings, directory: Path) -> Iterator[str]:
    yield sections.INTRODUCTION
    yield sections.table(("", ""), machine.shape())
    yield f"\nLoad average before the bench: {machine.load()}.\n"
    for name in chosen:
        work = directory / name
        work.mkdir()
        yield from sections.SECTIONS[name](settings, work)
    yield f"\nLoad average at its end: {machine.load()}.\n"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench",
        description="Measure Drawbridge beside a floor and the plain way. A whole run is written to"
        " docs/benchmarks.md; one of some sections or servers is only printed.",
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds, of which the median counts")
    parser.add_argument("--seconds", type=float, default=1.5, help="how long a round lasts")
    parser.add_argument(
        "--history", type=int, default=300_000, help="reports in the past (5000000 takes a while)"
    )
    parser.add_argument("--section", action="append", choices=list(sections.SECTIONS))
    parser.add_argument("--server", action="append", choices=list(servers.SERVERS))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
