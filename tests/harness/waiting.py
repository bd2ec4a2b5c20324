"""Waiting for a condition, with a deadline. Nothing in these suites sleeps to synchronise."""

import time


def until(condition, what, seconds=30.0, interval=0.02):
    """Polls `condition` until it returns something true, and returns that. Fails with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited {seconds} s for: {what}"
        time.sleep(interval)  # between two looks at the condition, not instead of one
