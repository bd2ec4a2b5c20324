"""Some columns and some rows of a topic: `tessera_columns` and `tessera_where` beside `resource_locator`, carried by tickets."""

import json
import os

import pyarrow as pa
import pyarrow.flight as fl
import pytest

from harness.codes import refused
from harness.flight import Client

VECTOR = pa.struct([("x", pa.float64()), ("y", pa.float64())])
SCHEMA = pa.schema([pa.field("timestamp_ns", pa.int64(), nullable=False), ("image", pa.binary()), ("v", VECTOR),
                    ("path", pa.list_(VECTOR)), ("n", pa.int32())])


def row(n):
    vector = {"x": float(n), "y": -float(n)}
    return {"timestamp_ns": n, "image": os.urandom(2_000_000), "v": None if n % 7 == 3 else vector,
            "path": [vector] * (n % 3), "n": n}


@pytest.fixture(scope="module")
def recorded(server):
    with Client(server.location) as client:
        batches = [pa.RecordBatch.from_pylist([row(n) for n in range(first, first + 6)], SCHEMA) for first in range(0, 24, 6)]
        client.create_sequence("drive")
        session = client.create_session("drive")
        client.record(session, "drive/cam", batches, tag="Cam", schema=SCHEMA)
        small = [batch.select(["timestamp_ns", "v", "path", "n"]) for batch in batches]
        client.record(session, "drive/small", small, tag="Cam", schema=small[0].schema)
        client.finalize(session)
        return {"drive/cam": pa.Table.from_batches(batches), "drive/small": pa.Table.from_batches(small)}


def select(client, locator, start=None, **more):
    return client.select(locator, start, **more)


def test_columns_come_alone(recorded, client, server):
    everything = recorded["drive/cam"]
    before = read_bytes(server)
    table = select(client, "drive/cam", columns=["n"])
    assert table.column_names == ["timestamp_ns", "n"] and table.column("n").equals(everything.column("n"))
    spent = read_bytes(server) - before
    assert spent < 0.04 * everything.nbytes, f"{spent} bytes of {everything.nbytes} read for one small column"
    for locator in recorded:
        inner = select(client, locator, columns=["v.y", "path.x"])
        assert inner.schema.names == ["timestamp_ns", "v", "path"] and inner.schema.field("v").type == pa.struct([("y", pa.float64())])
        assert inner.schema.field("path").type == pa.list_(pa.struct([("x", pa.float64())]))
        for own, whole in zip(inner.to_pylist(), recorded[locator].to_pylist()):
            assert own["v"] == (whole["v"] and {"y": whole["v"]["y"]})
            assert own["path"] == [{"x": item["x"]} for item in whole["path"]]
    assert select(client, "drive/cam", columns=[]).column_names == ["timestamp_ns"]


def test_other_columns_are_read_where_rows_are_hit(recorded, client, server):
    """What decides comes first; of the rest only pages with a hit are read. Each read is rounded to blocks of 64 KiB."""
    everything, block = recorded["drive/cam"], 64 << 10
    tail = sum(path.stat().st_size for path in server.data.rglob("*.par*")) - sum(t.nbytes for t in recorded.values())
    for where, hits in [({"Cam.n": {"$eq": 13}}, [13]), ({"Cam.v.x": {"$between": [6, 8]}}, [6, 7, 8]), ({"Cam.n": {"$gt": 99}}, [])]:
        before = read_bytes(server)
        table = select(client, "drive/cam", where=where)
        spent = read_bytes(server) - before
        assert table.to_pylist() == [row for row in everything.to_pylist() if row["n"] in hits]
        # Per row two pages at most to look at (n and v lie on both sides of the image), and two blocks too many for each hit.
        allowed = max(tail, block) + 24 * 4 * block + len(hits) * (2_000_000 + 4 * block)
        assert spent <= allowed, f"{spent} bytes read for {len(hits)} rows of 2 MB, {allowed} allowed"


def test_a_4k_topic_is_not_read_for_a_small_column(own_server):
    size, rows = 3840 * 2160 * 3, 8
    schema = pa.schema([pa.field("timestamp_ns", pa.int64(), nullable=False), ("data", pa.binary()), ("format", pa.utf8()),
                        ("width", pa.int32()), ("height", pa.int32())])
    with Client(own_server.location) as client:
        pixels = os.urandom(size)
        batches = [pa.RecordBatch.from_pydict({"timestamp_ns": [n], "data": [pixels], "format": ["raw"], "width": [3840],
                                               "height": [2160 + n]}, schema) for n in range(rows)]
        client.create_sequence("drive")
        session = client.create_session("drive")
        client.record(session, "drive/cam", batches, tag="Cam", schema=schema)
        client.finalize(session)

        def spent(**more):
            before = read_bytes(own_server)
            table = select(client, "drive/cam", **more)
            return table, read_bytes(own_server) - before

        table, bytes_read = spent(columns=["height"])
        assert table.column("height").to_pylist() == [2160 + n for n in range(rows)]
        assert bytes_read <= 0.01 * rows * size, f"{bytes_read} bytes for one small column of {rows * size}"
        table, bytes_read = spent(where={"Cam.height": {"$eq": 2165}})
        assert table.num_rows == 1 and table.column("data")[0].as_py() == pixels
        assert bytes_read <= size + 0.01 * rows * size, f"{bytes_read} bytes for one row of {rows * size}"
        table, bytes_read = spent(columns=["width", "format"], where={"Cam.height": {"$neq": 2165}})
        assert table.num_rows == rows - 1
        assert bytes_read <= 0.02 * rows * size, f"{bytes_read} bytes for three small columns of {rows * size}"


def read_bytes(server):
    with open(f"/proc/{server.pid}/io") as file:
        return int(dict(line.split(": ") for line in file.read().splitlines())["read_bytes"])


def test_rows_are_chosen(recorded, client):
    for locator, whole in recorded.items():
        rows = whole.to_pylist()
        table = select(client, locator, where={"Cam.v.x": {"$between": [2, 9]}})
        assert table.schema.equals(whole.schema)
        assert table.to_pylist() == [r for r in rows if r["v"] and 2 <= r["v"]["x"] <= 9]
        table = select(client, locator, start=5, columns=["n"], where={"Cam.v.x": {"$between": [2, 9]}})
        expected = [r["n"] for r in rows if r["v"] and 2 <= r["v"]["x"] <= 9 and r["timestamp_ns"] >= 5]
        assert table.column_names == ["timestamp_ns", "n"] and table.column("n").to_pylist() == expected
        assert select(client, locator, where={"Cam.n": {"$gt": 99}}).num_rows == 0
        assert select(client, locator, where={}).num_rows == len(rows)


@pytest.mark.parametrize("more, key", [
    ({"columns": "n"}, '"tessera_columns"'), ({"where": []}, '"tessera_where'), ({"where": {"Cam.n": {"$like": 1}}}, "$like"),
    ({"colums": ["n"]}, '"tessera_colums": unknown; there are tessera_columns'), ({"limit": 1}, "tessera_limit"),
    ({"columns": ["x" * 5000]}, "tessera_columns"), ({"where": {"Cam.n": {"$eq": 1}, "B.n": {"$eq": 1}}}, "B")])
def test_mistakes_are_named(recorded, client, more, key):
    with refused("INVALID_ARGUMENT") as caught:
        select(client, "drive/cam", **more)
    assert key in caught.text


def test_keys_of_others_are_left_to_them(recorded, client):
    """An SDK of another generation may send what we do not know."""
    request = {"resource_locator": "drive/cam", "columns": ["n"], "timestamp_range": 1}
    info = client.flight.get_flight_info(fl.FlightDescriptor.for_command(json.dumps(request).encode()))
    assert len(info.endpoints) == 1


def test_another_tag_is_refused(recorded, client):
    with refused("INVALID_ARGUMENT"):
        select(client, "drive/cam", where={"Other.n": {"$eq": 1}})


def test_export_writes_parquet(recorded, server, tmp_path):
    import pyarrow.parquet as pq

    from harness import cli

    run = cli.tessera("export", "drive", "--to", tmp_path, "--where", "Cam.n between 3 and 8", "--server", server.location)
    assert {row["rows"] for row in cli.lines(run)} == {6}
    for locator, whole in recorded.items():
        assert pq.read_table(tmp_path / f"{locator}.parquet").equals(whole.slice(3, 6)), locator
    run = cli.tessera("export", "drive/cam", "--to", tmp_path, "--column", "n", "--start", 5, "--server", server.location)
    assert [row["rows"] for row in cli.lines(run)] == [19]
    assert pq.read_table(tmp_path / "drive/cam.parquet").column_names == ["timestamp_ns", "n"]
    assert not list(tmp_path.rglob("*.part"))
    assert cli.tessera("export", "drive", "--to", tmp_path, "--where", "topic.tag = 'Cam'").returncode == 2
