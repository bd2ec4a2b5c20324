"""`tessera query`: the language, windows, and what --explain tells."""

import json

import pyarrow as pa
import pytest

from harness import cli
from harness.flight import Client

SCHEMA = pa.schema([pa.field("timestamp_ns", pa.int64(), nullable=False), ("x", pa.float64())])

# Ten rows a chunk, and later chunks have larger values.
CONFIG = "[chunk]\nrows_max = 10\n"


@pytest.fixture(scope="module")
def recorded(server):
    with Client(server.location) as client:
        for name, color in (("drive_1", "red"), ("drive_2", "blue")):
            client.create_sequence(name, {"vehicle": color})
            session = client.create_session(name)
            batches = [pa.RecordBatch.from_pylist([{"timestamp_ns": n * 1000, "x": float(n)} for n in range(first, first + 10)], SCHEMA)
                       for first in range(0, 400, 10)]
            client.record(session, f"{name}/imu", batches, tag="Imu", schema=SCHEMA)
            client.finalize(session)
    return server


def query(server, *arguments):
    return cli.tessera("query", *arguments, "--server", server.location)


def found(server, *arguments):
    return cli.lines(query(server, *arguments))


def test_topics_are_found(recorded):
    assert found(recorded, 'Imu.x > 398 and sequence.metadata.vehicle = "red"') == [{"topic": "drive_1/imu", "tag": "Imu"}]
    assert found(recorded, "Imu.x > 1000") == []
    assert len(found(recorded, "topic.tag = 'Imu' or Imu.x < 0")) == 2
    assert found(recorded, "Imu.x >= 0", "--in", "drive_2") == [{"topic": "drive_2/imu", "tag": "Imu"}]
    assert len(found(recorded, "Imu.x >= 0", "--limit", "1")) == 1


def test_windows_are_printed(recorded):
    windows = found(recorded, "Imu.x between 10 and 12 or Imu.x = 50", "--in", "drive_1", "--windows", "1us")
    assert [(row["start_ns"], row["end_ns"]) for row in windows] == [(10_000, 12_000), (50_000, 50_000)]


def test_explain_says_what_was_skipped(recorded):
    run = query(recorded, "Imu.x = 205", "--explain")
    assert len(cli.lines(run)) == 2
    assert "chunks      80: 0 skipped by times, segments or columns, 78 by their own statistics, 2 left" in run.stderr, run.stderr
    assert "rows        20 decoded, 2 matched" in run.stderr, run.stderr


def test_the_wire_s_json_can_be_seen(recorded):
    run = query(recorded, "Imu.x > 1", "--json")
    assert json.loads(run.stdout) == {"ontology": {"Imu.x": {"$gt": 1}}}


@pytest.mark.parametrize("expression, said", [("Imu.x >", "character 7"), ("Imu.x like '['", "Imu.x"), ("sequence.size = 1", "sequence.size")])
def test_mistakes_are_said(recorded, expression, said):
    run = query(recorded, expression)
    assert run.returncode == 1 and said in run.stderr, run.stderr
