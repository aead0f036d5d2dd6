"""Waiting with a bound."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# Longer than anything here takes; a test that waits so long fails.
PATIENCE_S = 60.0
_PAUSE_S = 0.02


def wait_until(probe: Callable[[], T | None], what: str, seconds: float = PATIENCE_S) -> T:
    """Asks again and again until the answer is truthy, and returns it."""
    end = time.monotonic() + seconds
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(_PAUSE_S)
