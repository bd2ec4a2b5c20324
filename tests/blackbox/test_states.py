"""Illegal moves of sessions and topics, each with its code."""

import pytest

from harness import rows
from harness.codes import refused


@pytest.fixture
def session(client, name):
    client.create_sequence(name)
    return client.create_session(name)


def test_a_name_is_taken_once(client, name):
    client.create_sequence(name)
    with refused("ALREADY_EXISTS"):
        client.create_sequence(name)


def test_a_topic_path_is_taken_once_in_a_session(client, name, session):
    client.create_topic(session, f"{name}/a")
    with refused("ALREADY_EXISTS"):
        client.create_topic(session, f"{name}/a")


def test_a_topic_path_is_taken_once_over_all_sessions(client, name, session):
    client.create_topic(session, f"{name}/a")
    with refused("ALREADY_EXISTS"):
        client.create_topic(client.create_session(name), f"{name}/a")


@pytest.mark.parametrize("request_", [
    ("session_create", {"locator": "nobody"}),
    ("sequence_delete", {"locator": "nobody"}),
    ("sequence_notification_list", {"locator": "nobody"}),
    ("topic_notification_list", {"locator": "nobody/imu"}),
    ("session_finalize", {"session_uuid": "00000000-0000-4000-8000-000000000000"}),
    ("session_delete", {"locator": "nobody:00000000-0000-4000-8000-000000000000"}),
])
def test_what_is_not_there_is_not_found(client, request_):
    with refused("NOT_FOUND"):
        client.action(*request_)


@pytest.mark.parametrize("locator", ["nobody", "nobody/imu"])
def test_reading_what_is_not_there_is_not_found(client, locator):
    with refused("NOT_FOUND"):
        client.flight_info(locator)


def test_an_unknown_topic_of_a_known_sequence_is_not_found(client, name):
    client.record_sequence(name, {"a": [rows.counters([1])]})
    for ask in (client.flight_info, client.schema):
        with refused("NOT_FOUND"):
            ask(f"{name}/b")


def test_an_empty_session_does_not_finalize(client, session):
    with refused("FAILED_PRECONDITION"):
        client.finalize(session)


def test_a_topic_without_a_put_holds_finalize_back(client, name, session):
    client.record(session, f"{name}/a", [rows.counters([1])])
    token = client.create_topic(session, f"{name}/b")
    with refused("FAILED_PRECONDITION"):
        client.finalize(session)
    client.put(f"{name}/b", token, rows.COUNTER)
    client.finalize(session)


def test_a_running_put_holds_finalize_back(client, name, session):
    token = client.create_topic(session, f"{name}/a")
    writer = client.begin_put(f"{name}/a", token, rows.COUNTER)
    writer.write_batch(rows.counters([1]))
    with refused("FAILED_PRECONDITION"):
        client.finalize(session)
    writer.done_writing()
    writer.close()
    client.finalize(session)


def test_a_topic_is_written_once(client, name, session):
    token = client.record(session, f"{name}/a", [rows.counters([1, 2])])
    with refused("FAILED_PRECONDITION") as error:
        client.put(f"{name}/a", token, rows.COUNTER, [rows.counters([3])])
    assert f"topic {name}/a: the topic is already written" in error.text
    client.finalize(session)
    with refused("FAILED_PRECONDITION"):
        client.put(f"{name}/a", token, rows.COUNTER, [rows.counters([4])])
    assert client.read(f"{name}/a").column("timestamp_ns").to_pylist() == [1, 2]


def test_two_puts_on_one_topic_at_once(client, name, session):
    token = client.create_topic(session, f"{name}/a")
    first = client.begin_put(f"{name}/a", token, rows.COUNTER)
    first.write_batch(rows.counters([1]))
    with refused("FAILED_PRECONDITION"):
        client.finalize(session)  # the first put has begun
    with refused("FAILED_PRECONDITION"):
        client.put(f"{name}/a", token, rows.COUNTER, [rows.counters([9])])
    first.done_writing()
    first.close()
    client.finalize(session)
    assert client.read(f"{name}/a").column("timestamp_ns").to_pylist() == [1]


def test_a_final_session_takes_no_topics(client, name, session):
    client.record(session, f"{name}/a", [rows.counters([1])])
    client.finalize(session)
    with refused("FAILED_PRECONDITION"):
        client.create_topic(session, f"{name}/b")


def test_finalize_may_be_repeated(client, name, session):
    client.record(session, f"{name}/a", [rows.counters([1])])
    answers = [client.results("session_finalize", {"session_uuid": session.uuid}) for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]
    described = client.sequence(name)
    client.finalize(session)
    assert client.sequence(name) == described, "a repeated finalize changes nothing"


def test_open_sessions_are_listed_without_their_topics(client, name, session):
    """Nothing is readable before finalize, but that the session is there may be known."""
    client.record(session, f"{name}/a", [rows.counters([1])])
    (listed,) = client.sequence(name)["sessions"]
    assert (listed["locator"], listed["locked"], listed.get("topics", [])) == (session.locator, False, [])
    assert client.sequence(name)["topics"] == {}
    with refused("FAILED_PRECONDITION"):
        client.flight_info(f"{name}/a")
    client.finalize(session)
    (listed,) = client.sequence(name)["sessions"]
    assert (listed["locked"], listed["topics"]) == (True, [f"{name}/a"])
    assert listed["created_at_ns"] <= listed["completed_at_ns"]


def test_topic_delete_frees_the_path(client, name, session):
    """The SDK cleans up with it when opening the put throws."""
    client.create_topic(session, f"{name}/a")
    client.action("topic_delete", {"locator": f"{name}/a"})
    client.record(session, f"{name}/a", [rows.counters([5])])
    client.finalize(session)
    assert client.read(f"{name}/a").num_rows == 1


def test_a_topic_of_a_final_session_is_not_deleted_alone(client, name, session):
    client.record(session, f"{name}/a", [rows.counters([1])])
    client.finalize(session)
    with refused("FAILED_PRECONDITION"):
        client.action("topic_delete", {"locator": f"{name}/a"})
