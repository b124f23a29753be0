"""Finds what only the garbage collector can free: objects that hold one another in a ring."""

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def none_left() -> Iterator[None]:
    """Fail with the types of what a block leaves in rings.

    The collector walks through everything that is young to find a ring, and stops every order the
    while: what an order leaves has to go by itself.
    """
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield
        gc.collect()
        left = Counter(type(each).__qualname__ for each in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert not left, dict(left)
