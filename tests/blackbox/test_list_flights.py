"""All sequences, one FlightInfo each, by name."""

import pyarrow.flight as fl
import pytest

from harness import rows
from harness.codes import refused


def test_every_sequence_is_listed_once(own_server):
    from harness.flight import Client

    with Client(own_server.location) as client:
        assert client.sequences() == []
        names = [f"s{n:03}" for n in range(250)]
        for name in reversed(names):
            client.create_sequence(name)
        client.record_sequence("full", {"a": [rows.counters([1])], "b": [rows.counters([1])]})
        assert sorted(client.sequences()) == sorted([*names, "full"])
        client.delete_sequence("s100")
        assert "s100" not in client.sequences()


def test_criteria_are_not_understood_in_silence(client):
    assert isinstance(list(client.flight.list_flights(b"/")), list)
    with refused("INVALID_ARGUMENT"):
        list(client.flight.list_flights(b"a*"))


def test_descriptors_are_paths(client, name):
    client.create_sequence(name)
    (info,) = [info for info in client.flight.list_flights() if info.descriptor.path == [name.encode()]]
    assert info.descriptor.descriptor_type == fl.DescriptorType.PATH


@pytest.mark.parametrize("count", [3])
def test_it_does_not_stop_writers(client, name, count):
    client.create_sequence(name)
    session = client.create_session(name)
    token = client.create_topic(session, f"{name}/a")
    writer = client.begin_put(f"{name}/a", token, rows.COUNTER)
    for n in range(count):
        writer.write_batch(rows.counters([n]))
        assert name in client.sequences()
    writer.done_writing()
    writer.close()
