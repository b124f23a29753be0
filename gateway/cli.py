"""The command line."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from gateway.arguments import parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, as `gateway.command` does, and return its exit status."""
    options = parser().parse_args(arguments)
    # Only now: to import all that runs takes longer than to say what there is.
    status: int = importlib.import_module("gateway.command").run(options)
    return status


if __name__ == "__main__":
    sys.exit(main())
