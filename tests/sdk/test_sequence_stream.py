"""The sequence streamer merges all topics by time; windows are half open."""

import pytest

from harness import sdk
from mosaicolabs import Floating64, Integer64

START = 1_700_000_000_000_000_000


@pytest.fixture(scope="module")
def recorded(server):
    """Four topics of different rates, and one without data."""
    topics = {}
    for n in range(4):
        step = (n + 1) * 1_000_000
        messages = [sdk.message(START + n + i * step, Integer64(data=n * 1000 + i)) for i in range(100)]
        topics[f"part/t{n}"] = (Integer64, messages)
    topics["part/none"] = (Floating64, [])
    with sdk.connect(server) as client:
        sdk.record(client, "drive", topics, {"who": "me"})
    return {path: messages for path, (_, messages) in topics.items()}


def merged(recorded, paths=None, start=None, end=None):
    rows = [(message.timestamp_ns, "/" + path, message.data.data) for path, messages in recorded.items()
            for message in messages if paths is None or path in paths]
    return sorted(row for row in rows if (start is None or row[0] >= start) and (end is None or row[0] < end))


def streamed(client, **options):
    handler = client.sequence_handler("drive")
    stream = handler.get_data_streamer(**options)
    rows = [(message.timestamp_ns, topic, message.data.data) for topic, message in stream]
    stream.close()
    handler.close()
    return rows


def test_all_topics_merge_by_time(recorded, client):
    assert streamed(client) == merged(recorded)


def test_some_topics_merge_by_time(recorded, client):
    paths = ["part/t1", "part/t3"]
    assert streamed(client, topics=["/" + path for path in paths]) == merged(recorded, paths)


@pytest.mark.parametrize("first, last", [(None, 50), (50, None), (10, 20), (0, 1), (0, 10**6)])
def test_windows_are_half_open(recorded, client, first, last):
    bounds = {
        "start_timestamp_ns": None if first is None else START + first * 1_000_000,
        "end_timestamp_ns": None if last is None else START + last * 1_000_000,
    }
    assert streamed(client, **bounds) == merged(recorded, None, *bounds.values())


def test_the_next_timestamp_is_seen_before_it_is_taken(recorded, client):
    stream = client.sequence_handler("drive").get_data_streamer()
    for time, _, _ in merged(recorded)[:50]:
        assert stream.next_timestamp() == time
        next(stream)
    stream.close()


def test_a_stream_may_be_left_early(recorded, client):
    """The client resets its streams; the daemon goes on."""
    for _ in range(20):
        stream = client.sequence_handler("drive").get_data_streamer()
        next(iter(stream))
        stream.close()
    assert streamed(client) == merged(recorded)


def test_handlers_know_the_interval(recorded, client):
    handler = client.sequence_handler("drive")
    times = [time for time, _, _ in merged(recorded)]
    assert (handler.timestamp_ns_min, handler.timestamp_ns_max) == (times[0], times[-1])
    topic = client.topic_handler("drive", "part/t2")
    own = [message.timestamp_ns for message in recorded["part/t2"]]
    assert (topic.timestamp_ns_min, topic.timestamp_ns_max) == (own[0], own[-1])
