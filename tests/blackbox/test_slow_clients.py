"""Clients that begin something and never go on: in every phase they are let go in time, and meanwhile nobody else waits."""

import functools
import struct
import time

import pytest

from harness import frames
from harness import rows
from harness import wire
from harness.frames import Http2
from harness.frames import frame
from harness.frames import status
from harness.waiting import until
from harness.watch import unharmed

COUNT = 200
CONFIG = """
[connections]
first_request_ms = 2000
first_message_ms = 2000
stall_ms = 2000
settings_ack_ms = 2000
keep_alive_ms = 3000
keep_alive_timeout_ms = 1000
"""


@pytest.fixture(autouse=True)
def watched(server):
    with unharmed(server):
        yield


def greeted(server):
    connection = Http2(server)
    connection.acknowledge()
    return connection


def tcp(server):
    return Http2(server, greet=False)


def half_a_preface(server):
    connection = tcp(server)
    connection.send(frames.PREFACE[:9])
    return connection


def preface(server):
    return Http2(server)


def half_a_frame_head(server):
    connection = greeted(server)
    connection.send(frame(frames.HEADERS, 1, frames.request("DoPut"), frames.END_HEADERS)[:5])
    return connection


def half_the_headers(server):
    connection = greeted(server)
    connection.send(frame(frames.HEADERS, 1, frames.request("DoPut"))[:40])
    return connection


def headers_without_their_end(server):
    connection = greeted(server)
    connection.send(frame(frames.HEADERS, 1, frames.request("DoPut")))
    return connection


@pytest.mark.parametrize("begin", [tcp, half_a_preface, preface, half_a_frame_head, half_the_headers, headers_without_their_end],
                         ids=lambda begin: begin.__name__)
def test_connections_that_begin_and_stop(server, begin):
    before = server.descriptors()
    begun = time.monotonic()
    held = [begin(server) for _ in range(COUNT)]
    until(lambda: server.descriptors() < before + 10, "the connections are closed", 20)
    assert time.monotonic() - begun < 15
    for connection in held:
        connection.close()


def put_head(client, session, name, topic):
    token = client.create_topic(session, f"{name}/{topic}")
    command = {"resource_locator": f"{name}/{topic}", "topic_uuid": token}
    return frames.grpc(wire.flight_data(wire.schema_header(rows.BLOB), command=command))


@functools.cache
def batch():
    header, body = wire.batch_parts(rows.blobs([1], 4 << 20))
    return frames.grpc(wire.flight_data(header, body))


PUTS = {
    "nothing": lambda head: [],
    "half a gRPC prefix": lambda head: [head[:3]],
    "half a schema": lambda head: [head[:100]],
    "half a second prefix": lambda head: [head, b"\0\0"],
    "half a batch header": lambda head: [head, batch()[:50]],
    "half a body": lambda head: [head, batch()[:60_000]],
}


@pytest.mark.parametrize("what", PUTS)
def test_puts_that_begin_and_stop(server, client, name, what):
    """Alive otherwise: they answer pings. Each put ends with DEADLINE_EXCEEDED, and gives its memory back."""
    client.create_sequence(name)
    session = client.create_session(name)
    puts = [PUTS[what](put_head(client, session, name, f"t{n}")) for n in range(20)]
    with greeted(server) as attacker:
        streams = [attacker.open("DoPut", *put) for put in puts]
        for stream in streams:
            assert status(attacker.until(stream)) == 4
    client.delete_session(session)


def test_a_first_message_with_a_body_is_refused_before_it_takes_memory(server, client, name):
    """Schemas have none, and what a put may take is told by its topic, which is not known before."""
    client.create_sequence(name)
    session = client.create_session(name)
    token = client.create_topic(session, f"{name}/a")
    command = {"resource_locator": f"{name}/a", "topic_uuid": token}
    first = frames.grpc(wire.flight_data(wire.schema_header(rows.BLOB), b"x" * (48 << 20), command=command))
    with greeted(server) as attacker:
        streams = [attacker.open("DoPut", first[:30_000]) for _ in range(20)]
        for stream in streams:
            assert status(attacker.until(stream)) == 3
    client.put(f"{name}/a", token, rows.BLOB, [rows.blobs([1], 10)])
    client.finalize(session)


def test_a_put_that_trickles(server, client, name):
    """A byte now and then is no progress."""
    client.create_sequence(name)
    session = client.create_session(name)
    head = put_head(client, session, name, "a")
    with greeted(server) as attacker:
        attacker.socket.settimeout(0.2)
        stream = attacker.open("DoPut", head, batch()[:1000])
        begun, found = time.monotonic(), None
        while found is None and time.monotonic() - begun < 15:
            attacker.send(frame(frames.DATA, stream, b"x"))
            try:
                got = attacker.read()
            except TimeoutError:
                continue
            assert got is not None
            if got[2] == stream and got[0] in (frames.HEADERS, frames.RST_STREAM):
                found = got
        assert found is not None and status([(found[0], found[1], found[3])]) == 4
    client.finalize(session)


@pytest.mark.parametrize("method", ["DoAction", "GetFlightInfo", "ListFlights", "DoGet"])
def test_requests_that_begin_and_stop(server, method):
    with greeted(server) as attacker:
        streams = [attacker.open(method, b"\0" + struct.pack(">I", 100) + b"\n\x04inf") for _ in range(100)]
        for stream in streams:
            assert status(attacker.until(stream)) == 4


def test_large_requests_that_never_end(server):
    """Requests that say they are large, and end inside: together they may hold 64 MiB, and what they say counts."""
    message = b"\0" + struct.pack(">I", 2_000_000) + bytes(60_000)
    pieces = [message[at : at + 16_000] for at in range(0, len(message), 16_000)]
    codes = []
    for _ in range(4):
        with greeted(server) as attacker:
            streams = [attacker.open("DoAction", *pieces) for _ in range(100)]
            codes += [status(attacker.until(stream)) for stream in streams]
    assert {*codes} == {4, 8}, codes  # DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED


def test_a_client_that_goes_silent(server, client):
    """It called, so it is no stranger; then it answers no ping."""
    before = server.descriptors()
    held = []
    for _ in range(50):
        connection = greeted(server)
        stream = connection.open("DoAction", frames.grpc(wire.field(1, b"info") + wire.field(2, b"{}")), end=True)
        connection.until(stream)
        held.append(connection)
    until(lambda: server.descriptors() < before + 10, "the connections are closed", 20)
    for connection in held:
        connection.close()


def test_more_connections_than_allowed(server, client, name):
    """All places taken by clients who say nothing: those who wait get in as soon as the first of them are let go."""
    held = [tcp(server) for _ in range(1100)]
    until(lambda: answers(server), "a new client is served", 20)
    for connection in held:
        connection.close()


def answers(server):
    import pyarrow.flight as fl

    try:
        with fl.connect(server.location) as fresh:
            return bool(list(fresh.do_action(fl.Action("info", b"{}"), fl.FlightCallOptions(timeout=2))))
    except fl.FlightError:
        return False
