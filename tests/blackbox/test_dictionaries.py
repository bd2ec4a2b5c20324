"""Dictionary-encoded columns are recorded and read back: the same type, the same values, in every batch that a reader gets."""

import pyarrow as pa
import pyarrow.flight as fl
import pytest

from harness import rows, wire

F = pa.field
WORDS = [f"word {n}" for n in range(500)]
INDEX_TYPES = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]


def coded(keys, values, index=pa.int32(), ordered=False):
    values = values if isinstance(values, pa.Array) else pa.array(values, pa.utf8())
    return pa.DictionaryArray.from_arrays(pa.array(keys, index), values, ordered=ordered)


def batch(column, first=0, name="kind"):
    times = pa.array(range(first, first + len(column)), pa.int64())
    return pa.record_batch([times, column], schema=pa.schema([rows.TIME, F(name, column.type)]))


def record(client, name, batches):
    client.record_sequence(name, {"a": batches})
    return f"{name}/a"


def values(batches):
    return [value for batch in batches for value in batch.column(1).to_pylist()]


def pairs(table):
    return list(zip(*(column.to_pylist() for column in table.columns)))


def check(client, locator, batches):
    schema = batches[0].schema
    assert client.schema(locator).remove_metadata().equals(schema, check_metadata=True)
    table = client.read(locator)
    assert table.schema.remove_metadata().equals(schema, check_metadata=True)
    assert table.column("kind").to_pylist() == values(batches)
    table.validate(full=True)


@pytest.mark.parametrize("index", INDEX_TYPES, ids=str)
def test_every_index_type(client, name, index):
    keys = [n % 7 if n % 5 else None for n in range(100)]
    batches = [batch(coded(keys, WORDS[:7], index))]
    check(client, record(client, name, batches), batches)


@pytest.mark.parametrize("words", [
    pa.array([1.5, None, -0.0, float("inf")]), pa.array([b"a", b"", None, b"\0"]), pa.array([1, 2, None, 4], pa.int8()),
    pa.array([True, False, None, True]), pa.array(["a", "b", None, "d"], pa.large_utf8()),
    pa.array([1, None, 3, 4], pa.timestamp("ns", "UTC")), pa.array([b"abc", None, b"abd", b"xyz"], pa.binary(3)),
    pa.array([[1, 2], [], None, [3, None]], pa.list_(pa.int16())),
    pa.array([{"x": 1, "y": "a"}, None, {"x": None, "y": "b"}, {"x": 3, "y": None}]),
], ids=lambda words: str(words.type))
def test_every_value_type_with_nulls_in_keys_and_values(client, name, words):
    batches = [batch(coded([0, 1, None, 3, 2, 0, None], words)), batch(coded([3, 3, 1], words), 10)]
    check(client, record(client, name, batches), batches)


def nestings(inner):
    """The array as it is, in lists, in lists of a fixed size, in a struct, and in lists of structs."""
    lists = lambda values: pa.ListArray.from_arrays(pa.array([0, 2, 2, 3, 4], pa.int32()), values)  # noqa: E731
    structs = pa.StructArray.from_arrays([inner], ["x"])
    return [inner, lists(inner), pa.FixedSizeListArray.from_arrays(inner, 2), structs, lists(structs)]


def test_keys_of_the_type_of_their_values_are_not_taken_for_them(client, name):
    """A dictionary of int32 has keys of int32, too, when pyarrow makes it, and nothing else in the schema tells one from the other."""
    columns = {str(own): coded([1, 0, None, 1], pa.array([11, 12], own), own) for own in INDEX_TYPES}
    inner = coded([1, 0, None, 1], pa.array([11, 12], pa.int32()))
    columns |= {f"nested{n}": column for n, column in enumerate(nestings(inner))}
    batches = {path: [batch(column), batch(column, 10)] for path, column in columns.items()}
    client.record_sequence(name, batches)
    for path, sent in batches.items():
        check(client, f"{name}/{path}", sent)
    for value, found in ((11, 9), (12, 9), (0, 0), (1, 0)):
        answer = client.action("query", {"sequence": {"name": {"$eq": name}}, "ontology": {"Counter.kind": {"$eq": value}}})
        topics = [topic for item in answer["items"] for topic in item["topics"]]
        assert len(topics) == found, (value, topics)


def test_dictionaries_that_grow_and_are_replaced(client, name):
    """Each batch has its own, so that the writer sends it again, or what is new of it."""
    batches = [batch(coded([0, n, n // 2], WORDS[: n + 1]), 10 * n) for n in range(20)]
    batches += [batch(coded([2, 0, None], ["x", "y", WORDS[n]]), 500 + 10 * n) for n in range(5)]
    check(client, record(client, name, batches), batches)


def test_deltas(client, name):
    client.create_sequence(name)
    session = client.create_session(name)
    batches = [batch(coded([0, n], WORDS[: n + 1]), 10 * n) for n in range(30)]
    options = fl.FlightCallOptions(write_options=pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True))
    token = client.create_topic(session, f"{name}/a", "Counter")
    writer = client.begin_put(f"{name}/a", token, batches[0].schema, options)
    for each in batches:
        writer.write_batch(each)
    writer.done_writing()
    writer.close()
    client.finalize(session)
    check(client, f"{name}/a", batches)


def test_more_values_than_the_keys_of_one_batch_can_name(client, name):
    """int8 keys name 128 values: many such batches become one row group, and a reader's batches have to fit again."""
    batches = [batch(coded([n % 100 for n in range(200)], WORDS[100 * n : 100 * n + 100], pa.int8()), 200 * n)
               for n in range(5)]
    check(client, record(client, name, batches), batches)


def test_ordered_dictionaries_keep_their_order(client, name):
    levels = ["low", "middle", "high"]
    batches = [batch(coded([2, 0, None, 1, 2], levels, pa.int8(), ordered=True))]
    locator = record(client, name, batches)
    check(client, locator, batches)
    assert client.read(locator).column("kind").type.ordered
    _, read = client.batches(client.ticket(locator))
    for each in read:
        places = [levels.index(level) for level in each.column(1).dictionary.to_pylist()]
        assert places == sorted(places)


def test_dictionaries_inside_lists_and_structs(client, name):
    words = coded([0, 1, None, 2, 1, 0], WORDS[:3], pa.int16())
    lists = pa.ListArray.from_arrays(pa.array([0, 2, 2, 5, 6], pa.int32()), words)
    structs = pa.StructArray.from_arrays([words, pa.array(range(6))], ["word", "n"])
    for n, column in enumerate([lists, structs]):
        batches = [batch(column), batch(column.slice(1), 100)]
        check(client, record(client, f"{name}_{n}", batches), batches)


def test_a_time_range_and_rows_out_of_order(client, name):
    columns = [coded([n % 11 for n in range(50)], WORDS[:11], pa.uint8()), coded([n % 3 for n in range(50)], WORDS[9:12], pa.uint8())]
    batches = [batch(columns[0], 25), batch(columns[1], 0)]
    locator = record(client, name, batches)
    expected = sorted(zip([*range(25, 75), *range(50)], values(batches)), key=lambda pair: pair[0])
    # Rows of one time keep the order in which they came.
    assert pairs(client.read(locator)) == expected
    cut = client.read(locator, 60, 70)
    assert pairs(cut) == [pair for pair in expected if 60 <= pair[0] < 70]


def test_a_kill_leaves_the_recorded_values(own_server):
    from harness.flight import Client

    batches = [batch(coded([0, n % 40, None], WORDS[: n % 40 + 1]), 10 * n) for n in range(200)]
    with Client(own_server.location) as client:
        client.record_sequence("drive", {"a": batches})
    own_server.crash()
    with Client(own_server.location) as client:
        check(client, "drive/a", batches)


def test_dictionaries_over_the_limit_are_refused_with_the_reason(server, client, name):
    client.create_sequence(name)
    session = client.create_session(name)
    token = client.create_topic(session, f"{name}/a", "Counter")
    words = pa.array([bytes([n]) * (4 << 20) for n in range(6)], pa.binary())
    column = coded([0, 1], words)
    fields = [rows.TIME, *(F(f"c{n}", column.type) for n in range(4))]
    large = pa.record_batch([pa.array([1, 2], pa.int64()), *[column] * 4], schema=pa.schema(fields))
    with pytest.raises(pa.ArrowInvalid) as refused:
        client.put(f"{name}/a", token, large.schema, [large])
    assert "dictionary_bytes" in str(refused.value) and "67108864" in str(refused.value), refused.value
    # The server is as well as before.
    check(client, record(client, f"{name}_next", [batch(coded([0], ["a"]))]), [batch(coded([0], ["a"]))])


def test_a_dictionary_that_no_field_names(server, client, name):
    client.create_sequence(name)
    locator = f"{name}/a"
    token = client.create_topic(client.create_session(name), locator, "Counter")
    coded_batch = batch(coded([0], ["a"]))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, coded_batch.schema) as writer:
        writer.write_batch(coded_batch)
    parts = [message for message in pa.ipc.MessageReader.open_stream(sink.getvalue()) if message.type == "dictionary"]
    plain = pa.schema([rows.TIME, F("kind", pa.utf8())])
    command = {"resource_locator": locator, "topic_uuid": token}
    with wire.Wire(server) as raw:
        messages = [wire.flight_data(wire.schema_header(plain), command=command),
                    *(wire.flight_data(part.metadata.to_pybytes(), part.body.to_pybytes()) for part in parts)]
        assert raw.code(lambda: raw.put(messages)) == "INVALID_ARGUMENT"
