"""The bench: measures side by side in one run, prints the tables, and writes docs/benchmarks.md.

`make bench`, or `python -m bench --help`. It ends by itself; nothing here judges a figure.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from bench import machine, sections, servers
from bench.fanout import Crowds
from bench.sections import Settings

_SERVERS = [*servers.SERVERS, "two"]
_PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"


_WHOLE = Settings(rounds=5, seconds=1.25, reports={"embedded": 1_500_000, "shared": 5_000_000})
_SMOKE = Settings(
    rounds=1,
    seconds=0.3,
    reports={"embedded": 3_000, "shared": 3_000},
    in_flight=(1, 8),
    # Whether a busy machine is in time is no question of whether this works.
    crowds=Crowds(sockets=(20,), sockets_of_sets=100, late_ms=60_000, looks=2, begins_low=True),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is asked for."""
    options = _options(arguments)
    settings = _settings(options)
    text = ""
    with tempfile.TemporaryDirectory(prefix="drawbridge-bench-") as directory:
        for part in _page(options.only or list(sections.SECTIONS), settings, Path(directory)):
            print(part, end="", flush=True)  # noqa: T201 - it is what this is for
            text += part
    if settings == _WHOLE and not options.only:
        _PAGE.write_text(text, encoding="utf-8")
    return 0


def _settings(options: argparse.Namespace) -> Settings:
    basis = _SMOKE if options.smoke else _WHOLE
    reports = basis.reports
    if options.history is not None:
        reports = dict.fromkeys(reports, options.history)
    return replace(
        basis,
        rounds=options.rounds or basis.rounds,
        seconds=options.seconds or basis.seconds,
        reports=reports,
        servers=options.server,
    )


def _page(chosen: list[str], settings: Settings, directory: Path) -> Iterator[str]:
    yield sections.INTRODUCTION
    yield sections.table(("", ""), machine.shape())
    for name in chosen:
        work = directory / name
        work.mkdir()
        before = machine.load()
        yield from sections.SECTIONS[name](settings, work)
        yield f"\nLoad average: {before} before, {machine.load()} at the end.\n"


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench",
        description="Measure Drawbridge beside a floor and the plain way. A whole run is written to"
        " docs/benchmarks.md; any other is only printed.",
    )
    parser.add_argument(
        "--only", action="append", choices=list(sections.SECTIONS), help="this section, and no more"
    )
    parser.add_argument(
        "--server", action="append", choices=_SERVERS, help="this server, and no others"
    )
    parser.add_argument("--rounds", type=int, help="rounds, of which the median counts")
    parser.add_argument("--seconds", type=float, help="how long a round lasts")
    parser.add_argument("--history", type=int, help="how many reports a store has in its past")
    parser.add_argument(
        "--smoke", action="store_true", help="a moment of everything, to see that it works"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    # Whoever is ended in the middle still drops a database of millions of rows.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
