"""User metadata belongs to the user: it comes back as it went in, and is never null."""

import json

import pytest

from harness import rows
from harness.codes import refused

KEPT = [
    {},
    {"a": None, "b": True, "c": [1, 2.5, "x", None, {"d": []}], "e": {}},
    {"big": 2**63, "bigger": 10**30, "small": -(2**63), "float": 0.1, "tiny": 5e-324, "one": 1.0},
    {"text": "né \u202e 😀 \" \\ \n", "key with space": 1, "key-with_all 09AZ": 2},
    {"_ros_": {"type": "sensor_msgs/msg/Imu"}, "_mcap_": {"deep": {"a": {"b": {"c": {"d": 1}}}}}},
    {str(n): n for n in range(1000)},
]
BAD_KEYS = ["", "a.b", "a--b", "é", "a$", "a/b", "a\n", "a'b"]


@pytest.mark.parametrize("metadata", KEPT, ids=range(len(KEPT)))
def test_it_comes_back_as_it_went_in(client, name, metadata):
    client.create_sequence(name, metadata)
    session = client.create_session(name)
    client.record(session, f"{name}/a", [rows.counters([1])], metadata=metadata)
    client.finalize(session)
    assert client.sequence(name)["user_metadata"] == metadata
    assert client.topic(f"{name}/a")["user_metadata"] == metadata


@pytest.mark.parametrize("body", [{"user_metadata": None}, {}], ids=["null", "absent"])
def test_nothing_comes_back_as_an_empty_object(client, name, body):
    """The SDK fails on a null."""
    client.action("sequence_create", {"locator": name, **body})
    assert client.sequence(name)["user_metadata"] == {}


def test_numbers_keep_all_their_digits(client, name):
    text = '{"a": 0.10000000000000000001, "b": 123456789012345678901234567890}'
    client.results("sequence_create", f'{{"locator": "{name}", "user_metadata": {text}}}'.encode())
    raw = client.flight_info(name).app_metadata.decode()
    assert "0.10000000000000000001" in raw and "123456789012345678901234567890" in raw


@pytest.mark.parametrize("key", BAD_KEYS, ids=ascii)
def test_keys_that_queries_could_not_name_are_refused(client, name, key):
    for metadata in ({key: 1}, {"a": {key: 1}}, {"a": [{key: 1}]}):
        with refused("INVALID_ARGUMENT"):
            client.create_sequence(name, metadata)
    assert name not in client.sequences()


@pytest.mark.parametrize("metadata", [[], "text", 7, True])
def test_it_is_an_object(client, name, metadata):
    with refused("INVALID_ARGUMENT"):
        client.action("sequence_create", {"locator": name, "user_metadata": metadata})


def nested(depth):
    return json.loads('{"a":' * depth + "1" + "}" * depth)


@pytest.mark.parametrize("metadata", [nested(200), {"a": "x" * 70_000}, {str(n): n for n in range(20_000)}],
                         ids=["deep", "long text", "many values"])
def test_its_size_is_limited(client, name, metadata):
    with refused("INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"):
        client.create_sequence(name, metadata)
    client.create_sequence(name)


def test_that_of_all_topics_of_a_sequence_is_limited_together(client, name):
    """It is in one answer and in one manifest: 300 such topics took 1.6 GB to finalize, and as much at each start."""
    client.create_sequence(name)
    session = client.create_session(name)
    large = {f"k{n}": "x" * 60_000 for n in range(15)}
    for n in range(18):
        client.create_topic(session, f"{name}/t{n}", metadata=large)
    with refused("INVALID_ARGUMENT", "RESOURCE_EXHAUSTED") as told:
        client.create_topic(session, f"{name}/more", metadata=large)
    assert "of all topics of a sequence" in str(told.error)
    client.create_topic(session, f"{name}/small", metadata={"a": 1})
