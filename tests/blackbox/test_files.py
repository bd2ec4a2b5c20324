"""The files of a finalized session are plain Parquet, read without the daemon; damage to them is an error, never fewer rows."""

import pyarrow as pa
import pyarrow.parquet
import pytest

from harness import rows
from harness.codes import refused
from harness.flight import Client

KINDS = {
    "small rows": [rows.counters(range(n, n + 500), n) for n in range(0, 2000, 500)],
    "imu": [rows.imu(range(1000))],
    "large rows": [rows.blobs(range(n, n + 4), 300_000) for n in range(0, 40, 4)],
    "one row": [rows.blobs([1], 5_000_000)],
}


@pytest.mark.parametrize("kind", KINDS)
def test_pyarrow_reads_them(own_server, kind):
    with Client(own_server.location) as client:
        client.record_sequence("drive", {"a": KINDS[kind]})
    own_server.stop()
    tables = []
    for path in own_server.files():
        file = pyarrow.parquet.ParquetFile(path)
        assert file.schema_arrow.remove_metadata().equals(KINDS[kind][0].schema.remove_metadata())
        assert file.metadata.metadata[b"tessera:name"] == b"drive/a"
        tables.append(file.read())
    table = pa.concat_tables(tables).sort_by("timestamp_ns").replace_schema_metadata(None)
    assert table.equals(rows.in_time_order(KINDS[kind]))
    own_server.start()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", ["a bit", "the tail", "the file"])
def test_damage_is_an_error(own_server, kind, damage):
    with Client(own_server.location) as client:
        client.record_sequence("drive", {"a": KINDS[kind], "b": [rows.counters([1])]})
        own_server.stop()
        path = max(own_server.files(), key=lambda path: path.stat().st_size)
        if damage == "a bit":
            content = bytearray(path.read_bytes())
            content[len(content) // 3] ^= 4
            path.write_bytes(content)
        elif damage == "the tail":
            with path.open("r+b") as file:
                file.truncate(path.stat().st_size - 100)
        else:
            path.unlink()
        own_server.start()
        with refused("DATA_LOSS"):
            client.read("drive/a")
        assert client.read("drive/b").num_rows == 1
        client.delete_sequence("drive")


def test_a_query_names_what_is_in_its_way_and_the_way_around(own_server):
    with Client(own_server.location) as client:
        for name in ("good", "bad"):
            client.record_sequence(name, {"a": [rows.counters(range(1000))]})
            if name == "bad":
                own_server.stop()
                path = max(own_server.files(), key=lambda path: path.stat().st_mtime_ns)
                content = bytearray(path.read_bytes())
                content[len(content) // 3] ^= 4
                path.write_bytes(content)
                own_server.start()
        rows_of = {"Counter.value": {"$gt": 900}, "Counter.text": {"$match": "row 99?"}}
        with refused("DATA_LOSS") as caught:
            client.action("query", {"ontology": rows_of})
        told = str(caught.error)
        assert "leave its sequence or topic out by name" in told and told.count("topic bad/a:") == 1, told
        found = client.action("query", {"ontology": rows_of, "sequence": {"name": {"$neq": "bad"}}})
        assert [item["sequence"] for item in found["items"]] == ["good"], found


def test_rows_of_an_open_session_are_not_in_the_way(own_server):
    with Client(own_server.location) as client:
        client.create_sequence("drive")
        session = client.create_session("drive")
        client.record(session, "drive/a", [rows.counters([1])])
        own_server.crash()
        client.finalize(session)
        assert client.read("drive/a").num_rows == 1
