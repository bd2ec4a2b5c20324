"""Schemas come back exactly: the SDK hashes their text, and calls a message unmodeled when one letter differs."""

import datetime
import decimal

import pyarrow as pa
import pytest

from harness import rows

F = pa.field
CORPUS = {
    "every integer": [F(f"c_{t}", t) for t in (pa.int8(), pa.int16(), pa.int32(), pa.int64(),
                                               pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())],
    "every float": [F("half", pa.float16()), F("single", pa.float32()), F("double", pa.float64())],
    "text and bytes": [F("text", pa.utf8()), F("bytes", pa.binary()), F("flag", pa.bool_())],
    "large text and bytes": [F("text", pa.large_utf8()), F("bytes", pa.large_binary())],
    "not null everywhere": [F("a", pa.struct([F("b", pa.list_(F("item", pa.int32(), False)), False)]), False)],
    "lists": [F("a", pa.list_(pa.float32())), F("b", pa.list_(F("element", pa.int8()))), F("c", pa.large_list(pa.utf8()))],
    "lists of lists": [F("a", pa.list_(pa.list_(pa.float32())))],
    "fixed size lists": [F("a", pa.list_(pa.float64(), 9), False), F("b", pa.list_(pa.int16(), 3))],
    "lists of structs": [F("a", pa.list_(pa.struct([F("x", pa.float64()), F("name", pa.utf8(), False)])))],
    "deep structs": [F("a", pa.struct([F("b", pa.struct([F("c", pa.struct([F("d", pa.uint64())]))]))]))],
    "maps": [F("a", pa.map_(pa.utf8(), pa.int32()))],
    "times": [F("a", pa.timestamp("ns")), F("b", pa.timestamp("us", "UTC")), F("c", pa.date32()), F("d", pa.duration("ns")),
              F("e", pa.time64("us"))],
    "decimals": [F("a", pa.decimal128(20, 4))],
    "fixed size binary": [F("a", pa.binary(16))],
    "field metadata": [F("a", pa.int32(), metadata={"description": "a number", "k": "v"})],
    "odd names": [F("Ünï cödé", pa.int32()), F("a.b", pa.int32()), F("", pa.int32())],
    "the imu": list(rows.IMU)[1:],
}


def sample(type_, n):
    """A value of a type that depends on n, with nulls where they may be."""
    if pa.types.is_boolean(type_):
        return n % 2 == 0
    if pa.types.is_integer(type_):
        return n % 100
    if pa.types.is_floating(type_):
        return n * 0.5
    if pa.types.is_fixed_size_binary(type_):
        return bytes([n % 256]) * type_.byte_width
    if pa.types.is_binary(type_) or pa.types.is_large_binary(type_):
        return b"\0\xff" * (n % 5)
    if pa.types.is_string(type_) or pa.types.is_large_string(type_):
        return "né" * (n % 4)
    if pa.types.is_decimal(type_):
        return decimal.Decimal(n) / 4
    if pa.types.is_timestamp(type_) or pa.types.is_date(type_) or pa.types.is_duration(type_) or pa.types.is_time(type_):
        return pa.scalar(n, pa.int32() if type_.bit_width == 32 else pa.int64()).cast(type_).as_py() if not (
            pa.types.is_time(type_)) else datetime.time(microsecond=n)
    if pa.types.is_map(type_):
        return [(f"k{i}", i) for i in range(n % 3)]
    if pa.types.is_fixed_size_list(type_):
        return [sample(type_.value_type, n + i) for i in range(type_.list_size)]
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return [maybe(type_.value_field, n + i) for i in range(n % 4)]
    if pa.types.is_struct(type_):
        return {field.name: maybe(field, n) for field in type_}
    raise AssertionError(type_)


def maybe(field, n):
    return None if field.nullable and n % 7 == 3 else sample(field.type, n)


def table_of(fields, count=50):
    arrays = [pa.array([10 * n for n in range(count)], pa.int64())]
    arrays += [pa.array([maybe(field, n) for n in range(count)], field.type) for field in fields]
    return pa.record_batch(arrays, schema=pa.schema([rows.TIME, *fields]))


@pytest.mark.parametrize("corpus", CORPUS)
def test_schema_and_values_come_back_exactly(client, name, corpus):
    batch = table_of(CORPUS[corpus])
    client.record_sequence(name, {"a": [batch.slice(0, 20), batch.slice(20)]})
    for schema in (client.schema(f"{name}/a"), client.read(f"{name}/a").schema):
        assert str(pa.struct(list(schema))) == str(pa.struct(list(batch.schema)))
        assert [f.nullable for f in schema] == [f.nullable for f in batch.schema]
    table = client.read(f"{name}/a").replace_schema_metadata(None)
    assert table.equals(pa.Table.from_batches([batch]))


@pytest.mark.parametrize("corpus", CORPUS)
def test_a_window_cuts_rows_exactly(client, name, corpus):
    batch = table_of(CORPUS[corpus])
    client.record_sequence(name, {"a": [batch]})
    table = client.read(f"{name}/a", 105, 305).replace_schema_metadata(None)
    assert table.equals(pa.Table.from_batches([batch.slice(11, 20)]))


def test_time_need_not_be_the_first_column(client, name):
    batch = pa.record_batch([pa.array(["b", "a"]), pa.array([2, 1], pa.int64())],
                            schema=pa.schema([F("text", pa.utf8()), rows.TIME]))
    client.record_sequence(name, {"a": [batch]})
    table = client.read(f"{name}/a")
    assert table.column_names == ["text", "timestamp_ns"]
    assert table.column("text").to_pylist() == ["a", "b"]


def test_odd_floats_keep_their_bits(client, name):
    bits = [0x7FF8000000000001, 0xFFF8000000000000, 0x8000000000000000, 0x7FF0000000000000, 1, 0x7FF4000000000000]
    values = pa.array(bits, pa.uint64()).view(pa.float64())
    batch = pa.record_batch([pa.array(range(len(bits)), pa.int64()), values],
                            schema=pa.schema([rows.TIME, F("value", pa.float64())]))
    client.record_sequence(name, {"a": [batch]})
    back = client.read(f"{name}/a").column("value").combine_chunks()
    assert back.view(pa.uint64()).to_pylist() == bits
