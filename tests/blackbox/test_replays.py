"""Requests of a former life, sent again after their session was deleted: never of effect, not even under the same names (T12)."""

import pytest

from harness import rows
from harness.codes import refused
from harness.flight import Client


def replayed(client, name, session, token):
    with refused("NOT_FOUND"):
        client.finalize(session)
    with refused("NOT_FOUND"):
        client.create_topic(session, f"{name}/late")
    with refused("NOT_FOUND"):
        client.put(f"{name}/a", token, rows.COUNTER, [rows.counters([7])])
    with refused("NOT_FOUND"):
        client.delete_session(session)


@pytest.mark.parametrize("what", ["session", "sequence"])
@pytest.mark.parametrize("written", [False, True], ids=["before its put", "after its put"])
def test_requests_of_what_was_deleted(own_server, what, written):
    name = "drive"
    with Client(own_server.location) as client:
        client.create_sequence(name)
        session = client.create_session(name)
        token = client.create_topic(session, f"{name}/a")
        if written:
            client.put(f"{name}/a", token, rows.COUNTER, [rows.counters([1, 2, 3])])
        client.delete_session(session) if what == "session" else client.delete_sequence(name)
        replayed(client, name, session, token)
        if what == "sequence":
            client.create_sequence(name)
        again = client.create_session(name)
        client.record(again, f"{name}/a", [rows.counters([5])])
        replayed(client, name, session, token)
        client.finalize(again)
        replayed(client, name, session, token)
        ticket = client.ticket(f"{name}/a")
    own_server.crash()
    with Client(own_server.location) as client:
        replayed(client, name, session, token)
        assert client.read(f"{name}/a").column("timestamp_ns").to_pylist() == [5]
        # A ticket is as good as before: its key is the catalog's.
        assert client.batches(ticket)[1][0].num_rows == 1
