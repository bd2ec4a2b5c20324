"""Clients may gzip their requests. What they inflate to is held to the message limit."""

import functools
import gzip
import zlib

import grpc
import pytest

from harness import frames
from harness import rows
from harness import wire
from harness.flight import Client
from harness.watch import unharmed

GZIP = 2


@pytest.fixture
def zipped(server):
    options = [("grpc.default_compression_algorithm", GZIP), ("grpc.use_local_subchannel_pool", 1)]
    with Client(server.location, generic_options=options) as client:
        yield client


def test_a_zipped_recording_comes_back_equal(zipped, client, name):
    batches = [rows.imu(range(n, n + 500)) for n in range(0, 2000, 500)]
    zipped.record_sequence(name, {"imu": batches, "zeros": [rows.blobs([0], 20_000_000)]}, {"a": 1})
    assert client.read(f"{name}/imu").equals(rows.in_time_order(batches))
    assert zipped.read(f"{name}/zeros").column("data").to_pylist() == [rows.blob(0, 20_000_000)]


def test_a_bomb_is_refused(server, client, name):
    """A message of a megabyte that would inflate to a gigabyte."""
    client.create_sequence(name)
    session = client.create_session(name)
    token = client.create_topic(session, f"{name}/a")
    before = server.memory()
    first = wire.flight_data(wire.schema_header(rows.BLOB), command={"resource_locator": f"{name}/a", "topic_uuid": token})
    header, _ = wire.batch_parts(rows.blobs([1], 10))
    bomb = wire.flight_data(header, bytes(512 << 20))
    assert len(gzip.compress(bomb[:1 << 20])) < 1 << 12
    with wire.Wire(server, [("grpc.max_send_message_length", -1)]) as raw:
        call = raw.channel.stream_stream(wire.SERVICE + "DoPut")
        code = raw.code(lambda: list(call(iter([first, bomb]), compression=grpc.Compression.Gzip, timeout=120)))
    assert code in ("RESOURCE_EXHAUSTED", "INVALID_ARGUMENT")
    assert server.memory() - before < 256 << 20
    client.action("info", {})


@functools.cache
def bomb():
    """Less than the window of a stream, so that a client may send it at once; it inflates to 48 MiB."""
    head = wire.field(1, b"info") + wire.varint(2 << 3 | 2) + wire.varint(48 << 20)
    packer = zlib.compressobj(wbits=31)
    return b"".join([packer.compress(head), *(packer.compress(bytes(1 << 20)) for _ in range(48)), packer.flush()])


@pytest.mark.parametrize("method", ["DoAction", "DoGet", "GetFlightInfo", "ListFlights"])
def test_a_bomb_in_any_other_request_is_refused(server, client, method):
    message = b"\1" + len(bomb()).to_bytes(4, "big") + bomb()
    pieces = [message[at : at + 16_000] for at in range(0, len(message), 16_000)]
    with unharmed(server, mib=64), frames.Http2(server) as attacker:
        attacker.acknowledge()
        stream = attacker.open(method, *pieces, extra=[("grpc-encoding", "gzip")], end=True)
        assert frames.status(attacker.until(stream)) in (3, 8)  # INVALID_ARGUMENT, RESOURCE_EXHAUSTED


def test_an_unknown_encoding_is_named(server):
    with wire.Wire(server) as raw:
        call = raw.channel.unary_stream(wire.SERVICE + "DoAction")
        code = raw.code(lambda: list(call(wire.field(1, b"info"), compression=grpc.Compression.Deflate, timeout=30)))
    assert code == "UNIMPLEMENTED"
