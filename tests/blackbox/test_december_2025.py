"""The generation of December 2025, which has no sessions: `sequence_create` gives a key, `sequence_finalize` locks. It is on
no package index, so its forms are spoken by hand. Everything it does runs on the same states."""

import json

import pyarrow.flight as fl
import pytest

from harness import rows
from harness.codes import refused


def create(client, name):
    return client.action("sequence_create", {"name": name, "user_metadata": {"old": True}})["key"]


def create_topic(client, key, topic, tag="imu"):
    request = {"sequence_key": key, "name": topic, "serialization_format": "default", "ontology_tag": tag, "user_metadata": {}}
    return client.action("topic_create", request)["key"]


FORMS = [lambda topic, key: {"topic": {"name": topic, "key": key}}, lambda topic, key: {"resource_locator": topic, "key": key}]


def put(client, command, batches):
    writer, _ = client.flight.do_put(fl.FlightDescriptor.for_command(json.dumps(command).encode()), batches[0].schema)
    try:
        for batch in batches:
            writer.write_batch(batch)
        writer.done_writing()
    finally:
        writer.close()


@pytest.mark.parametrize("form", FORMS, ids=["topic object", "locator and key"])
def test_a_recording_comes_back_equal(client, name, form):
    key = create(client, name)
    topic = f"{name}/a/imu"
    put(client, form(topic, create_topic(client, key, topic)), [rows.counters([3, 1, 2])])
    client.action("sequence_finalize", {"name": name, "key": key})
    info = client.flight.get_flight_info(fl.FlightDescriptor.for_path(name))
    context = {k.decode(): v.decode() for k, v in info.schema.metadata.items()}
    assert context["mosaico:context"] == "sequence" and json.loads(context["mosaico:user_metadata"]) == {"old": True}
    (endpoint,) = info.endpoints
    assert endpoint.ticket.ticket.decode() == topic
    schema, batches = client.batches(endpoint.ticket)
    assert b"mosaico:properties" in schema.metadata
    assert [time for batch in batches for time in batch.column("timestamp_ns").to_pylist()] == [1, 2, 3]
    info = client.flight.get_flight_info(fl.FlightDescriptor.for_path(topic))
    assert len(info.endpoints) == 1


def test_newer_clients_see_it_too(client, name):
    key = create(client, name)
    put(client, FORMS[0](f"{name}/a", create_topic(client, key, f"{name}/a")), [rows.counters([1])])
    client.action("sequence_finalize", {"name": name, "key": key})
    described = client.sequence(name)
    assert list(described["topics"]) == [f"{name}/a"] and described["sessions"][0]["locked"]
    assert client.read(f"{name}/a").num_rows == 1


def test_an_aborted_sequence_is_gone(client, name):
    key = create(client, name)
    put(client, FORMS[0](f"{name}/a", create_topic(client, key, f"{name}/a")), [rows.counters([1])])
    client.action("sequence_abort", {"name": name, "key": key})
    assert name not in client.sequences()
    create(client, name)


def test_finalize_needs_the_key(client, name):
    key = create(client, name)
    put(client, FORMS[0](f"{name}/a", create_topic(client, key, f"{name}/a")), [rows.counters([1])])
    with refused("NOT_FOUND", "PERMISSION_DENIED"):
        client.action("sequence_finalize", {"name": name, "key": "00000000-0000-4000-8000-000000000000"})
    client.action("sequence_finalize", {"name": name, "key": key})
    client.action("sequence_finalize", {"name": name, "key": key})


def test_a_key_of_another_sequence_ends_nothing(client, name):
    mine, theirs = f"{name}_mine", f"{name}_theirs"
    key = create(client, mine)
    create(client, theirs)
    for action in ("sequence_finalize", "sequence_abort"):
        with refused("PERMISSION_DENIED"):
            client.action(action, {"name": theirs, "key": key})
    assert {mine, theirs} <= set(client.sequences())
    topic = create_topic(client, key, f"{mine}/a")
    put(client, FORMS[0](f"{mine}/a", topic), [rows.counters([1])])
    client.action("sequence_finalize", {"name": mine, "key": key})


def test_an_abort_leaves_the_sessions_of_others(client, name):
    key = create(client, name)
    client.action("session_create", {"locator": name})
    client.action("sequence_abort", {"name": name, "key": key})
    assert name in client.sequences()


def test_a_sequence_is_deleted_by_name(client, name):
    create(client, name)
    client.action("sequence_delete", {"name": name})
    assert name not in client.sequences()


def test_notes_in_the_old_spelling(client, name):
    key = create(client, name)
    put(client, FORMS[0](f"{name}/a", create_topic(client, key, f"{name}/a")), [rows.counters([1])])
    client.action("sequence_finalize", {"name": name, "key": key})
    for what, target in (("sequence", name), ("topic", f"{name}/a")):
        client.action(f"{what}_notify_create", {"name": target, "notify_type": "error", "msg": "old"})
        (note,) = client.action(f"{what}_notify_list", {"name": target})["notifies"]
        assert (note["name"], note["notify_type"], note["msg"]) == (target, "error", "old")
        client.action(f"{what}_notify_purge", {"name": target})
        assert not client.action(f"{what}_notify_list", {"name": target})["notifies"]


def test_system_info(client, name):
    key = create(client, name)
    put(client, FORMS[0](f"{name}/a", create_topic(client, key, f"{name}/a")), [rows.counters([1])])
    client.action("sequence_finalize", {"name": name, "key": key})
    answer = client.action("sequence_system_info", {"name": name})
    assert set(answer) == {"total_size_bytes", "is_locked", "created_datetime"} and answer["is_locked"]
    answer = client.action("topic_system_info", {"name": f"{name}/a"})
    assert set(answer) == {"total_size_bytes", "is_locked", "created_datetime", "chunks_number"}
