"""`drawbridge`, in which recovery at the start alone settles what a killed one has left.

    python -m tests.crash.entry [--kill-at-submit N] COMMAND…

Its session never compares its orders with the exchange's later on, which would mend in a quarter of
a minute what recovery had left undone. It may be killed when it is about to send its Nth order.
"""

import argparse
import sys
from functools import partial

import trading.session
from brokers.paper.broker import PaperBroker
from gateway.cli import main
from tests.faults.entry import Point, _kill, _replace, arm
from trading.session import SessionSettings

NEVER_S = 86_400.0


def run() -> int:
    """Run a command of `drawbridge` so."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kill-at-submit", type=int)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    _replace(
        trading.session, "SessionSettings", partial(SessionSettings, reconcile_every_s=NEVER_S)
    )
    if options.kill_at_submit:
        arm(Point(of=PaperBroker, method="submit"), options.kill_at_submit, _kill)
    return main(options.command)


if __name__ == "__main__":
    sys.exit(run())
