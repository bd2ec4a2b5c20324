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
    assert "20  decoded and looked at" in run.stderr, run.stderr
    assert ["2", "matched (10.0%)"] in said and ["18", "looked at in vain"] in said, run.stderr


def test_the_wire_s_json_can_be_seen(recorded):
    run = query(recorded, "Imu.x > 1", "--json")
    assert json.loads(run.stdout) == {"ontology": {"Imu.x": {"$gt": 1}}}
    run = query(recorded, "Imu.x > 1e400", "--json")
    assert run.returncode == 2 and "1e400 is out of range" in run.stderr and run.stdout == "", run.stderr


@pytest.mark.parametrize("expression, said", [("Imu.x >", "character 7"), ("Imu.x like '['", "Imu.x"), ("sequence.size = 1", "sequence.size")])
def test_mistakes_are_said(recorded, expression, said):
    run = query(recorded, expression)
    # What the language does not have is wrong usage; fields and patterns the server judges.
    assert run.returncode == (2 if "character" in said else 1) and said in run.stderr, run.stderr


def test_the_help_has_the_whole_language():
    shown = cli.tessera("query", "--help").stdout
    for word in ("Tag.path", "[?]", "[!]", "sequence.metadata", "sequence.created", "topic.tag", "topic.format", "!=", "like", "~", "in (",
                 "between", "outside", "exists", "missing", "and, or, not", "--plot", "--png"):
        assert word in shown, word
    assert "--format mcap" in cli.tessera("export", "--help").stdout


# Fields that nobody has


@pytest.mark.parametrize("expression, said", [
    ("Imu.acceleraton = 1", "none of 2 topics with the tag Imu has the field acceleraton; there are timestamp_ns, x"),
    ("Imu.X > 1", "(did you mean Imu.x?)"), ("Imu.x[0] > 1", "has the field x[0]"),
    ("Odd.sped > 1 and Odd.speed > 1", "of 1 topic with the tag Odd has the field sped (did you mean Odd.speed?)"),
    ("Odd.scan[?].x > 1", "has the field scan[?].x"),
    ('topic.tag = "IMU"', "no topic has the tag IMU (did you mean Imu?)"),
    ("IMU.x > 1", "no topic has the tag IMU (did you mean Imu?); there are Imu (2 topics), Odd (1 topic)"),
    ("not Imu.y = 1 and sequence.name = 'none'", "has the field y"),
    ("sequence.metadata.vehicel = 'red'", "no sequence has the metadata vehicel"),
    ("Imu.x > 1 and topic.metadata.vehicle = 'red'", "no topic has the metadata vehicle"),
])
def test_a_field_that_nobody_has_is_said(recorded, expression, said):
    run = query(recorded, expression)
    assert cli.lines(run) == [] and said in run.stderr, run.stderr
    assert run.stderr.startswith("tessera: nothing was found: ") and run.stderr.count("\n") == 1, run.stderr


@pytest.mark.parametrize("expression, said", [
    ("Imu.x = 'a'", "Imu.x is a number: no value of it can be compared with a text"),
    ("Odd.frame > 5 and Imu.x > 0", "Odd.frame is a text: no value of it can be compared with a number"),
    ("Odd.blob = 'abc'", "Odd.blob is bytes"), ("Odd.scan > 1", "Odd.scan is a list: name an element, such as Odd.scan[0], or Odd.scan[?]"),
    ("Imu.x between 10 and 9", "Imu.x between 10 and 9 holds for nothing"),
    ("sequence.created > '2026-01-01'", "sequence.created is a number, of nanoseconds since 1970"),
])
def test_a_condition_that_nothing_can_satisfy_is_said(recorded, expression, said):
    run = query(recorded, expression)
    assert cli.lines(run) == [] and said in run.stderr and run.stderr.count("\n") == 1, run.stderr


def test_where_nothing_is_there_is_nothing_to_ask(recorded):
    for locator in ("nope", "drive_1/nope"):
        for expression in ("topic.tag = 'Imu'", "Imu.x > -1"):
            run = query(recorded, expression, "--in", locator)
            assert run.returncode == 1 and "NotFound" in run.stderr and locator in run.stderr, run.stderr
    assert found(recorded, "Imu.x > 1000", "--in", "drive_1/imu") == []


def test_windows_that_nobody_could_mean_are_refused(recorded, tmp_path):
    alternatives = ("Imu.x > 398 or Odd.speed > 48", "sequence.name = 'drive_1' and (Imu.x > 398 or sequence.metadata.n = 7)")
    for expression in alternatives:
        for form in (("--windows", "5s"), ("--plot",), ("--png", tmp_path / "a.png")):
            run = query(recorded, expression, *form)
            assert run.returncode == 2 and "in a query of its own" in run.stderr and run.stdout == "", run.stderr
        assert found(recorded, expression) != []
    assert list(tmp_path.iterdir()) == []
    run = query(recorded, "Imu.x > 1", "--windows", "0ms")
    assert run.returncode == 2 and "1ns" in run.stderr, run.stderr
    assert len(found(recorded, "Imu.x < 5", "--in", "drive_1", "--windows", "1ns")) == 5


def test_an_answer_without_hits_needs_no_word(recorded):
    for expression in ("Imu.x > 1000", "Imu.timestamp_ns < 0", "Odd.scan[?] > 1000", "sequence.name = 'none'"):
        run = query(recorded, expression)
        assert cli.lines(run) == [] and run.stderr == "", run.stderr
    run = query(recorded, "Odd.speed > 1", "--in", "drive_2")
    assert cli.lines(run) == [] and "no topic has the tag Odd; there are Imu (1 topic)" in run.stderr, run.stderr


# Drawings


def dots(line):
    return any("\u2801" <= c <= "\u28ff" for c in line)


def test_a_plot_shows_the_values_around_the_hits(recorded):
    run = query(recorded, "Imu.x between 150 and 250", "--in", "drive_1", "--plot")
    assert run.returncode == 0 and run.stderr == "", run.stderr
    lines = run.stdout.splitlines()
    # 50 rows before and behind the hits, as many as come in that time.
    assert lines[0] == "drive_1/imu  Imu.x  201 values, 100 … 300, ▲ hits", run.stdout
    assert all(dots(line) for line in lines[1:13]) and "\x1b" not in run.stdout, run.stdout
    rise = [next(n for n, c in enumerate(line) if dots(c)) for line in lines[1:13]]
    assert rise == sorted(rise, reverse=True) and all(len(line) <= 80 for line in lines)
    assert 0.45 < lines[14].count("▲") / lines[13].count("─") < 0.55, run.stdout
    assert any(line.startswith("200 ┤") for line in lines), run.stdout
    assert "0.0001 s" in lines[15] and "200.0µs" in lines[15], lines[15]


def test_every_number_of_every_topic_has_a_chart(recorded):
    run = query(recorded, "(Odd.speed >= 0 or Odd.scan[?] > 0 or Odd.on = true) and Odd.frame = 'base'", "--plot")
    charts = [line for line in run.stdout.splitlines() if "drive_1/odd" in line]
    assert [chart.split("  ")[1] for chart in charts] == ["Odd.on", "Odd.scan[?]", "Odd.speed [m/s]"], run.stderr
    assert "100 values, -99 … 99" in charts[1] and "100 values, 0 … 49" in charts[2], charts
    assert len([line for line in query(recorded, "Imu.x > 5", "--plot").stdout.splitlines() if "Imu.x" in line]) == 2


def test_a_terminal_gives_its_width_and_colours_unless_it_is_asked_not_to(recorded):
    arguments = ("query", "Imu.x > 5", "--in", "drive_1", "--plot", "--server", recorded.location)
    shown = cli.screen(*arguments, columns=120)
    plain = cli.screen(*arguments, columns=120, env={**os.environ, "NO_COLOR": "1"})
    assert "\x1b[36m" in shown and "\x1b" not in plain
    assert max(len(line) for line in plain.splitlines()[1:]) == 120
    narrow = cli.tessera(*arguments, env={**os.environ, "COLUMNS": "50"}).stdout.splitlines()
    assert max(len(line) for line in narrow[1:]) == 50


def picture(path):
    """Width and rows of a picture of one byte a pixel."""
    data, at, pixels = path.read_bytes(), 8, b""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        content = data[at + 8:at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length:at + 12 + length])[0] == zlib.crc32(kind + content)
        if kind == b"IHDR":
            width, height = struct.unpack(">II", content[:8])
        pixels += content if kind == b"IDAT" else b""
        at += 12 + length
    flat = zlib.decompress(pixels)
    assert len(flat) == height * (width + 1)
    return width, [flat[row * (width + 1) + 1:(row + 1) * (width + 1)] for row in range(height)]


def test_a_picture_is_written(recorded, tmp_path):
    file = tmp_path / "new" / "imu.png"
    run = query(recorded, "Imu.x > 200", "--png", file)
    assert run.returncode == 0 and run.stdout == "" and run.stderr == "", run.stderr
    width, rows = picture(file)
    assert (width, len(rows)) == (1200, 680), "two charts"
    line, hit = 3, 4
    assert all(any(row[x] == line for row in rows[:340]) for x in range(100, 1170)), "the line has no hole"
    marked = [x for x in range(width) if any(row[x] == hit for row in rows[:340])]
    assert 250 < marked[0] < 350 and marked == list(range(marked[0], 1176)), "hits that follow each other are one stretch"
    assert not list(tmp_path.rglob("*.part"))


def test_what_cannot_be_drawn_is_said(recorded, tmp_path):
    file = tmp_path / "a.png"
    for expression, said in [("Odd.frame = 'base'", "there is no number to draw: Odd.frame is text"),
                             ("Odd.scan exists", "Odd.scan is a list: name an element"),
                             ("Imu.timestamp_ns > 5", "nothing to draw"), ("topic.tag = 'Imu'", "names no field of rows")]:
        run = query(recorded, expression, "--plot", "--png", file)
        assert run.returncode == 1 and said in run.stderr and run.stdout == "", (expression, run.stderr)
    run = query(recorded, "Imu.x > 1000", "--plot", "--png", file)
    assert run.returncode == 0 and "no hits, so nothing is drawn" in run.stderr and run.stdout == "", run.stderr
    assert list(tmp_path.iterdir()) == [], "nothing is left of what failed"
    file.write_text("mine")
    run = query(recorded, "Imu.x > 5", "--png", file)
    assert run.returncode == 1 and "a.png is there already" in run.stderr and file.read_text() == "mine", run.stderr
    run = query(recorded, "Imu.x > 5", "--png", file / "below.png")
    assert run.returncode == 1 and "below.png" in run.stderr, run.stderr
    assert query(recorded, "Imu.x > 5", "--plot", "--windows", "1s").returncode == 2


def test_only_the_column_that_is_drawn_is_read(recorded):
    """The blobs beside it are 10 MB, incompressible."""
    def read():
        with open(f"/proc/{recorded.pid}/io") as file:
            return int(dict(line.split(": ") for line in file.read().splitlines())["read_bytes"])

    before = read()
    assert query(recorded, "Odd.speed > 1", "--plot").returncode == 0
    assert read() - before < 3_000_000, "bytes read for a column of 400"
