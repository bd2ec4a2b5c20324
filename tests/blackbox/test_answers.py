"""The exact form of action answers. The SDK splats two of them into dataclasses: one key too many is a TypeError there."""

import json
import uuid


from harness import rows


def test_session_create_answers_uuid_and_locator_and_nothing_else(client, name):
    client.create_sequence(name)
    answer = client.action("session_create", {"locator": name})
    assert set(answer) == {"uuid", "locator"}
    uuid.UUID(answer["uuid"])
    assert answer["locator"].startswith(f"{name}:")


def test_topic_create_answers_uuid_and_nothing_else(client, name):
    client.create_sequence(name)
    session = client.create_session(name)
    request = {
        "session_uuid": session.uuid,
        "locator": f"{name}/imu",
        "serialization_format": "default",
        "ontology_tag": "IMU",
        "user_metadata": {},
    }
    answer = client.action("topic_create", request)
    assert set(answer) == {"uuid"}
    uuid.UUID(answer["uuid"])


def test_the_session_locator_does_not_give_its_token_away(client, name):
    client.create_sequence(name)
    session = client.create_session(name)
    assert session.uuid not in session.locator
    assert session.uuid.replace("-", "") not in session.locator
    assert session.uuid not in json.dumps(client.sequence(name))


def test_answers_are_one_json_document(client, name):
    """The client joins all results and parses once."""
    steps = [("info", {}), ("version", {}), ("sequence_create", {"locator": name, "user_metadata": {}})]
    steps += [("session_create", {"locator": name}), ("sequence_notification_list", {"locator": name})]
    for kind, body in steps:
        text = b"".join(client.results(kind, body))
        if text:
            assert json.loads(text)["action"] in (kind, "empty")


def test_actions_without_an_answer_have_none(client, name):
    assert client.create_sequence(name) is None
    session = client.create_session(name)
    client.record(session, f"{name}/a", [rows.counters([1])])
    assert client.finalize(session) is None
    assert client.action("sequence_notification_create",
                         {"locator": name, "notification_type": "error", "msg": "x"}) is None
    assert client.action("sequence_notification_purge", {"locator": name}) is None
    assert client.delete_sequence(name) is None
