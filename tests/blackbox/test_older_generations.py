"""What older SDKs read out of answers: a superset, so that one daemon serves 0.5 to 0.7 at once."""

import json

import pytest

from harness import rows


@pytest.fixture(scope="module")
def recorded(server):
    from harness.flight import Client

    with Client(server.location) as client:
        client.create_sequence("drive", {"who": "me"})
        session = client.create_session("drive")
        client.record(session, "drive/a/imu", [rows.counters([5, 7])], tag="imu", metadata={"vendor": "x"})
        client.record(session, "drive/none", [], schema=rows.COUNTER)
        client.finalize(session)


def metadata_of(schema):
    return {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}


def test_topics_carry_the_info_of_both_forms(recorded, client):
    topic = client.topic("drive/a/imu")
    info = topic["info"]
    assert info["timestamp"] == topic["data_info"]["interval"] == {"start_ns": 5, "end_ns": 7}
    assert info["chunks_number"] == topic["data_info"]["total_chunks_count"]
    assert info["total_bytes"] == topic["data_info"]["total_bytes"]
    assert client.topic("drive/none")["info"]["timestamp"] is None


def test_sessions_carry_uuid_and_locator(recorded, client):
    (session,) = client.sequence("drive")["sessions"]
    assert session["uuid"] and session["locator"].startswith("drive:")


def test_the_schema_of_a_flight_info_carries_the_context(recorded, client):
    metadata = metadata_of(client.flight_info("drive").schema)
    assert metadata["mosaico:context"] == "sequence"
    assert json.loads(metadata["mosaico:user_metadata"]) == {"who": "me"}
    metadata = metadata_of(client.flight_info("drive/a/imu").schema)
    assert metadata["mosaico:context"] == "topic"
    assert json.loads(metadata["mosaico:user_metadata"]) == {"vendor": "x"}
    properties = json.loads(metadata["mosaico:properties"])
    assert (properties["ontology_tag"], properties["serialization_format"]) == ("imu", "default")


def test_the_schema_of_a_stream_carries_it_too(recorded, client):
    schema, _ = client.batches(client.ticket("drive/a/imu"))
    metadata = metadata_of(schema)
    assert metadata["mosaico:context"] == "topic" and json.loads(metadata["mosaico:user_metadata"]) == {"vendor": "x"}
    assert json.loads(metadata["mosaico:properties"])["ontology_tag"] == "imu"


def test_endpoints_have_exactly_one_location(recorded, client):
    for endpoint in client.flight_info("drive").endpoints:
        topic = json.loads(endpoint.app_metadata)["resource_locator"].strip("/")
        assert [location.uri.decode() for location in endpoint.locations] == [f"mosaico:{topic}"]


def test_the_descriptor_is_echoed(recorded, client):
    assert json.loads(client.flight_info("drive/a/imu").descriptor.command)["resource_locator"] == "drive/a/imu"


def test_a_session_is_deleted_by_its_uuid(recorded, client, name):
    """SDK 0.4 names it by the token."""
    client.create_sequence(name)
    session = client.create_session(name)
    client.record(session, f"{name}/a", [rows.counters([1])])
    client.action("session_delete", {"session_uuid": session.uuid})
    assert client.sequence(name)["sessions"] == []
