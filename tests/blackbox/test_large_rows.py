"""Single rows of camera size and beyond. The announced limit is a promise in both directions."""

import pytest

from harness import rows
from harness.codes import refused

MIB = 1 << 20


@pytest.fixture
def session(client, name):
    client.create_sequence(name)
    return client.create_session(name)


def test_a_row_of_60_mb_comes_back(server, client, name, session):
    size = 60_000_000
    client.record(session, f"{name}/a", [rows.blobs([1], size), rows.blobs([2], 10)])
    client.finalize(session)
    table = client.read(f"{name}/a")
    assert table.column("data")[0].as_py() == rows.blob(1, size)
    assert table.column("data")[1].as_py() == rows.blob(2, 10)


def test_small_rows_around_a_large_one_keep_their_place(client, name, session):
    batches = [rows.blobs([1, 3, 5], 100), rows.blobs([4], 30_000_000), rows.blobs([2, 6], 100)]
    client.record(session, f"{name}/a", batches)
    client.finalize(session)
    assert client.read(f"{name}/a").column("timestamp_ns").to_pylist() == [1, 2, 3, 4, 5, 6]
    assert client.read(f"{name}/a", 5, 7).column("data").to_pylist() == [rows.blob(5, 100), rows.blob(6, 100)]


def test_a_message_just_below_the_limit_is_taken(client, name, session):
    limit = client.action("info", {})["config"]["grpc_max_decode_message_size"]
    client.record(session, f"{name}/a", [rows.blobs([1], limit - 64 * 1024)])
    client.finalize(session)
    assert client.topic(f"{name}/a")["data_info"]["total_row_count"] == 1


def test_a_message_above_the_limit_is_refused_and_nothing_else(server, client, name, session):
    limit = client.action("info", {})["config"]["grpc_max_decode_message_size"]
    before = server.memory()
    with refused("RESOURCE_EXHAUSTED", "INVALID_ARGUMENT"):
        client.record(session, f"{name}/a", [rows.blobs([1], 10), rows.blobs([2], limit + MIB)])
    assert server.memory() - before < limit
    # The topic is interrupted with what came before; its neighbours are untouched.
    client.record(session, f"{name}/b", [rows.blobs([1], 10)])
    client.finalize(session)
    assert client.read(f"{name}/a").column("timestamp_ns").to_pylist() in ([], [1])
    assert client.read(f"{name}/b").num_rows == 1


def test_answers_stay_near_the_target_size(client, name, session):
    config = client.action("info", {})["config"]
    client.record(session, f"{name}/a", [rows.blobs(range(n, n + 8), MIB) for n in range(0, 64, 8)])
    client.finalize(session)
    _, batches = client.batches(client.ticket(f"{name}/a"))
    assert max(batch.get_total_buffer_size() for batch in batches) <= 2 * config["grpc_target_encode_message_size"]
    assert sum(batch.num_rows for batch in batches) == 64
