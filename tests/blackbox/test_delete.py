"""Deleting works in every state, also under running writers and readers; the name is free at once, nothing comes back."""

import pytest

from harness import rows
from harness.codes import ERRORS, code, refused
from harness.waiting import until

STATES = ["no session", "empty session", "created topic", "open put", "written topic", "final", "mixed layers"]


def reach(client, name, state):
    """Brings a new sequence into a state. Returns its session and its open writer, as far as it has them."""
    client.create_sequence(name)
    session = writer = None
    if state != "no session":
        session = client.create_session(name)
    if state == "mixed layers":
        client.record(session, f"{name}/final", [rows.counters([1])])
        client.finalize(session)
        session = client.create_session(name)
    if state in ("created topic", "open put", "mixed layers"):
        token = client.create_topic(session, f"{name}/a")
    if state in ("open put", "mixed layers"):
        writer = client.begin_put(f"{name}/a", token, rows.COUNTER)
        writer.write_batch(rows.counters([1]))
    if state in ("written topic", "final"):
        client.record(session, f"{name}/a", [rows.counters([1])])
    if state == "final":
        client.finalize(session)
    return session, writer


def ends_with_a_clear_code(writer):
    try:
        writer.write_batch(rows.counters([2]))
        writer.done_writing()
        writer.close()
    except ERRORS as error:
        assert code(error) in ("NOT_FOUND", "FAILED_PRECONDITION", "ABORTED", "CANCELLED"), error
        return
    raise AssertionError("the writer of a deleted topic was told that all is well")


@pytest.mark.parametrize("state", STATES)
def test_a_sequence_is_deleted_in_every_state(client, name, state):
    session, writer = reach(client, name, state)
    client.delete_sequence(name)
    assert name not in client.sequences()
    with refused("NOT_FOUND"):
        client.flight_info(name)
    if writer:
        ends_with_a_clear_code(writer)
    if session:
        with refused("NOT_FOUND"):
            client.finalize(session)
        with refused("NOT_FOUND"):
            client.create_topic(session, f"{name}/b")
    with refused("NOT_FOUND"):
        client.delete_sequence(name)
    client.record_sequence(name, {"a": [rows.counters([7])]})
    assert client.read(f"{name}/a").column("timestamp_ns").to_pylist() == [7]


@pytest.mark.parametrize("state", STATES[1:])
def test_a_session_is_deleted_in_every_state(client, name, state):
    session, writer = reach(client, name, state)
    client.delete_session(session)
    kept = [f"{name}/final"] if state == "mixed layers" else []
    assert list(client.sequence(name)["topics"]) == kept
    if writer:
        ends_with_a_clear_code(writer)
    with refused("NOT_FOUND"):
        client.finalize(session)
    with refused("NOT_FOUND"):
        client.delete_session(session)
    again = client.create_session(name)
    client.record(again, f"{name}/a", [rows.counters([7])])
    client.finalize(again)
    assert client.read(f"{name}/a").column("timestamp_ns").to_pylist() == [7]


@pytest.mark.parametrize("state", STATES)
def test_the_files_go_too(server, client, name, state):
    before = set(server.files("*.par*"))
    _, writer = reach(client, name, state)
    client.delete_sequence(name)
    if writer:
        ends_with_a_clear_code(writer)
    until(lambda: set(server.files("*.par*")) <= before, "the files of a deleted sequence to go", 60)


def test_a_reader_of_what_is_deleted_gets_everything_or_an_error(client, name):
    """Never fewer rows with a good end."""
    count = 64
    client.record_sequence(name, {"a": [rows.blobs([n], 1 << 20) for n in range(count)]})
    reader = client.flight.do_get(client.ticket(f"{name}/a"))
    seen = reader.read_chunk().data.num_rows
    client.delete_sequence(name)
    try:
        while True:
            seen += reader.read_chunk().data.num_rows
    except StopIteration:
        assert seen == count
    except ERRORS as error:
        assert code(error) in ("NOT_FOUND", "DATA_LOSS", "UNAVAILABLE", "ABORTED"), error


def test_what_was_deleted_stays_deleted_after_a_crash(own_server, name):
    from harness.flight import Client

    with Client(own_server.location) as client:
        for state in STATES:
            reach(client, f"{name}_{state.replace(' ', '-')}", state)
            client.delete_sequence(f"{name}_{state.replace(' ', '-')}")
        client.create_sequence(name)
        session = client.create_session(name)
        client.record(session, f"{name}/a", [rows.counters([1])])
        client.delete_session(session)
        own_server.crash()
        assert client.sequences() == [name]
        assert client.sequence(name)["sessions"] == []
        until(lambda: not own_server.files("*.par*"), "the files to go", 60)


def test_a_repeated_delete_of_the_oldest_clients(client, name):
    """SDK 0.3 sends `sequence_delete` twice under its Delete policy: the second may only say that nothing is there."""
    client.create_sequence(name)
    client.delete_sequence(name)
    with refused("NOT_FOUND"):
        client.delete_sequence(name)
