"""Finding sequences and topics again, by whatever spelling of their names."""

import pytest

from harness import sdk
from mosaicolabs import Integer64

METADATA = {"driver": "Ada", "n": 3, "f": 0.1, "none": None, "nested": {"a": [1, {"b": True}]}, "big": 2**53 + 1}


@pytest.fixture(scope="module")
def recorded(server):
    with sdk.connect(server) as client:
        with client.sequence_create("drive-1", METADATA) as sequence:
            writer = sequence.topic_create("cam/left_1", {"lens": "wide"}, Integer64)
            writer.push(sdk.message(5, Integer64(data=1)))
            sequence.topic_create("/none", {}, Integer64)


def test_the_sequence_is_listed(recorded, client):
    assert client.list_sequences() == ["drive-1"]


@pytest.mark.parametrize("spelling", ["drive-1", "/drive-1"])
def test_a_sequence_handler_has_everything(recorded, client, spelling):
    handler = client.sequence_handler(spelling)
    assert handler.name == "drive-1"
    assert sorted(handler.topics) == ["/cam/left_1", "/none"]
    assert handler.user_metadata == METADATA
    assert len(handler.sessions) == 1 and handler.total_size_bytes > 0
    assert handler.created_timestamp > 0


@pytest.mark.parametrize("spelling", ["cam/left_1", "/cam/left_1"])
def test_a_topic_handler_has_everything(recorded, client, spelling):
    handler = client.topic_handler("drive-1", spelling)
    assert (handler.name, handler.sequence_name) == ("/cam/left_1", "drive-1")
    assert handler.user_metadata == {"lens": "wide"}
    assert handler.ontology_tag == Integer64.ontology_tag()
    assert handler.chunks_number >= 1 and handler.total_size_bytes > 0
    assert (handler.timestamp_ns_min, handler.timestamp_ns_max) == (5, 5)


def test_a_topic_without_data_has_a_handler_but_no_stream(recorded, client):
    handler = client.topic_handler("drive-1", "none")
    assert handler.timestamp_ns_min is None
    with pytest.raises(ValueError):
        handler.get_data_streamer()


def test_what_is_not_there_is_none(recorded, client):
    assert client.sequence_handler("drive-2") is None
    assert client.topic_handler("drive-1", "cam/right") is None
    assert client.topic_handler("drive-2", "cam") is None


def test_a_taken_name_is_refused(recorded, client):
    with pytest.raises(Exception, match="drive-1|already|exists"):
        with client.sequence_create("drive-1", {}):
            pass
    assert client.sequence_handler("drive-1").user_metadata == METADATA


def test_a_sequence_is_deleted(recorded, client):
    sdk.record(client, "short", {"a": (Integer64, [sdk.message(1, Integer64(data=1))])})
    client.sequence_delete("short")
    assert client.list_sequences() == ["drive-1"]
    assert client.sequence_handler("short") is None
