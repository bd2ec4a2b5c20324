"""The uuids that create answers are authority: nobody writes or finalizes without them."""

import contextlib
import uuid

import pytest

from harness import rows
from harness.codes import refused

STRANGE = ["", "no-uuid", "00000000-0000-0000-0000-00000000000g", "\u202e", 7, None, [], {}]


def other():
    return str(uuid.uuid4())


def test_a_put_needs_the_token_of_its_topic(client, name):
    client.create_sequence(name)
    session = client.create_session(name)
    client.create_topic(session, f"{name}/a")
    token = client.create_topic(session, f"{name}/b")
    for wrong in (other(), token, session.uuid):
        with refused("NOT_FOUND", "PERMISSION_DENIED", "INVALID_ARGUMENT"):
            client.put(f"{name}/a", wrong, rows.COUNTER, [rows.counters([1])])
    # None of that was a put on either topic.
    with refused("FAILED_PRECONDITION"):
        client.finalize(session)
    client.put(f"{name}/b", token, rows.COUNTER, [rows.counters([1])])


def test_topic_create_needs_the_token_of_a_session(client, name):
    client.create_sequence(name)
    session = client.create_session(name)
    for wrong in (other(), session.locator.split(":")[1]):
        with refused("NOT_FOUND", "PERMISSION_DENIED", "INVALID_ARGUMENT"):
            client.create_topic(wrong, f"{name}/a")


def test_a_session_makes_topics_only_in_its_sequence(client, name):
    for sequence in (name, f"{name}-other"):
        client.create_sequence(sequence)
    session = client.create_session(name)
    with refused("PERMISSION_DENIED"):
        client.create_topic(session, f"{name}-other/a")


def test_finalize_needs_the_token_of_the_session(client, name):
    client.create_sequence(name)
    session = client.create_session(name)
    token = client.record(session, f"{name}/a", [rows.counters([1])])
    for wrong in (other(), token, session.locator.split(":")[1]):
        with refused("NOT_FOUND", "PERMISSION_DENIED"):
            client.finalize(wrong)
    with refused("FAILED_PRECONDITION"):
        client.flight_info(f"{name}/a")


@pytest.mark.parametrize("strange", STRANGE, ids=repr)
def test_what_is_no_uuid_is_refused(client, name, strange):
    client.create_sequence(name)
    with refused("INVALID_ARGUMENT"):
        client.action("session_finalize", {"session_uuid": strange})
    with refused("INVALID_ARGUMENT"):
        client.create_topic(strange, f"{name}/a")
    session = client.create_session(name)
    client.create_topic(session, f"{name}/a")
    with refused("INVALID_ARGUMENT"):
        client.put(f"{name}/a", strange, rows.COUNTER)


def test_tokens_are_not_in_the_log(server, client, name):
    client.create_sequence(name)
    session = client.create_session(name)
    token = client.record(session, f"{name}/a", [rows.counters([1])])
    client.finalize(session)
    log = server.log()
    for secret in (session.uuid, token):
        assert secret not in log and secret.replace("-", "") not in log


def test_tokens_are_not_on_the_disk(server, client, name):
    client.create_sequence(name)
    session = client.create_session(name)
    token = client.record(session, f"{name}/a", [rows.counters([1])])
    secrets = [uuid.UUID(text) for text in (session.uuid, token)]
    forms = [form for secret in secrets for form in (secret.bytes, secret.hex.encode(), str(secret).encode())]
    for path in server.files("*"):
        with contextlib.suppress(IsADirectoryError, FileNotFoundError):
            content = path.read_bytes()
            assert not any(form in content for form in forms), path
