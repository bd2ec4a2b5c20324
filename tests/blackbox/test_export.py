"""`tessera export` as Parquet: what is there afterwards is the result, and nothing else looks like it."""

import json
import subprocess

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness import cli
from harness import rows
from harness.flight import Client
from harness.waiting import until

CONFIG = "[chunk]\nrows_max = 50\n"


@pytest.fixture(scope="module")
def recorded(server):
    with Client(server.location) as client:
        client.create_sequence("drive")
        session = client.create_session("drive")
        client.record(session, "drive/count", [rows.counters(range(100))])
        client.record(session, "drive/more", [rows.counters(range(100, 200), 100)])
        client.record(session, "drive/camera", [rows.blobs(range(5), 1000)], tag="Camera")
        client.finalize(session)
    return server


def export(server, *arguments, to):
    return cli.tessera("export", *arguments, "--to", to, "--server", server.location)


def files(to):
    return sorted(str(path.relative_to(to)) for path in to.rglob("*") if path.is_file())


def test_an_export_without_a_match_leaves_no_older_file(recorded, tmp_path):
    assert len(cli.lines(export(recorded, "drive", to=tmp_path))) == 3
    assert len(files(tmp_path)) == 3
    run = export(recorded, "drive/count", "--where", "Counter.value > 1000", to=tmp_path)
    assert cli.lines(run) == [] and "drive/count has nothing to write: the older" in run.stderr, run.stderr
    assert files(tmp_path) == ["drive/camera.parquet", "drive/more.parquet"]
    assert "older" not in export(recorded, "drive/count", "--start", 5000, to=tmp_path).stderr


def test_a_condition_on_a_field_that_nobody_has_removes_nothing(recorded, tmp_path):
    export(recorded, "drive", to=tmp_path)
    before = files(tmp_path)
    for kind in ("parquet", "mcap"):
        run = export(recorded, "drive/count", "--where", "Counter.valeu > 1", "--format", kind, to=tmp_path)
        assert run.returncode == 1 and "none of 1 topic has the field valeu" in run.stderr and "nothing removed" in run.stderr, run.stderr
        run = export(recorded, "drive/count", "--where", 'Counter.value > "a"', "--format", kind, to=tmp_path)
        assert run.returncode == 1 and "Counter.value is a number" in run.stderr and "nothing removed" in run.stderr, run.stderr
    # Of several one has to hold.
    run = export(recorded, "drive/count", "--where", 'Counter.value > 97 or Counter.value > "a"', to=tmp_path)
    assert [row["rows"] for row in cli.lines(run)] == [2], run.stderr
    run = export(recorded, "drive/count", "--where", 'Counter.value = "b" or Counter.value > "a"', to=tmp_path)
    assert run.returncode == 1 and "nothing removed" in run.stderr, run.stderr
    run = export(recorded, "drive", "--column", "valeu", to=tmp_path)
    assert run.returncode == 1 and "none of 3 topics has the field valeu" in run.stderr, run.stderr
    assert files(tmp_path) == before and len(before) == 3


def test_topics_of_another_tag_are_left_out_with_a_line(recorded, tmp_path):
    run = export(recorded, "drive", "--where", "Counter.value between 90 and 109", to=tmp_path)
    assert [row["rows"] for row in cli.lines(run)] == [10, 10]
    assert "1 topic with another tag than Counter left out: drive/camera" in run.stderr, run.stderr
    assert files(tmp_path) == ["drive/count.parquet", "drive/more.parquet"]
    assert pq.read_table(tmp_path / "drive/more.parquet").column("value").to_pylist() == list(range(100, 110))


def test_topics_without_a_column_are_left_out_with_a_line(recorded, tmp_path):
    export(recorded, "drive", to=tmp_path)
    run = export(recorded, "drive", "--column", "value", to=tmp_path)
    assert [row["rows"] for row in cli.lines(run)] == [100, 100]
    assert "1 topic without value left out: drive/camera" in run.stderr and "older" not in run.stderr, run.stderr
    assert len(files(tmp_path)) == 3
    assert pq.read_table(tmp_path / "drive/more.parquet").column_names == ["timestamp_ns", "value"]
    # Each column is somewhere, and nowhere both.
    ended = export(recorded, "drive", "--column", "value", "--column", "data", to=tmp_path)
    assert ended.returncode == 1 and "none of 3 topics has all of value, data" in ended.stderr, ended.stderr
    assert len(files(tmp_path)) == 3


def test_columns_with_a_dictionary_have_their_values(server, tmp_path):
    words = pa.DictionaryArray.from_arrays(pa.array([0, 1, None, 0], pa.int8()), ["a", "b"])
    levels = pa.DictionaryArray.from_arrays(pa.array([1, 0, None, 1], pa.int32()), ["low", "high"], ordered=True)
    numbers = pa.DictionaryArray.from_arrays(pa.array([1, 0, 1, 0], pa.int32()), pa.array([5, 6], pa.int32()))
    lists = pa.ListArray.from_arrays(pa.array([0, 2, 2, 3, 4], pa.int32()), words)
    structs = pa.StructArray.from_arrays([words, numbers], ["word", "number"])
    columns = {"words": words, "levels": levels, "numbers": numbers, "lists": lists, "structs": structs}
    schema = pa.schema([rows.TIME, *[pa.field(name, column.type, metadata={"of": name}) for name, column in columns.items()]])
    batch = pa.RecordBatch.from_arrays([pa.array(range(4)), *columns.values()], schema=schema)
    with Client(server.location) as client:
        client.record_sequence("coded", {"a": [batch], "b": [rows.counters(range(3))]})
    assert [row["rows"] for row in cli.lines(export(server, "coded", to=tmp_path))] == [4, 3]
    assert files(tmp_path) == ["coded/a.parquet", "coded/b.parquet"]
    table = pq.read_table(tmp_path / "coded/a.parquet")
    assert {name: table.column(name).to_pylist() for name in columns} == {name: column.to_pylist() for name, column in columns.items()}
    assert table.schema.field("levels").type == pa.utf8() and table.schema.field("words").metadata[b"of"] == b"words"


def test_a_name_too_long_for_a_file_costs_its_topic_alone(server, tmp_path):
    name = "x" * 250
    with Client(server.location) as client:
        client.record_sequence("long", {path: [rows.counters(range(3))] for path in ("a", name, "z")})
    run = export(server, "long", to=tmp_path)
    assert run.returncode == 1 and [json.loads(line)["rows"] for line in run.stdout.splitlines()] == [3, 3], run.stderr
    left_out, last = run.stderr.splitlines()
    assert f"long/{name} is left out: {tmp_path}/long/{name}.parquet" in left_out and "File name too long" in left_out, run.stderr
    assert "--format mcap" in left_out and f"long/{name}; everything else is" in last, run.stderr
    assert files(tmp_path) == ["long/a.parquet", "long/z.parquet"]
    (tmp_path / "file").touch()
    run = export(server, "long", to=tmp_path / "file")
    assert run.returncode == 1 and f"--to {tmp_path}/file" in run.stderr and run.stderr.count("\n") == 1, run.stderr


@pytest.mark.parametrize("form", ["parquet", "mcap"])
def test_a_damaged_topic_costs_itself_alone(own_server, tmp_path, form):
    with Client(own_server.location) as client:
        client.record_sequence("drive", {"a": [rows.counters(range(10))], "b": [rows.blobs(range(100), 5000)], "c": [rows.counters(range(30))]})
    own_server.stop()
    worst = max(own_server.files(), key=lambda path: path.stat().st_size)
    content = bytearray(worst.read_bytes())
    content[1000] ^= 1
    worst.write_bytes(content)
    own_server.start()
    (tmp_path / "drive").mkdir()
    if form == "parquet":
        (tmp_path / "drive" / "b.parquet").write_text("older")
    run = export(own_server, "drive", "--format", form, to=tmp_path)
    assert run.returncode == 1 and "drive/b" in run.stderr.splitlines()[-1], run.stderr
    assert "drive/a" not in run.stderr and "DataLoss" in run.stderr, run.stderr
    if form == "parquet":
        assert files(tmp_path) == ["drive/a.parquet", "drive/c.parquet"]
        assert [pq.read_table(tmp_path / f"drive/{name}.parquet").num_rows for name in "ac"] == [10, 30]
    else:
        from mcap.reader import make_reader

        with (tmp_path / "drive.mcap").open("rb") as file:
            topics = [channel.topic for _, channel, _ in make_reader(file).iter_messages()]
        assert (topics.count("/a"), topics.count("/c")) == (10, 30)


def test_an_export_from_a_server_that_dies_lists_what_is_whole(own_server, tmp_path):
    with Client(own_server.location) as client:
        topics = {"a": [rows.counters(range(10))], "b": [rows.blobs([n], 1 << 20) for n in range(400)], "c": [rows.counters(range(10))]}
        client.record_sequence("drive", topics)
    for attempt in range(10):
        to = tmp_path / str(attempt)
        command = [str(cli.binary()), "export", "drive", "--to", str(to), "--server", own_server.location]
        run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        until(lambda: (to / "drive" / "a.parquet").exists() or run.poll() is not None, "the first topic to be whole", interval=0.001)
        own_server.kill()
        listed, said = run.communicate(timeout=60)
        own_server.start()
        if run.returncode != 0:  # it was not faster than us
            break
    assert run.returncode == 5 and "cannot reach" in said, (run.returncode, said)
    assert "not exported, or not whole: drive/b, drive/c" in said, said
    assert [json.loads(line)["file"] for line in listed.splitlines()] == [str(to / "drive" / "a.parquet")], listed
    assert files(to) == ["drive/a.parquet"]
