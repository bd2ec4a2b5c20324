"""Rows whose content is a function of (seed, topic, n), so that any reader can say whether a row is the one that was sent."""

import functools
import hashlib
import random

import pyarrow as pa

from harness.rows import TIME

SCHEMA = pa.schema([TIME, pa.field("value", pa.uint64(), nullable=False), pa.field("data", pa.binary())])


@functools.lru_cache(1 << 20)
def value(seed, topic, n):
    return int.from_bytes(hashlib.blake2b(f"{seed}/{topic}/{n}".encode(), digest_size=8).digest(), "little")


def data(number, size):
    """`size` bytes that depend on a row's value; every fifth row has none."""
    return None if number % 5 == 0 else (number.to_bytes(8, "little") * (size // 8 + 1))[: size and size + number % 7]


def batch(seed, topic, first, count, size):
    """Rows `first .. first + count` in a shuffled order: a batch may come in any order."""
    order = list(range(first, first + count))
    random.Random(value(seed, topic, first)).shuffle(order)
    numbers = [value(seed, topic, n) for n in order]
    return pa.record_batch([pa.array(order, pa.int64()), pa.array(numbers, pa.uint64()),
                            pa.array([data(number, size) for number in numbers], pa.binary())], schema=SCHEMA)


def check(table, seed, topic, size, what):
    """Every row is the one that was sent, none twice, none missing between. Returns how many there are."""
    times = table.column("timestamp_ns").to_pylist()
    assert times == list(range(len(times))), f"{what}: a hole or a row twice: {times[:20]}…"
    numbers = table.column("value").to_pylist()
    assert numbers == [value(seed, topic, n) for n in times], f"{what}: a row of something else"
    for number, bytes_ in zip(numbers, table.column("data").to_pylist()):
        assert bytes_ == data(number, size), f"{what}: wrong bytes"
    return len(times)
