"""Dictionaries: small to send, large to hold, larger once every row has its own value. All of it is within the published budget."""

import threading

import pyarrow as pa
import pytest

from harness import rows
from harness.flight import Client
from harness.watch import within

MIB = 1 << 20
CONFIG = f"""
[connections]
idle_buffer_bytes_max = {64 * MIB}
held_bytes_max = {64 * MIB}

[memory]
receive_bytes = {128 * MIB}
read_bytes = {64 * MIB}
dictionary_bytes = {48 * MIB}
blocks_per_shard = 16

[shards]
count = 2
"""
BUDGET = (64 + 64 + 128 + 64 + 48 + 2 * (16 + 17) + 100) * MIB


@pytest.fixture(autouse=True)
def within_the_budget(server):
    with within(server, BUDGET):
        yield


CODED = pa.schema([rows.TIME, pa.field("kind", pa.dictionary(pa.int32(), pa.binary()))])


def coded(times, keys, words):
    column = pa.DictionaryArray.from_arrays(pa.array(keys, pa.int32()), words)
    return pa.record_batch([pa.array(times, pa.int64()), column], schema=CODED)


def test_64_streams_that_hold_large_dictionaries(server, client, name):
    """64 x 10 MiB: a dictionary stays for as long as its stream. Those beyond the budget are refused with it, the others keep theirs."""
    client.create_sequence(name)
    session = client.create_session(name)
    words = pa.array([bytes([n]) * MIB for n in range(10)], pa.binary())
    writers, refused = [], []
    for n in range(64):
        token = client.create_topic(session, f"{name}/t{n}")
        writer = client.begin_put(f"{name}/t{n}", token, CODED)
        try:
            writer.write_batch(coded([1], [n % 10], words))
        except pa.ArrowException:
            pass  # its status says why
        writers.append(writer)
    for writer in writers:
        try:
            writer.write_batch(coded([2], [5], words))
            writer.done_writing()
        except pa.ArrowException:
            pass
        try:
            writer.close()
        except Exception as error:  # noqa: BLE001: told below
            refused.append(str(error))
    assert len(refused) >= 60 and all("memory.dictionary_bytes" in text for text in refused), (len(refused), refused[:3])
    one = f"{name}_one"
    client.record_sequence(one, {"a": [coded([1, 2], [0, 9], words)]})
    assert client.read(f"{one}/a").column("kind").to_pylist() == [bytes([0]) * MIB, bytes([9]) * MIB]
    client.delete_sequence(name)


def test_batches_that_name_a_large_value_again_and_again(server, client, name):
    """4 streams of batches of a kilobyte, each 200 MiB once it is written out: the written-out rows wait for their turn, not in memory."""
    client.create_sequence(name)
    session = client.create_session(name)
    words = pa.array([b"x" * MIB], pa.binary())

    def bomb(n, failed):
        with Client(server.location, generic_options=[("grpc.use_local_subchannel_pool", 1)]) as own:
            try:
                batches = [coded(range(b * 200, b * 200 + 200), [0] * 200, words) for b in range(2)]
                own.record(session, f"{name}/t{n}", batches)
            except Exception as error:  # noqa: BLE001: told below
                failed.append(str(error))

    failed = []
    threads = [threading.Thread(target=bomb, args=(n, failed)) for n in range(4)]
    for thread in threads:
        thread.start()
    client.record_sequence(f"{name}_beside", {"a": [rows.counters(range(1000))]})
    assert client.read(f"{name}_beside/a").num_rows == 1000
    for thread in threads:
        thread.join()
    assert not failed, failed
    client.finalize(session)
    assert client.topic(f"{name}/t0")["data_info"]["total_row_count"] == 400
    client.delete_sequence(name)
