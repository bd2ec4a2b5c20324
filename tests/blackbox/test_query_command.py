"""`tessera query`: the language, windows, what --explain tells, drawings, and fields that nobody has."""

import json
import os
import struct
import zlib

import pyarrow as pa
import pytest

from harness import cli
from harness.flight import Client

SCHEMA = pa.schema([pa.field("timestamp_ns", pa.int64(), nullable=False), ("x", pa.float64())])

# What an SDK sends: fields say in a description what they are.
SPEED = pa.field("speed", pa.float32(), metadata={"description": "Speed over ground in m/s."})
ODD = pa.schema([pa.field("timestamp_ns", pa.int64(), nullable=False), ("frame", pa.utf8()), SPEED,
                 ("scan", pa.list_(pa.float32())), ("on", pa.bool_()), ("blob", pa.binary())])

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
            if name == "drive_1":
                rows = [{"timestamp_ns": n * 1000, "frame": "base", "speed": float("nan") if n == 30 else n % 50, "on": n > 50,
                         "scan": [n, -n] if n % 2 else None, "blob": os.urandom(100_000)} for n in range(100)]
                client.record(session, "drive_1/odd", [pa.RecordBatch.from_pylist(rows, ODD)], tag="Odd", schema=ODD)
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
    said = [line.split(maxsplit=1) for line in run.stderr.splitlines()]
    assert "chunks             80  considered" in run.stderr, run.stderr
    assert ["78", "skipped by their own statistics (97.5%)"] in said, run.stderr
    assert "rows               20  decoded and looked at" in run.stderr, run.stderr
    assert ["2", "matched (10.0%)"] in said and ["18", "looked at in vain"] in said, run.stderr


def test_the_wire_s_json_can_be_seen(recorded):
    run = query(recorded, "Imu.x > 1", "--json")
    assert json.loads(run.stdout) == {"ontology": {"Imu.x": {"$gt": 1}}}


@pytest.mark.parametrize("expression, said", [("Imu.x >", "character 7"), ("Imu.x like '['", "Imu.x"), ("sequence.size = 1", "sequence.size")])
def test_mistakes_are_said(recorded, expression, said):
    run = query(recorded, expression)
    assert run.returncode == 1 and said in run.stderr, run.stderr


# Fields that nobody has


@pytest.mark.parametrize("expression, said", [
    ("Imu.acceleraton = 1", "none of 2 topics with the tag Imu has the field acceleraton; there are timestamp_ns, x"),
    ("Imu.X > 1", "(did you mean Imu.x?)"), ("Imu.x[0] > 1", "has the field x[0]"),
    ("Odd.sped > 1 and Odd.speed > 1", "of 1 topic with the tag Odd has the field sped (did you mean Odd.speed?)"),
    ("Odd.scan[?].x > 1", "has the field scan[?].x"),
    ("IMU.x > 1", "no topic has the tag IMU (did you mean Imu?); there are Imu (2 topics), Odd (1 topic)"),
    ("not Imu.y = 1 and sequence.name = 'none'", "has the field y"),
])
def test_a_field_that_nobody_has_is_said(recorded, expression, said):
    run = query(recorded, expression)
    assert cli.lines(run) == [] and said in run.stderr, run.stderr
    assert run.stderr.startswith("tessera: nothing was found: ") and run.stderr.count("\n") == 1, run.stderr


def test_an_answer_without_hits_needs_no_word(recorded):
    for expression in ("Imu.x > 1000", "Imu.timestamp_ns < 0", "Odd.scan[?] > 1000", "sequence.name = 'none'"):
        run = query(recorded, expression)
        assert cli.lines(run) == [] and run.stderr == "", run.stderr
    run = query(recorded, "Odd.speed > 1", "--in", "drive_2")
    assert cli.lines(run) == [] and "no topic has the tag Odd; there are Imu (1 topic)" in run.stderr, run.stderr
