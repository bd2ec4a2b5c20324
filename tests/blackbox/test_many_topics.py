"""Topics by the hundred in one session, over one connection, all of their puts open at once, as the SDK does it."""

import threading

import pytest

from harness import rows
from harness.flight import Client

COUNT = 300


def test_three_hundred_puts_open_at_once(client, name):
    client.create_sequence(name)
    session = client.create_session(name)
    writers = []
    for n in range(COUNT):
        token = client.create_topic(session, f"{name}/t{n}")
        writers.append(client.begin_put(f"{name}/t{n}", token, rows.COUNTER))
    for turn in range(3):
        for n, writer in enumerate(writers):
            writer.write_batch(rows.counters([turn, turn + 10], first=n))
        client.action("info", {})  # actions go on between them
    for writer in writers:
        writer.done_writing()
        writer.close()
    client.finalize(session)
    described = client.sequence(name)
    assert len(described["topics"]) == len(described["sessions"][0]["topics"]) == COUNT
    for n in range(0, COUNT, 37):
        assert client.read(f"{name}/t{n}").column("timestamp_ns").to_pylist() == [0, 1, 2, 10, 11, 12]


def test_half_of_three_hundred_wait_and_the_others_go_on(client, name):
    client.create_sequence(name)
    session = client.create_session(name)
    tokens = {n: client.create_topic(session, f"{name}/t{n}") for n in range(COUNT)}
    waiting = [client.begin_put(f"{name}/t{n}", tokens[n], rows.BLOB) for n in range(0, COUNT, 2)]
    for writer in waiting:
        writer.write_batch(rows.blobs([1], 64 << 10))
    for n in range(1, COUNT, 2):
        client.put(f"{name}/t{n}", tokens[n], rows.BLOB, [rows.blobs([1, 2], 64 << 10)])
    for writer in waiting:
        writer.write_batch(rows.blobs([2], 64 << 10))
        writer.done_writing()
        writer.close()
    client.finalize(session)
    counts = [topic["data_info"]["total_row_count"] for topic in client.sequence(name)["topics"].values()]
    assert counts == [2] * COUNT


def test_all_topics_of_a_sequence_are_read_at_once(server, client, name):
    """As the SDK's sequence streamer: all streams opened first, then pulled one row group at a time."""
    client.record_sequence(name, {f"t{n}": [rows.counters(range(n, 3000, 100))] for n in range(100)})
    readers = [client.flight.do_get(endpoint.ticket) for endpoint in client.flight_info(name).endpoints]
    chunks = [reader.read_chunk().data for reader in readers]
    assert sum(chunk.num_rows for chunk in chunks) == sum(len(range(n, 3000, 100)) for n in range(100))


@pytest.mark.parametrize("connection", ["one connection", "own connections"])
def test_large_puts_side_by_side(server, client, name, connection):
    """Eight 25 MB messages at once, with actions between them: windows that fill must not stop anything."""
    size, writers = 25_000_000, 8
    client.create_sequence(name)
    session = client.create_session(name)
    failures = []

    def run(n):
        options = {} if connection == "one connection" else {"generic_options": [("grpc.use_local_subchannel_pool", 1)]}
        try:
            with Client(server.location, **options) as own:
                own.record(session, f"{name}/t{n}", [rows.blobs([turn], size) for turn in range(2)])
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(writers)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        client.action("info", {})
        threads[0].join(0.05)
        threads = [thread for thread in threads if thread.is_alive()] or threads[:1]
    assert failures == []
    client.finalize(session)
    topics = client.sequence(name)["topics"].values()
    assert [topic["data_info"]["total_row_count"] for topic in topics] == [2] * writers
    assert client.read(f"{name}/t3", 1, 2).column("data").to_pylist() == [rows.blob(1, size)]


def test_four_held_puts_do_not_stop_others(client, name):
    """A put may stand still for as long as it likes."""
    client.create_sequence(name)
    session = client.create_session(name)
    held = []
    for n in range(4):
        token = client.create_topic(session, f"{name}/held{n}")
        held.append(client.begin_put(f"{name}/held{n}", token, rows.BLOB))
        held[-1].write_batch(rows.blobs([1], 8_000_000))
    for n in range(4):
        client.record(session, f"{name}/other{n}", [rows.blobs([1, 2], 8_000_000)])
    for writer in held:
        writer.done_writing()
        writer.close()
    client.finalize(session)
    assert len(client.sequence(name)["topics"]) == 8


@pytest.mark.timeout(60)
def test_who_has_sent_before_a_hundred_others_begin_goes_on(client, name):
    """Their windows become smaller than what it has sent; what it sends then used to wait for ever."""
    client.create_sequence(name)
    session = client.create_session(name)
    first = client.begin_put(f"{name}/first", client.create_topic(session, f"{name}/first"), rows.BLOB)
    first.write_batch(rows.blobs([0], 700_000))
    others = []
    for n in range(100):
        others.append(client.begin_put(f"{name}/t{n}", client.create_topic(session, f"{name}/t{n}"), rows.BLOB))
        others[-1].write_batch(rows.blobs([0], 100))
    for n in range(1, 6):
        first.write_batch(rows.blobs([n], 2_000_000))
    for put in [first, *others]:
        put.done_writing()
        put.close()
    client.finalize(session)
    assert client.read(f"{name}/first").num_rows == 6
