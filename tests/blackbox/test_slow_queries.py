"""A query that takes very long to decide takes nothing from those who record, and ends with its client."""

import os
import pathlib
import random
import threading

import pyarrow as pa
import pytest

from harness import rows
from harness.flight import Client
from harness.server import Server
from harness.waiting import until

# Each takes most of a second on such a text: at every place 150 characters fit before one does not.
TEXT = "".join("".join(random.Random(n).choices("ab", k=150)) + "c" for n in range((1 << 20) // 151))
SLOW = [{"$match": "a[ab]{" + str(200 + n) + "}c"} for n in range(30)]


@pytest.fixture
def one_shard():
    server = Server("slow_queries", config="[shards]\ncount = 1\n")
    yield server.start()
    server.remove()


def test_rows_are_recorded_while_a_slow_query_runs(one_shard):
    with Client(one_shard.location) as client:
        text = pa.record_batch([pa.array([1, 2, 3, 4]), pa.array([TEXT] * 4)], names=["timestamp_ns", "t"])
        client.create_sequence("texts")
        session = client.create_session("texts")
        client.record(session, "texts/t", [text], tag="string")
        client.finalize(session)
        asker = Client(one_shard.location)
        ended = threading.Event()

        def ask():
            try:
                asker.action("query", {"ontology": {"string.t": {"$or": SLOW}}})
            except Exception:
                pass  # its time is up, or we have left
            ended.set()

        thread = threading.Thread(target=ask)
        thread.start()
        until(lambda: cpu_seconds(one_shard, "judge") > 0.1, "the query is being decided", 60)
        client.record_sequence("drive", {"a": [rows.counters(range(100))]})
        assert client.read("drive/a").num_rows == 100
        assert not ended.is_set(), "the query was over first: it proves nothing"
        asker.close()
        one_shard.kill()
        thread.join(60)


def cpu_seconds(server, name):
    """Of the threads with this name."""
    ticks = 0
    for task in pathlib.Path(f"/proc/{server.pid}/task").iterdir():
        if (task / "comm").read_text().strip() == name:
            fields = (task / "stat").read_text().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
