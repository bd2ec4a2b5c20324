"""MCAP files through the bridge that SDK 0.7 brought."""

import json

import pytest
from mcap.writer import Writer

from harness import recordings, sdk
from mosaicolabs.bridges.mcap import MCAPInjectionConfig, MCAPInjector

ODD = sorted((recordings.DATA / "odd").glob("*.mcap"))
SHARED = sorted(recordings.shared().glob("mcap_live/*.mcap")) if recordings.shared() else []

SCHEMA = {
    "title": "Reading",
    "type": "object",
    "properties": {"count": {"type": "integer"}, "level": {"type": "number"}, "note": {"type": "string"}},
    "required": ["count", "level", "note"],
}


def inject(server, name, path):
    config = MCAPInjectionConfig(file_path=path, sequence_name=name, metadata={}, host="127.0.0.1", port=server.port,
                                 log_level="CRITICAL")
    MCAPInjector(config).run()


def write(path, channels, messages):
    """An MCAP of JSON messages whose log times go back and forth between channels."""
    with path.open("wb") as file:
        writer = Writer(file)
        writer.start()
        schema = writer.register_schema("Reading", "jsonschema", json.dumps(SCHEMA).encode())
        ids = [writer.register_channel(f"/sensor/{n}", "json", schema) for n in range(channels)]
        for n in range(messages):
            for channel, id_ in enumerate(ids):
                time = 1_000_000 * n + 1000 * channel
                data = {"count": n, "level": n * 0.5 + channel, "note": f"né {n}"}
                writer.add_message(id_, time, json.dumps(data).encode(), time)
        writer.finish()


def test_json_channels_come_back_equal(server, client, name, tmp_path):
    write(tmp_path / "readings.mcap", channels=5, messages=50)
    inject(server, name, tmp_path / "readings.mcap")
    assert sorted(client.sequence_handler(name).topics) == [f"/sensor/{n}" for n in range(5)]
    for channel in range(5):
        back = sdk.read(client, name, f"/sensor/{channel}")
        assert [message.timestamp_ns for message in back] == [1_000_000 * n + 1000 * channel for n in range(50)]
        for n, message in enumerate(back):
            data = message.data.model_dump()["raw_data"]
            assert (data["count"], data["level"], data["note"]) == (n, n * 0.5 + channel, f"né {n}")


@pytest.mark.parametrize("path", [None, *SHARED], ids=lambda path: path.name if path else "made here")
def test_hundreds_of_channels_come_back_whole(server, client, name, tmp_path, path):
    from mcap.reader import make_reader

    if path is None:
        path = tmp_path / "many.mcap"
        write(path, channels=650, messages=2)
    inject(server, name, path)
    with path.open("rb") as file:
        times = {}
        for _, channel, message in make_reader(file).iter_messages():
            times.setdefault("/" + channel.topic.strip("/"), []).append(message.log_time)
    topics = client.sequence_handler(name).topics
    assert sorted(topics) == sorted(times)
    for topic in topics:
        assert [message.timestamp_ns for message in sdk.read(client, name, topic)] == sorted(times[topic])


@pytest.mark.parametrize("path", ODD, ids=lambda path: path.name)
def test_odd_files_leave_nothing_behind(server, client, name, path):
    with pytest.raises(Exception):
        inject(server, name, path)
    assert client.sequence_handler(name) is None
