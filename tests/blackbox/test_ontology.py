"""What a stream must look like to be let into a topic, asked before anything is stored."""

import pyarrow as pa
import pytest

from harness import rows
from harness import wire
from harness.codes import refused


@pytest.fixture
def session(client, name):
    client.create_sequence(name)
    return client.create_session(name)


def changed(schema, field, **change):
    old = schema.field(field)
    new = pa.field(old.name, change.get("type", old.type), change.get("nullable", old.nullable))
    return schema.set(schema.get_field_index(field), new)


def test_an_image_does_not_go_into_an_imu_topic(server, client, name, session):
    token = client.create_topic(session, f"{name}/imu", "IMU")
    chunks = lambda: {path.stem for path in server.files("*.par*")}  # noqa: E731: those of others may be renamed just now
    before = chunks()
    with refused("INVALID_ARGUMENT") as caught:
        client.put(f"{name}/imu", token, rows.IMAGE)
    assert "acceleration" in caught.text or "data" in caught.text, f"it should name the first field: {caught.text}"
    assert chunks() == before
    # The refused stream was no put: the topic is still to be written.
    client.put(f"{name}/imu", token, rows.IMU, [rows.imu([1, 2])])
    client.finalize(session)
    assert client.read(f"{name}/imu").num_rows == 2


def test_the_refusal_says_what_was_expected_and_found(client, name, session):
    token = client.create_topic(session, f"{name}/imu", "IMU")
    retyped = changed(rows.IMU, "acceleration", type=pa.float64())
    with refused("INVALID_ARGUMENT") as caught:
        client.put(f"{name}/imu", token, retyped)
    text = caught.text.lower()
    assert "acceleration" in text and ("float64" in text or "double" in text) and "struct" in text


@pytest.mark.parametrize("what, schema", [
    ("no timestamp", pa.schema([pa.field("value", pa.int64())])),
    ("a narrow timestamp", pa.schema([pa.field("timestamp_ns", pa.int32(), nullable=False)])),
    ("an unsigned timestamp", pa.schema([pa.field("timestamp_ns", pa.uint64(), nullable=False)])),
    ("a timestamp type", pa.schema([pa.field("timestamp_ns", pa.timestamp("ns"), nullable=False)])),
    ("no column", pa.schema([])),
])
def test_every_stream_needs_its_time_column(client, name, session, what, schema):
    token = client.create_topic(session, f"{name}/a", "Anything")
    with refused("INVALID_ARGUMENT") as caught:
        client.put(f"{name}/a", token, schema)
    assert "timestamp_ns" in caught.text


def test_a_variant_of_a_known_model_is_accepted(client, name, session):
    """Other SDK versions and bridges put other fields under the same tag."""
    variant = rows.IMU.append(pa.field("temperature", pa.float32()))
    token = client.create_topic(session, f"{name}/imu", "IMU")
    client.put(f"{name}/imu", token, variant)
    client.finalize(session)
    assert client.schema(f"{name}/imu").remove_metadata().equals(variant)


def test_two_schemas_live_under_one_tag(client, name, session):
    less = rows.IMU.remove(rows.IMU.get_field_index("orientation"))
    for path, schema in (("full", rows.IMU), ("less", less)):
        client.put(f"{name}/{path}", client.create_topic(session, f"{name}/{path}", "IMU"), schema)
    client.finalize(session)
    assert client.schema(f"{name}/full").remove_metadata().equals(rows.IMU)
    assert client.schema(f"{name}/less").remove_metadata().equals(less)


def test_a_tag_nobody_knows_is_accepted(client, name, session):
    client.record(session, f"{name}/a", [rows.counters([1])], tag="my own:Tag v2")
    client.finalize(session)
    assert client.topic(f"{name}/a")["ontology_tag"] == "my own:Tag v2"


def test_a_second_schema_in_a_stream_is_refused(server, client, name, session):
    token = client.create_topic(session, f"{name}/a")
    command = {"resource_locator": f"{name}/a", "topic_uuid": token}
    messages = [wire.flight_data(wire.schema_header(rows.COUNTER), command=command)]
    messages += [wire.flight_data(wire.schema_header(rows.BLOB))]
    with wire.Wire(server) as raw:
        assert raw.code(lambda: raw.put(messages)) in ("INVALID_ARGUMENT", "ABORTED")
