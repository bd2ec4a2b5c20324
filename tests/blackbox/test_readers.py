"""Slow readers, many readers, readers that go away: each costs bounded memory and nothing is left behind."""

import threading

import pytest

from harness import rows
from harness.flight import Client
from harness.waiting import until

MIB = 1 << 20
ROWS, SIZE = 256, MIB


@pytest.fixture(scope="module")
def recorded(server):
    """A quarter of a gigabyte in one topic."""
    with Client(server.location) as client:
        client.record_sequence("drive", {"camera": [rows.blobs(range(n, n + 8), SIZE) for n in range(0, ROWS, 8)],
                                         "imu": [rows.counters(range(1000))]})
    return server


def test_a_slow_reader_costs_little(recorded, client):
    before = recorded.memory()
    readers = [client.flight.do_get(client.ticket("drive/camera")) for _ in range(8)]
    for reader in readers:
        reader.read_chunk()
    # While they stand still, others are served.
    for _ in range(20):
        assert client.read("drive/imu").num_rows == 1000
    assert recorded.memory() - before < 8 * 64 * MIB
    times = []
    for reader in readers[:2]:
        times = [time for chunk in reader for time in chunk.data.column("timestamp_ns").to_pylist()]
        assert times[-1] == ROWS - 1
    for reader in readers[2:]:
        reader.cancel()


def test_many_readers_at_once(recorded, client):
    results = []

    def run(n):
        with Client(recorded.location, generic_options=[("grpc.use_local_subchannel_pool", 1)]) as own:
            results.append(own.read("drive/camera", n * 8, n * 8 + 8).column("timestamp_ns").to_pylist())

    threads = [threading.Thread(target=run, args=(n,)) for n in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [list(range(n * 8, n * 8 + 8)) for n in range(32)]


def test_readers_that_go_away_leave_nothing(recorded, client):
    client.read("drive/imu")
    descriptors = recorded.descriptors()
    for _ in range(50):
        reader = client.flight.do_get(client.ticket("drive/camera"))
        reader.read_chunk()
        reader.cancel()
    until(lambda: recorded.descriptors() <= descriptors + 2, "open files to be closed")
    before = recorded.memory()
    for _ in range(50):
        reader = client.flight.do_get(client.ticket("drive/camera"))
        reader.read_chunk()
        reader.cancel()
    until(lambda: recorded.memory() - before < 64 * MIB, "memory to come back")


def test_a_small_window_reads_little(recorded, client):
    """One row of 256: the answer comes without reading the rest."""
    table = client.read("drive/camera", 100, 101)
    assert table.column("data").to_pylist() == [rows.blob(100, SIZE)]
