"""What no honest client sends. Each is refused with a code, costs next to nothing, and the daemon goes on."""

import json
import os
import socket

import pyarrow as pa
import pyarrow.flight as fl
import pytest

from harness import rows
from harness import wire
from harness.codes import refused

MIB = 1 << 20


@pytest.fixture(autouse=True)
def unharmed(server, client):
    """After every attack the daemon answers, and has not grown."""
    before = server.memory()
    yield
    assert client.action("info", {})["config"]
    assert server.memory() - before < 128 * MIB


@pytest.fixture
def put(server, client, name):
    """Sends FlightData messages as a DoPut of a fresh topic; returns the code."""
    client.create_sequence(name)
    session = client.create_session(name)
    token = client.create_topic(session, f"{name}/a")
    command = {"resource_locator": f"{name}/a", "topic_uuid": token}

    def send(*messages, schema=rows.COUNTER):
        first = wire.flight_data(wire.schema_header(schema), command=command)
        with wire.Wire(server, [("grpc.max_send_message_length", -1)]) as raw:
            return raw.code(lambda: raw.put([first, *messages]))

    return send


@pytest.mark.parametrize("body", [b"\xff\xfe", b"{", b"nul", b"[1]", b'"x"', b"{}{}", b'{"locator": "a"', b"[" * 100_000,
                                  b'{"a":' * 50_000, b"9" * 100_000], ids=lambda body: ascii(body[:12]))
def test_bodies_that_are_no_json_object(client, body):
    with refused("INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"):
        client.results("sequence_create", body)


def test_a_body_beyond_the_limit(client):
    with refused("INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "OUT_OF_RANGE"):
        client.results("sequence_create", b'{"locator": "' + b"x" * (8 * MIB) + b'"}')


@pytest.mark.parametrize("kind", ["", "no_such_action", "x" * 10_000, "info\n", "../info"], ids=lambda kind: ascii(kind[:10]))
def test_actions_nobody_knows(client, kind):
    with refused("INVALID_ARGUMENT", "UNIMPLEMENTED"):
        client.action(kind, {})


@pytest.mark.parametrize("descriptor", [
    fl.FlightDescriptor.for_command(b""), fl.FlightDescriptor.for_command(b"\xff"), fl.FlightDescriptor.for_command(b"[]"),
    fl.FlightDescriptor.for_command(b"{}"), fl.FlightDescriptor.for_command(json.dumps({"resource_locator": 7})),
    fl.FlightDescriptor.for_command(b"[" * 60_000), fl.FlightDescriptor.for_path(), fl.FlightDescriptor.for_path("a b"),
    fl.FlightDescriptor.for_path(*["a"] * 1000),
], ids=range(9))
def test_descriptors_that_say_nothing(client, descriptor):
    for ask in (client.flight.get_flight_info, client.flight.get_schema):
        with refused("INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED"):
            ask(descriptor)
    with refused("INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED"):
        writer, _ = client.flight.do_put(descriptor, rows.COUNTER)
        writer.close()


def test_a_put_that_begins_with_a_batch(server):
    header, body = wire.batch_parts(rows.counters([1]))
    with wire.Wire(server) as raw:
        assert raw.code(lambda: raw.put([wire.flight_data(header, body, command={"resource_locator": "a/b"})])) == "INVALID_ARGUMENT"
        assert raw.code(lambda: raw.put([])) in ("INVALID_ARGUMENT", "OK")
        assert raw.code(lambda: raw.put([b"\xff" * 100])) in ("INVALID_ARGUMENT", "INTERNAL")
        assert raw.code(lambda: raw.put([wire.field(2, os.urandom(500))])) == "INVALID_ARGUMENT"


def test_batches_of_another_schema(put):
    assert put(wire.flight_data(*wire.batch_parts(rows.imu([1, 2])))) == "INVALID_ARGUMENT"


def test_batches_cut_short(put, client, name):
    header, body = wire.batch_parts(rows.counters(range(100)))
    assert put(wire.flight_data(header, body[: len(body) // 2])) == "INVALID_ARGUMENT"


@pytest.mark.parametrize("seed", range(20))
def test_batches_with_changed_bits(server, client, name, seed):
    """A flipped bit of a header is refused or harmless; it never ends the daemon."""
    import random

    dice = random.Random(seed)
    client.create_sequence(name)
    session = client.create_session(name)
    header, body = wire.batch_parts(rows.imu(range(20)))
    with wire.Wire(server) as raw:
        for n in range(20):
            token = client.create_topic(session, f"{name}/t{n}")
            changed = bytearray(header)
            for _ in range(dice.randint(1, 4)):
                changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
            first = wire.flight_data(wire.schema_header(rows.IMU),
                                     command={"resource_locator": f"{name}/t{n}", "topic_uuid": token})
            code = raw.code(lambda: raw.put([first, wire.flight_data(bytes(changed), body)]))
            assert code in ("OK", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"), code


def test_schemas_with_changed_bits(server, client, name):
    import random

    dice = random.Random(1)
    client.create_sequence(name)
    session = client.create_session(name)
    header = wire.schema_header(rows.IMU)
    with wire.Wire(server) as raw:
        for n in range(200):
            token = client.create_topic(session, f"{name}/t{n}")
            changed = bytearray(header)
            for _ in range(dice.randint(1, 4)):
                changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
            command = {"resource_locator": f"{name}/t{n}", "topic_uuid": token}
            code = raw.code(lambda: raw.put([wire.flight_data(bytes(changed), command=command)]))
            assert code in ("OK", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"), code


def test_compressed_batches_say_why(put):
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    assert put(wire.flight_data(*wire.batch_parts(rows.counters(range(1000)), options))) == "INVALID_ARGUMENT"


def test_null_rows_by_the_billion(put):
    """Rows that need no bytes: a batch of a Null column may claim any number of them."""
    schema = pa.schema([rows.TIME, pa.field("nothing", pa.null())])
    batch = pa.record_batch([pa.array([1], pa.int64()), pa.nulls(1)], schema=schema)
    header, body = wire.batch_parts(batch)
    claimed = header.replace((1).to_bytes(8, "little"), (2**40).to_bytes(8, "little"))
    assert claimed != header
    assert put(wire.flight_data(claimed, body), schema=schema) in ("INVALID_ARGUMENT", "RESOURCE_EXHAUSTED")


def test_views_that_share_one_buffer(put):
    """Sixteen bytes a row, each claiming a megabyte."""
    schema = pa.schema([rows.TIME, pa.field("data", pa.binary_view())])
    values = pa.array([b"x" * MIB], pa.binary_view())
    count = 20_000
    views = pa.Array.from_buffers(pa.binary_view(), count, [None, pa.py_buffer(values.buffers()[1].to_pybytes()[:16] * count),
                                                            *values.buffers()[2:]])
    batch = pa.record_batch([pa.array(range(count), pa.int64()), views], schema=schema)
    assert put(wire.flight_data(*wire.batch_parts(batch)), schema=schema) in ("INVALID_ARGUMENT", "RESOURCE_EXHAUSTED")


def deep(levels):
    type_ = pa.int32()
    for _ in range(levels):
        type_ = pa.struct([pa.field("x", type_)])
    return pa.schema([rows.TIME, pa.field("deep", type_)])


@pytest.mark.parametrize("schema", [
    deep(60), pa.schema([rows.TIME, *(pa.field(f"c{n}", pa.int8()) for n in range(20_000))]),
    pa.schema([rows.TIME, pa.field("x" * (2 * MIB), pa.int8())]),
], ids=["deep", "wide", "long"])
def test_schemas_beyond_the_limit(client, name, schema):
    client.create_sequence(name)
    session = client.create_session(name)
    token = client.create_topic(session, f"{name}/a")
    with refused("INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"):
        client.put(f"{name}/a", token, schema)


def test_two_columns_of_one_name(client, name):
    client.create_sequence(name)
    token = client.create_topic(client.create_session(name), f"{name}/a")
    with refused("INVALID_ARGUMENT"):
        client.put(f"{name}/a", token, pa.schema([rows.TIME, rows.TIME]))


def test_null_timestamps(put):
    schema = pa.schema([pa.field("timestamp_ns", pa.int64()), pa.field("v", pa.int8())])
    batch = pa.record_batch([pa.array([1, None], pa.int64()), pa.array([1, 2], pa.int8())], schema=schema)
    assert put(wire.flight_data(*wire.batch_parts(batch)), schema=schema) == "INVALID_ARGUMENT"


@pytest.mark.parametrize("greeting", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01" + b"\0" * 200,
                                      b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 500, os.urandom(2000)],
                         ids=["silence", "http1", "tls", "broken http2", "noise"])
def test_connections_that_speak_something_else(server, client, greeting):
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as peer:
            try:
                peer.sendall(greeting)
            except OSError:
                pass
    client.action("info", {})


def test_log_lines_are_not_made_by_clients(server, client):
    for text in ("evil\n2026 INFO all is well", "\x1b[2Jgone", "a\u202eb"):
        with refused("INVALID_ARGUMENT"):
            client.action("sequence_create", {"locator": text, "user_metadata": {}})
    log = server.log()
    assert "\n2026 INFO all is well" not in log and "\x1b[2J" not in log and "\u202e" not in log
