"""Several sessions of one sequence open at once: each an immutable layer, all together one view."""

import threading

import pytest

from harness import rows
from harness.codes import refused
from harness.flight import Client


def test_three_sessions_from_three_clients_at_once(server, client, name):
    client.create_sequence(name)
    barrier = threading.Barrier(3)
    failures = []

    def run(n):
        try:
            with Client(server.location, generic_options=[("grpc.use_local_subchannel_pool", 1)]) as own:
                session = own.create_session(name)
                barrier.wait(60)
                for part in range(5):
                    own.record(session, f"{name}/layer{n}/t{part}", [rows.counters(range(n, 100, 3))])
                own.finalize(session)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    described = client.sequence(name)
    assert len(described["sessions"]) == 3 and len(described["topics"]) == 15
    assert all(session["locked"] and len(session["topics"]) == 5 for session in described["sessions"])
    for n in range(3):
        assert client.read(f"{name}/layer{n}/t4").column("timestamp_ns").to_pylist() == list(range(n, 100, 3))


def test_each_layer_becomes_visible_with_its_own_finalize(client, name):
    client.create_sequence(name)
    layers = [client.create_session(name) for _ in range(3)]
    for n, layer in enumerate(layers):
        client.record(layer, f"{name}/t{n}", [rows.counters([n])])
    for done, n in enumerate((2, 0, 1), start=1):
        client.finalize(layers[n])
        assert len(client.sequence(name)["topics"]) == done
        assert client.read(f"{name}/t{n}").num_rows == 1


def test_deleting_a_layer_leaves_the_others(client, name):
    client.create_sequence(name)
    first, second = client.create_session(name), client.create_session(name)
    client.record(first, f"{name}/a", [rows.counters([1])])
    client.record(second, f"{name}/b", [rows.counters([2])])
    client.finalize(first)
    client.finalize(second)
    client.delete_session(first)
    described = client.sequence(name)
    assert list(described["topics"]) == [f"{name}/b"]
    assert [session["locator"] for session in described["sessions"]] == [second.locator]
    with refused("NOT_FOUND"):
        client.flight_info(f"{name}/a")


def test_a_deleted_layer_frees_its_paths(client, name):
    client.create_sequence(name)
    first = client.create_session(name)
    client.record(first, f"{name}/a", [rows.counters([1])])
    client.finalize(first)
    client.delete_session(first)
    second = client.create_session(name)
    client.record(second, f"{name}/a", [rows.counters([2])])
    client.finalize(second)
    assert client.read(f"{name}/a").column("timestamp_ns").to_pylist() == [2]


@pytest.mark.parametrize("end", ["finalize", "delete"])
def test_an_open_layer_does_not_hold_the_others_back(client, name, end):
    client.create_sequence(name)
    held = client.create_session(name)
    token = client.create_topic(held, f"{name}/held")
    writer = client.begin_put(f"{name}/held", token, rows.COUNTER)
    writer.write_batch(rows.counters([1]))
    other = client.create_session(name)
    client.record(other, f"{name}/other", [rows.counters([1])])
    client.finalize(other) if end == "finalize" else client.delete_session(other)
    writer.done_writing()
    writer.close()
    client.finalize(held)
    assert f"{name}/held" in client.sequence(name)["topics"]
