"""A gateway whose CPU time is sampled: `python -m bench.profiled OUT serve …`.

From SIGUSR1 until its end, every millisecond of CPU, a signal looks where each thread is, and books
the CPU that the thread has used since the last look to the part of the program that it is in. A
sampling thread would see the others only where they let go of the interpreter, which is not where
they spend their time.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import FrameType

from gateway.cli import main

_EVERY_S = 0.001
_PLACES = 15

# The innermost frame that belongs to one of these decides. What is in none of them, such as the
# JSON of the standard library, belongs to whoever called it.
PARTS = {
    "HTTP": ("uvicorn", "starlette", "httptools", "websockets", "serving", "cross_web"),
    "authentication": ("security", "joserfc", "cryptography", "persistence/directory"),
    "GraphQL": ("graphql", "strawberry", "resolvers", "schema"),
    "risk": ("risk",),
    "orders": ("trading",),
    "database": ("persistence", "sqlalchemy", "sqlite3", "asyncpg"),
    "broker": ("brokers",),
    "bus": ("events", "broadcaster", "aio_pika", "aiormq"),
    "telemetry": ("logging", "gateway/log", "gateway/telemetry", "opentelemetry", "requests"),
}
_ELSE = "event loop"

# A thread that has just finished is found waiting, and belongs to whoever gives it work.
_THREADS = {
    "store": "database",
    "paper-journal": "broker",
    "OtelBatchSpanRecordProcessor": "telemetry",
}


class Sampler:
    """Books CPU time to places."""

    def __init__(self) -> None:
        """Start with nothing booked."""
        self._spent: dict[int, int] = {}
        self._parts: dict[str, str | None] = {}
        self.by_part: Counter[str] = Counter()
        self.by_place: Counter[str] = Counter()

    def wait(self) -> None:
        """Look from the next SIGUSR1 on."""
        signal.signal(signal.SIGPROF, self._look)
        signal.signal(signal.SIGUSR1, self._start)

    def _start(self, _signum: int, _frame: FrameType | None) -> None:
        signal.setitimer(signal.ITIMER_PROF, _EVERY_S, _EVERY_S)

    def stop(self) -> None:
        """Look no more."""
        signal.setitimer(signal.ITIMER_PROF, 0)

    def _look(self, _signum: int, frame: FrameType | None) -> None:
        frames = sys._current_frames()  # noqa: SLF001 - there is no other way to another's stack
        for thread in threading.enumerate():
            ident = thread.ident or 0
            at = frame if thread is threading.main_thread() else frames.get(ident)
            spent = time.clock_gettime_ns(time.pthread_getcpuclockid(ident))
            since = spent - self._spent.get(ident, spent)
            self._spent[ident] = spent
            if at is not None and since:
                self._book(at, since, _THREADS.get(thread.name.partition("_")[0], _ELSE))
        # Our own frame is among them: it would hold all the others in a ring of references.
        frames.clear()

    def _book(self, at: FrameType, ns: int, otherwise: str) -> None:
        self.by_place[f"{_module(at)}:{at.f_code.co_qualname}"] += ns
        frame: FrameType | None = at
        while frame is not None:
            if (part := self._part(frame.f_code.co_filename)) is not None:
                self.by_part[part] += ns
                return
            frame = frame.f_back
        self.by_part[otherwise] += ns

    def _part(self, file: str) -> str | None:
        if file not in self._parts:
            self._parts[file] = _part_of(file)
        return self._parts[file]


def _part_of(file: str) -> str | None:
    module = _relative(file)
    found = [
        (len(prefix), part)
        for part, prefixes in PARTS.items()
        for prefix in prefixes
        if module == f"{prefix}.py" or module.startswith(f"{prefix}/")
    ]
    return max(found)[1] if found else None


def _module(frame: FrameType) -> str:
    return _relative(frame.f_code.co_filename).removesuffix(".py")


def _relative(file: str) -> str:
    """Name a file from where its imports begin."""
    roots = sorted((root for root in sys.path if root), key=len, reverse=True)
    for root in (*roots, str(Path.cwd())):
        if file.startswith(f"{root}/"):
            return file[len(root) + 1 :]
    return file


def run() -> int:
    """Run the gateway's command line, and write what was booked."""
    out, sys.argv = Path(sys.argv[1]), sys.argv[1:]
    sampler = Sampler()
    sampler.wait()
    try:
        return main(sys.argv[1:])
    finally:
        sampler.stop()
        places = dict(sampler.by_place.most_common(_PLACES))
        booked = {"parts": dict(sampler.by_part), "places": places}
        out.write_text(json.dumps(booked), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(run())
