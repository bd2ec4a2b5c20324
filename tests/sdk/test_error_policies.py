"""What is left of a recording that fails: Report keeps it with a note, Delete leaves nothing."""

import pytest

from harness import sdk
from mosaicolabs import Integer64, SessionLevelErrorPolicy


class Trouble(Exception):
    pass


def fail(client, name, policy):
    with pytest.raises(Trouble):
        with client.sequence_create(name, {}, on_error=policy) as sequence:
            writer = sequence.topic_create("a/b", {}, Integer64)
            for n in range(10):
                writer.push(sdk.message(n, Integer64(data=n)))
            raise Trouble("the robot fell over")


def test_report_keeps_the_sequence_and_tells(client, name):
    fail(client, name, SessionLevelErrorPolicy.Report)
    handler = client.sequence_handler(name)
    assert handler.topics == ["/a/b"]
    (note,) = client.list_sequence_notifications(name)
    assert "the robot fell over" in note.message
    assert "the robot fell over" in client.list_topic_notifications(name, "a/b")[0].message
    client.clear_sequence_notifications(name)
    client.clear_topic_notifications(name, "a/b")
    assert client.list_sequence_notifications(name) == client.list_topic_notifications(name, "a/b") == []


def test_delete_leaves_nothing(client, name):
    fail(client, name, SessionLevelErrorPolicy.Delete)  # 0.3 deletes it twice, and must hear nothing bad
    assert client.sequence_handler(name) is None
    assert name not in client.list_sequences()
    sdk.record(client, name, {"a/b": (Integer64, [sdk.message(1, Integer64(data=1))])})
    assert len(sdk.read(client, name, "a/b")) == 1
