"""Rows as JSON, of `tessera cat` and in messages of MCAP: every value is what was recorded, and no text of an error looks like one."""

import decimal
import json

import pyarrow as pa
import pytest
from mcap.reader import make_reader

from harness import cli
from harness.flight import Client

END = 2**63 - 1
DIGITS = pa.array([decimal.Decimal("123456789012345678.123"), decimal.Decimal("-0.001"), None], pa.decimal128(21, 3))
COLUMNS = {
    "utc": pa.array([0, 1_500_000, None]).view(pa.timestamp("us", "UTC")),
    "rome": pa.array([0, END, None]).view(pa.timestamp("ns", "Europe/Rome")),
    "there": pa.array([0, -1, None]).view(pa.timestamp("s", "+02:00")),
    "f64": pa.array([float("nan"), float("-inf"), None]),
    "f32": pa.array([[float("inf"), 0.5, None], [], None], pa.list_(pa.float32())),
    "day": pa.array([0, 2**31 - 1, None], pa.int32()).view(pa.date32()),
    "clock": pa.array([0, 86_400, None], pa.int32()).view(pa.time32("s")),
    "lasts": pa.array([1, END, None]).view(pa.duration("s")),
    "digits": DIGITS,
    "texts": pa.array([[("a", 1)], [], None], pa.map_(pa.utf8(), pa.int64())),
    "numbers": pa.array([[(1, 10), (2, None)], [], None], pa.map_(pa.int32(), pa.int64())),
    "word": pa.DictionaryArray.from_arrays(pa.array([0, 1, None], pa.int32()), ["a", "b"]),
    "level": pa.DictionaryArray.from_arrays(pa.array([0, 1, None], pa.int8()), pa.array(["a", None]), ordered=True),
}
ROWS = [
    {"utc": "1970-01-01T00:00:00Z", "rome": "1970-01-01T00:00:00Z", "there": "1970-01-01T02:00:00+02:00", "f64": "NaN",
     "f32": ["Infinity", 0.5, None], "day": "1970-01-01", "clock": "00:00:00", "lasts": "PT1S", "digits": "123456789012345678.123",
     "texts": {"a": 1}, "numbers": [{"key": 1, "value": 10}, {"key": 2, "value": None}], "word": "a", "level": "a"},
    {"utc": "1970-01-01T00:00:01.500Z", "rome": "2262-04-11T23:47:16.854775807Z", "there": "1970-01-01T01:59:59+02:00",
     "f64": "-Infinity", "f32": [], "day": "2147483647", "clock": "86400", "lasts": str(END), "digits": "-0.001", "texts": {},
     "numbers": [], "word": "b", "level": None},
    dict.fromkeys(COLUMNS),
]


@pytest.fixture(scope="module")
def recorded(server):
    time = pa.field("timestamp_ns", pa.int64(), nullable=False)
    schema = pa.schema([time, *[pa.field(name, column.type) for name, column in COLUMNS.items()]])
    batch = pa.RecordBatch.from_arrays([pa.array(range(3)), *COLUMNS.values()], schema=schema)
    with Client(server.location) as client:
        client.record_sequence("odd", {"t": [batch]})
    return server


def test_cat_tells_every_value(recorded):
    lines = cli.lines(cli.tessera("cat", "odd/t", "--server", recorded.location))
    assert lines == [{"timestamp_ns": n, **row} for n, row in enumerate(ROWS)]
    help_text = " ".join(cli.tessera("cat", "--help").stdout.split())
    assert '"NaN", "Infinity", "-Infinity"' in help_text and '"NaN"' in cli.tessera("export", "--help").stdout


def test_messages_tell_every_value_as_their_schema_says(recorded, tmp_path):
    run = cli.tessera("export", "odd", "--to", tmp_path, "--format", "mcap", "--server", recorded.location)
    assert [row["messages"] for row in cli.lines(run)] == [3], run.stderr
    with (tmp_path / "odd.mcap").open("rb") as file:
        messages = [(json.loads(schema.data), json.loads(message.data)) for schema, _, message in make_reader(file).iter_messages()]
    some = [{name: value for name, value in row.items() if value is not None} for row in ROWS]
    assert [message for _, message in messages] == [{"timestamp_ns": n, **row} for n, row in enumerate(some)]
    fields = messages[0][0]["properties"]
    texts = ("utc", "rome", "there", "day", "clock", "lasts", "digits", "word", "level")
    assert all(fields[name]["type"] == "string" for name in texts), fields
    assert fields["f64"]["type"] == "number" and '"NaN"' in fields["f64"]["description"], fields
    assert fields["numbers"]["type"] == "array" and fields["texts"]["type"] == "object", fields
    assert fields["numbers"]["items"]["properties"]["key"] == {"type": "integer"}, fields
