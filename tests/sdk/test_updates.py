"""Later sessions add topics to a sequence; each can be taken away again."""

import pytest

from harness import sdk
from mosaicolabs import Integer64, SessionLevelErrorPolicy


def numbers(count):
    return [sdk.message(n, Integer64(data=n)) for n in range(count)]


@pytest.fixture
def recorded(client, name):
    sdk.record(client, name, {"first": (Integer64, numbers(5))}, {"a": 1})
    return client.sequence_handler(name)


def add(handler, path, count=5, **options):
    with handler.update(**options) as session:
        writer = session.topic_create(path, {}, Integer64)
        for message in numbers(count):
            writer.push(message)


def test_an_update_adds_a_layer(recorded, client, name):
    add(recorded, "second/x")
    assert recorded.reload()
    assert sorted(recorded.topics) == ["/first", "/second/x"]
    assert len(recorded.sessions) == 2 and recorded.user_metadata == {"a": 1}
    sdk.check_same(numbers(5), sdk.read(client, name, "second/x"))


def test_a_taken_topic_is_refused(recorded, client, name):
    with recorded.update() as session:
        assert session.topic_create("first", {}, Integer64) is None
        session.topic_create("other", {}, Integer64)
    sdk.check_same(numbers(5), sdk.read(client, name, "first"))


def test_a_session_is_deleted(recorded, client, name):
    with recorded.update() as session:
        session.topic_create("second", {}, Integer64).push(numbers(1)[0])
        key = session.session_locator if sdk.VERSION >= (0, 5) else session.session_uuid
    client.session_delete(key)
    recorded.reload()
    assert recorded.topics == ["/first"] and len(recorded.sessions) == 1


def test_a_failed_update_leaves_the_first_layer(recorded, client, name):
    with pytest.raises(RuntimeError):
        with recorded.update(on_error=SessionLevelErrorPolicy.Delete) as session:
            session.topic_create("second", {}, Integer64).push(numbers(1)[0])
            raise RuntimeError("no")
    # Up to 0.3 the Delete policy of an update deletes the sequence itself.
    if sdk.VERSION >= (0, 4):
        again = client.sequence_handler(name)
        again.reload()
        assert again.topics == ["/first"]
        sdk.check_same(numbers(5), sdk.read(client, name, "first"))


def test_three_sessions_at_once(recorded, server, client, name):
    with recorded.update() as a, recorded.update() as b, recorded.update() as c:
        writers = [session.topic_create(f"layer/{n}", {}, Integer64) for n, session in enumerate((a, b, c))]
        for message in numbers(20):
            for writer in writers:
                writer.push(message)
    recorded.reload()
    assert len(recorded.sessions) == 4
    for n in range(3):
        sdk.check_same(numbers(20), sdk.read(client, name, f"layer/{n}"))
