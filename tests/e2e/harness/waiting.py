"""Waits for a thing itself, with a deadline, and says what was missing when it did not come."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(what: str, probe: Callable[[], T], seconds: float = 30.0) -> T:
    """The first true value that `probe` returns; TimeoutError names `what` when none came.

    An OSError from the probe (nobody listens yet) counts as "not yet" and is reported at the end.
    """
    deadline = time.monotonic() + seconds
    last: object = None
    while True:
        try:
            value = probe()
            if value:
                return value
            last = value
        except OSError as error:
            last = error
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}; last seen: {last!r}")
        time.sleep(0.02)
