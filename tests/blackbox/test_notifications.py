"""Notes on sequences and topics, in the form that every SDK parses."""

import datetime

import pytest

from harness import rows
from harness.codes import refused


def create(client, locator, text, kind="error"):
    what = "topic" if "/" in locator else "sequence"
    client.action(f"{what}_notification_create", {"locator": locator, "notification_type": kind, "msg": text})


@pytest.fixture
def recorded(client, name):
    client.record_sequence(name, {"a/b": [rows.counters([1])]})
    return name


def test_they_are_listed_with_all_four_keys_in_order(client, recorded):
    for locator in (recorded, f"{recorded}/a/b"):
        for n in range(3):
            create(client, locator, f"note {n} é \u202e\n")
        notes = client.notifications(locator)
        assert [note["msg"] for note in notes] == [f"note {n} é \u202e\n" for n in range(3)]
        for note in notes:
            assert (note["name"], note["notification_type"]) == (locator, "error")
            text = note["created_datetime"].replace(" UTC", "+00:00")
            age = datetime.datetime.now(datetime.timezone.utc) - datetime.datetime.fromisoformat(text)
            assert abs(age) < datetime.timedelta(minutes=5)


def test_those_of_a_sequence_and_its_topics_are_apart(client, recorded):
    create(client, recorded, "of the sequence")
    create(client, f"{recorded}/a/b", "of the topic")
    assert [note["msg"] for note in client.notifications(recorded)] == ["of the sequence"]
    client.action("topic_notification_purge", {"locator": f"{recorded}/a/b"})
    assert client.notifications(f"{recorded}/a/b") == []
    assert len(client.notifications(recorded)) == 1


def test_a_topic_of_an_open_session_takes_them(client, name):
    """The SDK reports a broken topic before it finalizes."""
    client.create_sequence(name)
    session = client.create_session(name)
    client.record(session, f"{name}/a", [rows.counters([1])])
    create(client, f"{name}/a", "too early")
    client.finalize(session)
    assert [note["msg"] for note in client.notifications(f"{name}/a")] == ["too early"]


def test_they_go_with_their_sequence(client, recorded):
    create(client, recorded, "old")
    client.delete_sequence(recorded)
    client.record_sequence(recorded, {"a/b": [rows.counters([1])]})
    assert client.notifications(recorded) == client.notifications(f"{recorded}/a/b") == []


def test_other_types_are_refused(client, recorded):
    """The SDK knows no other, and fails on them."""
    with refused("INVALID_ARGUMENT"):
        create(client, recorded, "x", kind="warning")


def test_they_survive_a_crash(own_server, name):
    from harness.flight import Client

    with Client(own_server.location) as client:
        client.record_sequence(name, {"a": [rows.counters([1])]})
        create(client, name, "kept")
        create(client, f"{name}/a", "kept too")
        own_server.crash()
        assert [note["msg"] for note in client.notifications(name)] == ["kept"]
        assert [note["msg"] for note in client.notifications(f"{name}/a")] == ["kept too"]
