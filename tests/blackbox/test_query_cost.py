"""What a query may cost: it ends with its client, and every limit on it holds."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import pyarrow as pa
import pytest

from harness.codes import refused
from harness.flight import Client
from harness.server import ROOT
from harness.waiting import until

WORDS = pa.schema([pa.field("timestamp_ns", pa.int64(), nullable=False), ("word", pa.utf8())])
ROWS, BATCHES = 10_000, 30
TICKS = os.sysconf("SC_CLK_TCK")

# Patterns that take their time with each row, and match none.
SLOW = {"ontology": {"Words.word": {"$or": [{"$match": f"*a*b*{n}?x"} for n in range(200)]}}}

CHILD = """
import json, sys
sys.path.insert(0, {tests!r})
from harness.flight import Client
Client({location!r}).action("query", json.loads({query!r}))
"""


@pytest.fixture(scope="module")
def words(server):
    texts = pa.array([f"{n:06}ab{'ab' * 8}" for n in range(ROWS)])
    batches = [pa.record_batch([pa.array(range(n * ROWS, (n + 1) * ROWS)), texts], schema=WORDS) for n in range(BATCHES)]
    with Client(server.location) as client:
        client.create_sequence("words")
        session = client.create_session("words")
        client.record(session, "words/a", batches, tag="Words")
        client.finalize(session)


def cpu_seconds(server):
    fields = pathlib.Path(f"/proc/{server.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def idle(server):
    """Waits until the server has nothing to do, and returns what it has used in all."""
    seen = []

    def still():
        seen.append(cpu_seconds(server))
        return len(seen) > 5 and seen[-1] - seen[-5] <= 0.02 * 4

    until(still, "the server to come to rest", 60, interval=0.1)
    return cpu_seconds(server)


def test_a_query_ends_with_its_client(server, words, client):
    """Goal: nobody pays for an answer that nobody waits for. Method: by CPU time, not by the clock: a query whose client is
    killed when it has cost a fifth of a whole one costs less than two thirds of it in all."""
    before = idle(server)
    assert client.action("query", SLOW)["items"] == []
    whole = idle(server) - before
    assert whole > 0.5, "too quick to be ended half-way: more rows are needed"
    before = cpu_seconds(server)
    script = CHILD.format(tests=str(ROOT / "tests"), location=server.location, query=json.dumps(SLOW))
    with subprocess.Popen([sys.executable, "-c", script]) as child:
        until(lambda: cpu_seconds(server) - before > whole / 5, "the query to be under way")
        child.send_signal(signal.SIGKILL)
    spent = idle(server) - before
    assert spent < whole * 2 / 3, f"{spent:.2f} s of {whole:.2f}"


@pytest.mark.parametrize("query", [
    {"ontology": {"Words.word": {"$match": "a" * 257}}},
    {"sequence": {"user_metadata": {f"k{n}": {"$eq": n} for n in range(257)}}},
    {"ontology": {"Words.word": {"$in": ["a"] * 100_001}}},
    {"sequence": {"name": {"$eq": "a" * (1 << 20)}}},
    {"topic": {"locator": {"$match": "(a{1,200}){1,200}"}}},
])
def test_what_is_too_large_is_refused(client, query):
    with refused("INVALID_ARGUMENT"):
        client.action("query", query)
    assert client.action("info", {})


def test_the_measurement_of_queries_runs(tmp_path):
    """`perf/queries.py`, tiny: that it finds what it should, not how fast."""
    out = tmp_path / "queries.json"
    sizes = ["--sequences", "200", "--chunks", "3000", "--drives", "1", "--rows", "200000", "--repeats", "5"]
    done = subprocess.run([sys.executable, ROOT / "perf" / "queries.py", *sizes, "--json", out], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    results = json.loads(out.read_text())
    rows = {row["kind"]: row for row in results["rows"]}
    assert set(rows) == {"metadata", "values", "vain", "windows"}
    assert rows["values"]["explain"]["chunks_read"] == 0, "nothing matches, and nothing is read"
    assert rows["vain"]["vain"] <= 0.01, rows["vain"]
    assert out.with_suffix(".md").read_text().startswith("# Queries")


def test_windows_of_a_long_topic_take_no_more_memory(server, client):
    """Goal: what windows take does not grow with the topic. Method: one whose times alone are 64 MB, each row a window of its own
    or none; the memory at its highest is less than that above what it was."""
    rows, batch = 8_000_000, 200_000
    schema = pa.schema([pa.field("timestamp_ns", pa.int64(), nullable=False), ("high", pa.bool_())])
    high = pa.array([n % 1000 == 0 for n in range(batch)])
    client.create_sequence("long")
    session = client.create_session("long")
    batches = (pa.record_batch([pa.array(range(at, at + batch)), high], schema=schema) for at in range(0, rows, batch))
    client.put("long/a", client.create_topic(session, "long/a", tag="High"), schema, batches)
    client.finalize(session)
    ask = {"locator": "long/a", "clustering_dt_ns": 500, "ontology": {"High.high": {"$eq": True}}}
    client.results("topic_filter_clusterize", ask | {"timestamp_range": {"start_ns": 0, "end_ns": 1_000_000}})
    pathlib.Path(f"/proc/{server.pid}/clear_refs").write_text("5")
    before = peak(server)
    assert len(client.results("topic_filter_clusterize", ask)) == rows // 1000
    assert peak(server) - before < 48 << 20


def peak(server):
    """Bytes of resident memory at its highest since the last reset."""
    status = pathlib.Path(f"/proc/{server.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1]) << 10
