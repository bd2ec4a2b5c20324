"""`[start, end)` at every edge: what is read, and what the answer says was in the window."""

import pytest

from harness import rows
from harness.codes import refused

FIRST, LAST = -(2**63), 2**63 - 1
TIMES = [-50, -1, 0, 0, 10, 20, 20, 20, 30]
EDGES = sorted({time + step for time in TIMES for step in (-1, 0, 1)} | {-1000, 1000})
ONE_SIDED = [(start, None) for start in EDGES] + [(None, end) for end in EDGES]
TWO_SIDED = [(start, end) for start in EDGES for end in EDGES if start < end]


@pytest.fixture(scope="module")
def recorded(server):
    from harness.flight import Client

    with Client(server.location) as client:
        shuffled = [TIMES[n] for n in (4, 0, 8, 2, 6, 1, 3, 7, 5)]
        client.record_sequence("drive", {"a": [rows.counters(shuffled[:5]), rows.counters(shuffled[5:], 5)],
                                         "b": [rows.counters([15])]})
        client.record_sequence("ends", {"a": [rows.counters([FIRST, 0, LAST])]})


def expected(start, end):
    return [t for t in TIMES if (start is None or t >= start) and (end is None or t < end)]


def check(client, start, end):
    times = expected(start, end)
    window = client.topic("drive/a", start, end)["time_window_info"]
    interval = {"start_ns": times[0], "end_ns": times[-1]} if times else None
    assert window == {"interval": interval, "row_count": len(times)}, (start, end)
    assert client.read("drive/a", start, end).column("timestamp_ns").to_pylist() == times, (start, end)


def test_one_sided_ranges(recorded, client):
    for start, end in ONE_SIDED:
        check(client, start, end)


def test_two_sided_ranges(recorded, client):
    for start, end in TWO_SIDED:
        check(client, start, end)


def test_no_bound_has_no_window(recorded, client):
    assert client.topic("drive/a").get("time_window_info") is None
    assert client.read("drive/a").column("timestamp_ns").to_pylist() == TIMES


def test_data_info_does_not_depend_on_the_window(recorded, client):
    whole = client.topic("drive/a")["data_info"]
    assert client.topic("drive/a", 0, 10)["data_info"] == whole
    assert whole["interval"] == {"start_ns": -50, "end_ns": 30}
    assert whole["total_row_count"] == len(TIMES)


def test_a_sequence_window_covers_each_topic(recorded, client):
    topics = client.sequence("drive", 10, 20)["topics"]
    assert topics["drive/a"]["time_window_info"] == {"interval": {"start_ns": 10, "end_ns": 10}, "row_count": 1}
    assert topics["drive/b"]["time_window_info"] == {"interval": {"start_ns": 15, "end_ns": 15}, "row_count": 1}


def test_the_tickets_of_a_sequence_carry_its_window(recorded, client):
    times = {}
    for endpoint in client.flight_info("drive", 10, 20).endpoints:
        _, batches = client.batches(endpoint.ticket)
        rows_ = sum((batch.column("timestamp_ns").to_pylist() for batch in batches), [])
        times[len(rows_), rows_[0]] = rows_
    assert sorted(times.values()) == [[10], [15]]


def test_the_ends_of_time_are_in_reach(recorded, client):
    assert client.read("ends/a", FIRST, None).num_rows == 3
    assert client.read("ends/a", LAST, None).column("timestamp_ns").to_pylist() == [LAST]
    assert client.read("ends/a", None, LAST).column("timestamp_ns").to_pylist() == [FIRST, 0]
    assert client.read("ends/a", FIRST, LAST).num_rows == 2
    assert client.read("ends/a", None, FIRST).num_rows == 0


@pytest.mark.parametrize("start, end", [(5, 5), (6, 5), (LAST, FIRST)])
def test_a_range_that_ends_before_it_starts_is_refused(recorded, client, start, end):
    with refused("INVALID_ARGUMENT"):
        client.flight_info("drive/a", start, end)


@pytest.mark.parametrize("bound", ["1", 1.5, True, [], {}, 2**63, -(2**63) - 1, 10**40], ids=repr)
def test_a_bound_is_an_integer_of_64_bits(recorded, client, bound):
    with refused("INVALID_ARGUMENT"):
        client.flight_info("drive/a", bound)
