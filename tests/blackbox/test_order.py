"""Rows come back in time order, whatever order they came in; rows of one time keep the order they came in."""

import random

import pytest

from harness import rows

FIRST, LAST = -(2**63), 2**63 - 1
SHAPES = {
    "sorted": [[1, 2, 3], [4, 5, 6]],
    "reversed": [[9, 8, 7], [6, 5, 4], [3, 2, 1]],
    "interleaved batches": [[0, 10, 20], [1, 11, 21], [2, 12, 22]],
    "duplicates": [[5, 5, 5], [5, 5], [4, 5, 6]],
    "negative": [[0, -1, 1, -(10**18)], [-1, 0]],
    "the ends of time": [[LAST, FIRST, 0], [FIRST, LAST]],
    "one row": [[42]],
    "empty batches between": [[3], [], [1], [], [2]],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_rows_come_back_sorted_and_stable(client, name, shape):
    batches, first = [], 0
    for times in SHAPES[shape]:
        batches.append(rows.counters(times, first))
        first += len(times)
    client.record_sequence(name, {"a": batches})
    assert client.read(f"{name}/a").equals(rows.in_time_order(batches))
    times = [time for batch in SHAPES[shape] for time in batch]
    interval = client.topic(f"{name}/a")["data_info"]["interval"]
    assert interval == {"start_ns": min(times), "end_ns": max(times)}


def test_many_rows_in_any_order(client, name):
    """More rows than one row group or one answer holds."""
    seed = random.randrange(2**32)
    print("seed", seed)
    dice = random.Random(seed)
    batches = [rows.counters([dice.randrange(50_000) for _ in range(5000)], n * 5000) for n in range(30)]
    client.record_sequence(name, {"a": batches})
    assert client.read(f"{name}/a").equals(rows.in_time_order(batches))


def test_large_rows_in_any_order(client, name):
    """Payloads big enough for pages, row groups and answers of their own."""
    times = [(n * 7919) % 64 for n in range(64)]
    batches = [rows.blobs(times[n : n + 4], 512 << 10) for n in range(0, 64, 4)]
    client.record_sequence(name, {"camera": batches})
    table = client.read(f"{name}/camera")
    assert table.column("timestamp_ns").to_pylist() == sorted(times)
    for time, data in zip(sorted(times), table.column("data").to_pylist()):
        assert data == rows.blob(time, 512 << 10)
