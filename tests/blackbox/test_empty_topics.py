"""A topic without rows is normal: its DoPut sends a schema and ends."""

import pytest

from harness import rows


@pytest.fixture(scope="module")
def recorded(server):
    from harness.flight import Client

    with Client(server.location) as client:
        client.record_sequence("drive", {"full": [rows.counters([5, 7])]})
        session = client.create_session("drive")
        client.record(session, "drive/empty", [], tag="IMU", schema=rows.IMU)
        client.record(session, "drive/zero", [rows.counters([])])
        client.finalize(session)
    return server


PATHS = ["drive/empty", "drive/zero"]


@pytest.mark.parametrize("locator", PATHS)
def test_it_is_listed_without_an_interval(recorded, client, locator):
    assert locator in client.sequence("drive")["topics"]
    data = client.topic(locator)["data_info"]
    assert (data["interval"], data["total_row_count"], data["total_chunks_count"]) == (None, 0, 0)


@pytest.mark.parametrize("locator, schema", list(zip(PATHS, [rows.IMU, rows.COUNTER])))
def test_it_has_its_schema(recorded, client, locator, schema):
    assert client.schema(locator).remove_metadata().equals(schema)


@pytest.mark.parametrize("locator", PATHS)
def test_reading_it_gives_its_schema_and_no_batch(recorded, client, locator):
    schema, batches = client.batches(client.ticket(locator))
    assert schema.remove_metadata().equals(client.schema(locator).remove_metadata())
    assert batches == []


@pytest.mark.parametrize("locator", PATHS)
def test_a_window_on_it_counts_nothing(recorded, client, locator):
    window = client.topic(locator, 0, 10)["time_window_info"]
    assert window == {"interval": None, "row_count": 0}


def test_it_survives_a_restart(recorded, client):
    recorded.crash()
    assert client.topic("drive/empty")["data_info"]["interval"] is None
    assert client.schema("drive/empty").remove_metadata().equals(rows.IMU)
