"""Small messages that claim to be large: refused by what they claim, before anything is made of it."""

import itertools
import struct

import pyarrow as pa
import pytest

from harness import bombs
from harness import rows
from harness import wire
from harness.watch import unharmed

HUGE = [1 << 62, (1 << 63) - 1, -1, -(1 << 63), 1 << 40, 1 << 32]
REFUSED = ("INVALID_ARGUMENT", "RESOURCE_EXHAUSTED")


@pytest.fixture(autouse=True)
def watched(server):
    # A message may be 64 MiB, and one that is decoded lies there twice.
    with unharmed(server, cpu=10):
        yield


@pytest.fixture
def put(server, client, name):
    """Sends messages as DoPuts of fresh topics, each of which can be finalized afterwards; returns the code."""
    client.create_sequence(name)
    session = client.create_session(name)
    count = 0

    def send(*messages, schema=rows.COUNTER):
        nonlocal count
        count += 1
        token = client.create_topic(session, f"{name}/t{count}")
        header = schema if isinstance(schema, bytes) else wire.schema_header(schema)
        first = wire.flight_data(header, command={"resource_locator": f"{name}/t{count}", "topic_uuid": token})
        with wire.Wire(server, [("grpc.max_send_message_length", -1)]) as raw:
            return raw.code(lambda: raw.put([first, *messages]))

    return send


def time_schema(*more):
    """A schema of `timestamp_ns` and columns made by functions of the buffer."""
    buffer = bombs.FlatBuffer()
    return bombs.schema(buffer, [bombs.time_field(buffer), *(column(buffer) for column in more)])


TIME_BODY = struct.pack("<q", 1)


@pytest.mark.parametrize("claim", HUGE)
def test_rows(put, claim):
    """Of a column of nothing, of bytes of width 0, of structs without fields: rows that need no bytes."""
    for schema in (pa.schema([rows.TIME, pa.field("n", pa.null())]), pa.schema([rows.TIME, pa.field("n", pa.binary(0))]),
                   pa.schema([rows.TIME, pa.field("n", pa.struct([]))]), rows.COUNTER):
        claimed = bombs.batch(claim, [(claim, 0), (claim, claim), (claim, 0)], [(0, 0), (0, 8), (0, 0), (0, 0)], 8)
        assert put(wire.flight_data(claimed, TIME_BODY), schema=schema) in REFUSED
        lonely = bombs.batch(claim, [(1, 0), (claim, claim)], [(0, 0), (0, 8)], 8)
        assert put(wire.flight_data(lonely, TIME_BODY), schema=schema) in REFUSED


def test_rows_of_no_columns(put):
    """They would be rows without a time: the schema is refused."""
    assert put(schema=pa.schema([])) == "INVALID_ARGUMENT"
    assert put(wire.flight_data(bombs.batch(1 << 62, [], []), b""), schema=pa.schema([])) == "INVALID_ARGUMENT"


@pytest.mark.parametrize("claim", HUGE)
@pytest.mark.parametrize("place", ["body length", "node length", "nulls", "buffer offset", "buffer length", "both"])
def test_lengths_in_headers(put, claim, place):
    schema = time_schema()
    parts = {"body length": dict(nodes=[(1, 0)], buffers=[(0, 0), (0, 8)], body=claim),
             "node length": dict(nodes=[(claim, 0)], buffers=[(0, 0), (0, 8)], body=8),
             "nulls": dict(nodes=[(1, claim)], buffers=[(0, 8), (0, 8)], body=8),
             "buffer offset": dict(nodes=[(1, 0)], buffers=[(0, 0), (claim, 8)], body=8),
             "buffer length": dict(nodes=[(1, 0)], buffers=[(0, 0), (0, claim)], body=8),
             "both": dict(nodes=[(1, 0)], buffers=[(0, 0), (claim, claim)], body=8)}[place]
    assert put(wire.flight_data(bombs.batch(1, **parts), TIME_BODY), schema=schema) in REFUSED


@pytest.mark.parametrize("count", [0xFFFFFFFF, 0x7FFFFFFF, 1 << 24, 3])
def test_vectors_that_claim_more_than_there_is(put, count):
    for lie in ({"node_count": count}, {"buffer_count": count}):
        header = bombs.batch(1, [(1, 0)], [(0, 0), (0, 8)], 8, **lie)
        assert put(wire.flight_data(header, TIME_BODY), schema=time_schema()) in REFUSED


def test_a_million_nodes(put):
    header = bombs.batch(1, [(1, 0)] * 60_000, [(0, 0), (0, 8)], 8)
    assert put(wire.flight_data(header, TIME_BODY), schema=time_schema()) in REFUSED


@pytest.mark.parametrize("views", [[1 << 62], [-1], [1 << 20], [1] * 100_000, []], ids=["huge", "negative", "many", "long", "none"])
def test_view_buffers(put, views):
    schema = pa.schema([rows.TIME, pa.field("v", pa.binary_view())])
    header = bombs.batch(1, [(1, 0), (1, 0)], [(0, 0), (0, 8), (0, 0), (8, 16), (0, 8)], 24, views=views)
    assert put(wire.flight_data(header, TIME_BODY + bytes(16)), schema=schema) in REFUSED


@pytest.mark.parametrize("view", [
    struct.pack("<I4sII", 1 << 31, b"abcd", 0, 0), struct.pack("<I4sII", 100, b"abcd", 7, 0), struct.pack("<I4sII", 100, b"abcd", 0, 1 << 31),
    struct.pack("<I4sII", 0xFFFFFFFF, b"abcd", 0xFFFFFFFF, 0xFFFFFFFF), struct.pack("<I12s", 3, b"abcdefgh"),
], ids=["2 GB", "another buffer", "far offset", "all ones", "not padded"])
def test_views_of_what_is_not_there(put, view):
    schema = pa.schema([rows.TIME, pa.field("v", pa.binary_view())])
    header = bombs.batch(1, [(1, 0), (1, 0)], [(0, 0), (0, 8), (0, 0), (8, 16), (24, 8)], 32, views=[1])
    assert put(wire.flight_data(header, TIME_BODY + view + bytes(8)), schema=schema) in (*REFUSED, "OK")


@pytest.mark.parametrize("offsets", [(0, 1 << 30), (0, -1), (5, 3), (1 << 30, 1 << 30), (-4, 4), (0, (1 << 31) - 1)])
@pytest.mark.parametrize("type_", [pa.utf8(), pa.binary(), pa.list_(pa.int8()), pa.list_(pa.null()), pa.map_(pa.utf8(), pa.null())], ids=str)
def test_offsets(put, offsets, type_):
    schema = pa.schema([rows.TIME, pa.field("v", type_)])
    body = TIME_BODY + struct.pack("<ii", *offsets) + bytes(8)
    child = {"string": 0, "binary": 0}.get(str(type_), 1)
    length = offsets[1] if offsets[1] > 0 else 1
    nodes, buffers = [(1, 0), (1, 0)], [(0, 0), (0, 8), (0, 0), (8, 8)]
    if not child:
        buffers.append((16, 8))
    elif type_ == pa.list_(pa.int8()):
        nodes, buffers = [*nodes, (length, 0)], [*buffers, (0, 0), (16, 8)]
    elif type_ == pa.list_(pa.null()):
        nodes.append((length, length))
    else:
        nodes += [(length, 0), (length, 0), (length, length)]
        buffers += [(0, 0), (0, 0), (16, 8), (16, 8)]
    assert put(wire.flight_data(bombs.batch(1, nodes, buffers, 24), body), schema=schema) in REFUSED


def test_a_fixed_size_list_that_multiplies(put):
    """Lists of lists of lists of fixed size, of nothing: three rows that are 2 ** 90 values."""
    type_ = pa.null()
    for _ in range(3):
        type_ = pa.list_(type_, (1 << 30) + 1)
    schema = pa.schema([rows.TIME, pa.field("v", type_)])
    width = (1 << 30) + 1
    counts = [3, 3 * width, min(3 * width**2, (1 << 63) - 1), (1 << 63) - 1]
    header = bombs.batch(3, [(3, 0), *((count, 0) for count in counts)], [(0, 0), (0, 24), (0, 0), (0, 0), (0, 0)], 24)
    assert put(wire.flight_data(header, bytes(24)), schema=schema) in REFUSED


@pytest.mark.parametrize("schema", [
    bombs.deep_schema(17), bombs.deep_schema(100), bombs.deep_schema(10_000), bombs.deep_schema(21_000), bombs.doubling_schema(12),
    bombs.doubling_schema(40), bombs.doubling_schema(15, 200), bombs.wide_schema(1024), bombs.wide_schema(200_000),
], ids=["17 deep", "100 deep", "10 000 deep", "21 000 deep", "4 096 fields", "2 ** 40 fields", "200 ** 15 fields", "1 024 wide",
        "200 000 wide"])
def test_schemas(put, schema):
    assert put(schema=schema) in REFUSED


def test_sixteen_levels_are_fine(put):
    """The same writer, within the limit: it is the limit that refuses the others."""
    assert put(schema=bombs.deep_schema(15)) == "OK"
    assert put(schema=bombs.wide_schema(1)) == "OK"


def test_run_ends(put):
    schema = pa.schema([rows.TIME, pa.field("r", pa.run_end_encoded(pa.int64(), pa.int8()))])
    assert put(schema=schema) == "INVALID_ARGUMENT"


def test_dictionaries_nobody_announced(put, client):
    """A dictionary batch in a stream without dictionaries, alone and a thousand times."""
    schema = pa.schema([rows.TIME, pa.field("d", pa.dictionary(pa.int32(), pa.utf8()))])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.record_batch([pa.array([1]), pa.array(["x" * 100_000]).dictionary_encode()], schema=schema))
    (found,) = [m for m in pa.ipc.MessageReader.open_stream(sink.getvalue()) if m.type == "dictionary"]
    data = wire.flight_data(found.metadata.to_pybytes(), found.body.to_pybytes())
    assert put(data) == "INVALID_ARGUMENT"
    assert put(*[data] * 1000) == "INVALID_ARGUMENT"


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
@pytest.mark.parametrize("declared", [1 << 40, (1 << 63) - 1, 20 << 30, -1, -2])
def test_compressed_bodies_that_say_they_inflate(put, codec, declared):
    """Two thousand bytes that say they are a tebibyte end a process that believes them."""
    batch = rows.counters(range(1000))
    header, body = wire.batch_parts(batch, pa.ipc.IpcWriteOptions(compression=codec))
    size = (8000).to_bytes(8, "little")
    assert size in body
    assert put(wire.flight_data(header, body.replace(size, struct.pack("<q", declared)))) == "INVALID_ARGUMENT"


@pytest.mark.parametrize("length", [(1 << 63), (1 << 64) - 1, 1 << 32, 65 << 20])
@pytest.mark.parametrize("number", [1, 2, 3, 1000, 77])
def test_protobuf_lengths(server, number, length):
    message = wire.varint(number << 3 | 2) + wire.varint(length) + b"x" * 50
    with wire.Wire(server) as raw:
        assert raw.code(lambda: raw.put([message])) in REFUSED
        for method in ("DoGet", "DoAction", "GetFlightInfo", "GetSchema", "ListFlights"):
            assert raw.code(lambda: raw.stream(method, message)) in (*REFUSED, "INTERNAL", "UNKNOWN"), method


def test_protobuf_that_nests_and_repeats(server):
    deep = b""
    for _ in range(8000):
        deep = wire.field(1, deep)[:60_000]
    groups = b"\x0b" * 60_000
    path = wire.field(1, 1) + wire.field(3, b"a") * 300_000
    tags = wire.field(99, b"") * 500_000
    with wire.Wire(server, [("grpc.max_send_message_length", -1)]) as raw:
        for message in (deep, groups, path, tags, b"\x80" * 50_000, b"\xff" * 50_000):
            for method in ("DoGet", "DoAction", "GetFlightInfo", "ListFlights"):
                code = raw.code(lambda: raw.stream(method, message))
                assert code in (*REFUSED, "INTERNAL", "UNKNOWN", "UNIMPLEMENTED", "OK"), (method, code)
            assert raw.code(lambda: raw.put([message])) in REFUSED
            assert raw.code(lambda: raw.put([wire.field(1, message)])) in REFUSED


def test_the_largest_message_that_is_taken(put, client):
    """Full of what need not be there."""
    assert put(wire.field(99, bytes(60 << 20))) == "INVALID_ARGUMENT"
    assert put(wire.field(2, bytes(60 << 20))) in REFUSED
    assert put(wire.field(3, bytes(60 << 20))) in REFUSED
    assert put(wire.field(1000, bytes(60 << 20))) == "INVALID_ARGUMENT"
    assert put(wire.field(99, bytes(65 << 20))) == "RESOURCE_EXHAUSTED"


def test_batches_without_rows(server, client, name):
    """By the ten thousand: nothing is kept of them."""
    client.create_sequence(name)
    session = client.create_session(name)
    token = client.create_topic(session, f"{name}/a")
    command = {"resource_locator": f"{name}/a", "topic_uuid": token}
    empty = wire.flight_data(*wire.batch_parts(rows.counters([])))
    first = wire.flight_data(wire.schema_header(rows.COUNTER), command=command)
    with wire.Wire(server) as raw:
        assert raw.code(lambda: raw.put(itertools.chain([first], itertools.repeat(empty, 30_000)))) == "OK"
    client.finalize(session)
    assert client.topic(f"{name}/a")["data_info"]["total_row_count"] == 0
