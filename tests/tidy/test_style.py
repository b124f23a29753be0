"""The house rules hold, and each is seen to find what it is there to find."""

import pytest

from tests.tidy import rules
from tests.tidy.rules import Rule, Source

LONG = "def f():\n" + "    pass\n" * rules.FUNCTION_LINES_MAX
FULL = "def f():\n" + "    pass\n" * (rules.FUNCTION_LINES_MAX - 1)
LINES = "x = 1\n" * rules.FILE_LINES_MAX


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_the_packages_keep_the_rule(rule: Rule) -> None:
    broken = [
        f"{source.path}:{line}: {what}" for source in rules.product() for line, what in rule(source)
    ]

    assert broken == []


def test_most_functions_are_short() -> None:
    assert rules.median_length(rules.product()) <= rules.FUNCTION_LINES_MEDIAN_MAX


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (rules.short_functions, "risk/x.py", LONG),
        (rules.short_functions, "risk/x.py", LONG.replace("def", "async def")),
        (rules.short_functions, "risk/x.py", f"class C:\n{LONG}".replace("\n", "\n    ")),
        (rules.short_files, "risk/x.py", LINES + "x = 1\n"),
        (rules.documented, "risk/x.py", "x = 1\n"),
        (rules.documented, "risk/__init__.py", ""),
        (rules.no_floats, "trading/x.py", "x = 0.5"),
        (rules.no_floats, "risk/x.py", "x = 1e3"),
        (rules.no_floats, "risk/x.py", "x: float"),
        (rules.no_floats, "risk/x.py", "x: 'float'"),
        (rules.no_floats, "persistence/x.py", "def f(x: float | None): ..."),
        (rules.no_floats, "persistence/x.py", "def f() -> dict[str, float]: ..."),
        (rules.no_floats, "schema/x.py", "x = float(y)"),
        (rules.no_floats, "schema/x.py", "x_s = 1\nplace(price=0.5)"),
        (rules.no_floats, "trading/x.py", "def f(price: float, wait_s: float): ..."),
        (rules.no_floats, "schema/x.py", "x = map(float, y)"),
        (rules.no_nondeterminism, "trading/x.py", "import time\nx = time.time()"),
        (rules.no_nondeterminism, "trading/x.py", "import time as t\nx = t.monotonic_ns()"),
        (rules.no_nondeterminism, "serving/x.py", "from time import sleep as nap\nnap(1)"),
        (rules.no_nondeterminism, "events/x.py", "import datetime\ndatetime.datetime.now()"),
        (rules.no_nondeterminism, "events/x.py", "from datetime import datetime\ndatetime.now()"),
        (rules.no_nondeterminism, "events/x.py", "from datetime import date\ndate.today()"),
        (rules.no_nondeterminism, "risk/x.py", "import random\nrandom.random()"),
        (rules.no_nondeterminism, "risk/x.py", "from random import Random\nRandom()"),
        (rules.no_nondeterminism, "risk/x.py", "import random\nrandom.SystemRandom(1)"),
        (rules.no_nondeterminism, "security/x.py", "import secrets\nsecrets.token_hex()"),
        (rules.no_nondeterminism, "security/x.py", "from uuid import uuid4\nf = uuid4"),
        (rules.no_nondeterminism, "brokers/x.py", "import os\nos.environ['X']"),
        (rules.no_nondeterminism, "brokers/x.py", "from os import environ\nenviron.get('X')"),
        (rules.no_nondeterminism, "brokers/x.py", "import os.path\nos.getenv('X')"),
        (rules.approval_in_the_gate, "risk/x.py", "ApprovedOrder(order=order)"),
        (rules.approval_in_the_gate, "brokers/gate.py", "order.ApprovedReplace()"),
        (rules.standard_library_only, "trading/x.py", "import sqlalchemy"),
        (rules.standard_library_only, "trading/x.py", "def f():\n    from risk import gate"),
    ],
)
def test_a_planted_violation_is_found(rule: Rule, path: str, text: str) -> None:
    assert list(rule(Source.of(path, text)))


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (rules.short_functions, "risk/x.py", FULL),
        (rules.short_files, "risk/x.py", LINES),
        (rules.short_files, "persistence/migrations/x.py", LINES * 2),
        (rules.documented, "risk/x.py", '"""What it is."""'),
        (rules.documented, "risk/_x.py", ""),
        (rules.no_floats, "trading/x.py", "x = 1\ny = Decimal('0.5')"),
        (rules.no_floats, "trading/x.py", "if isinstance(x, float): raise TypeError"),
        (rules.no_floats, "trading/x.py", "if isinstance(x, int | float): raise TypeError"),
        (rules.no_floats, "schema/x.py", "match x:\n    case float(): raise TypeError"),
        (rules.no_floats, "trading/x.py", "async def sleep(seconds: float): ..."),
        (rules.no_floats, "trading/x.py", "POLL_S: Final = 0.25\nx_s = 0.5\nf(wait_s=0.5)"),
        (rules.no_floats, "serving/x.py", "share = 0.5"),
        (rules.no_nondeterminism, "gateway/x.py", "import time\ntime.time()"),
        (rules.no_nondeterminism, "risk/x.py", "x = clock.time()\ntime = order.time"),
        (rules.no_nondeterminism, "risk/x.py", "import random\nrandom.Random(7)"),
        (rules.no_nondeterminism, "risk/x.py", "from random import Random\nx: Random"),
        (rules.no_nondeterminism, "risk/x.py", "from uuid import UUID\nUUID(int=1)"),
        (rules.no_nondeterminism, "risk/x.py", "import os\nos.fsync(1)"),
        (rules.approval_in_the_gate, "risk/gate.py", "ApprovedOrder(order=order)"),
        (rules.approval_in_the_gate, "brokers/x.py", "def f(approved: ApprovedOrder): ..."),
        (rules.standard_library_only, "trading/x.py", "import asyncio\nfrom trading import order"),
        (rules.standard_library_only, "trading/x.py", "from . import order"),
        (rules.standard_library_only, "risk/x.py", "import sqlalchemy"),
    ],
)
def test_what_is_allowed_passes(rule: Rule, path: str, text: str) -> None:
    assert not list(rule(Source.of(path, text)))


def test_every_rule_is_shown_a_violation_and_an_allowed_case() -> None:
    for test in (test_a_planted_violation_is_found, test_what_is_allowed_passes):
        (mark,) = test.pytestmark  # type: ignore[attr-defined]  # set by the decorator
        assert {rule for rule, _, _ in mark.args[1]} == set(rules.RULES)


def test_the_median_is_of_all_functions_of_all_files() -> None:
    short = Source.of("risk/x.py", "def f(): ...\nclass C:\n    def g(self): ...\n")

    assert rules.median_length([short, Source.of("risk/y.py", LONG)]) == 1
