"""HTTP/2 as a weapon: floods that cost the sender nothing cost the daemon little, and nobody else anything."""

import struct

import pytest

from harness import frames
from harness import rows
from harness import wire
from harness.frames import Http2
from harness.frames import frame
from harness.watch import unharmed

CONFIG = """
[memory]
read_bytes = 134217728
read_stall_ms = 1000
"""


@pytest.fixture(autouse=True)
def watched(server):
    with unharmed(server):
        yield


def ends(connection, *codes):
    """The server says farewell with one of these codes, or just closes."""
    assert connection.goaway() in (*codes, None)


def flood(attacker, each, bursts):
    """So many bursts of 100 calls, each with what `each` sends after it on its stream. Whether all of them went out."""
    head = frames.request("DoAction")
    for n in range(bursts):
        streams = range(1 + 200 * n, 1 + 200 * (n + 1), 2)
        burst = b"".join(frame(frames.HEADERS, stream, head, frames.END_HEADERS) + each(stream) for stream in streams)
        if not attacker.try_send(burst):
            return False
    return True


def test_streams_reset_as_soon_as_they_are_opened(server):
    """Rapid reset: each call costs the client two frames and the server a task."""
    with Http2(server) as attacker:
        attacker.acknowledge()
        assert not flood(attacker, attacker.reset, 200), "20 000 calls were opened and reset, and nobody minded"


def test_the_log_does_not_grow_with_the_attacks(server):
    """A connection that breaks the rules is news to nobody."""
    before = server.log().count("\n")
    for _ in range(50):
        with Http2(server) as attacker:
            attacker.acknowledge()
            flood(attacker, attacker.reset, 2)
            ends(attacker, frames.ENHANCE_YOUR_CALM)
    assert server.log().count("\n") - before < 10, server.log()[-2000:]


def test_streams_the_server_must_reset(server):
    """The same, but the resets are drawn out of the server: a window update of 0 is an error of the stream."""
    with Http2(server) as attacker:
        attacker.acknowledge()
        taken = flood(attacker, lambda stream: frame(frames.WINDOW_UPDATE, stream, bytes(4)), 100)
        assert not taken, "10 000 resets were drawn out of the server"


def test_headers_that_never_end(server):
    with Http2(server) as attacker:
        attacker.acknowledge()
        attacker.send(frame(frames.HEADERS, 1, frames.request("DoAction")))
        piece = frames.literal("x-flood", "a" * 100) * 140
        for _ in range(4000):
            if not attacker.try_send(frame(frames.CONTINUATION, 1, piece)):
                break
        else:
            raise AssertionError("60 MB of headers were taken")


def test_empty_continuations(server):
    with Http2(server) as attacker:
        attacker.acknowledge()
        attacker.send(frame(frames.HEADERS, 1, frames.request("DoAction")))
        # More than the sockets hold: a server that is late has to read them.
        for _ in range(20_000):
            if not attacker.try_send(frame(frames.CONTINUATION, 1) * 100):
                break
        else:
            raise AssertionError("2 million empty CONTINUATION frames were taken")


def test_a_header_table_that_multiplies(server):
    """One indexed header of 4 kB, named 15 000 times by a byte each."""
    value = b"a" * 3900
    length = b"\x7f" + bytes([(len(value) - 127) & 0x7F | 0x80, (len(value) - 127) >> 7])
    entry = b"\x40\x06x-bomb" + length + value
    with Http2(server) as attacker:
        attacker.acknowledge()
        block = frames.request("DoAction") + entry + b"\xbe" * 12_000
        for stream in range(1, 401, 2):
            if not attacker.try_send(frame(frames.HEADERS, stream, block, frames.END_HEADERS)):
                break


@pytest.mark.parametrize("kind", ["ping", "settings", "priority", "unknown", "window", "empty data"])
def test_frames_by_the_hundred_thousand(server, kind):
    """None of the answers is read: they must not pile up in the server."""
    with Http2(server, timeout=5) as attacker:
        attacker.acknowledge()
        stream = attacker.open("DoPut")
        flood = {
            "ping": frame(frames.PING, payload=b"tessera!"),
            "settings": frames.settings({frames.INITIAL_WINDOW: 65_535}),
            "priority": frame(frames.PRIORITY, stream, bytes(4) + b"\x07"),
            "unknown": frame(0xBE, stream, b"what is this?"),
            "window": frame(frames.WINDOW_UPDATE, 0, (1).to_bytes(4, "big")),
            "empty data": frame(frames.DATA, stream),
        }[kind]
        for _ in range(300):
            if not attacker.try_send(flood * 1000):
                break


@pytest.mark.parametrize("attack", [
    frame(frames.DATA, 0, b"x"), frame(frames.DATA, 77, b"x"), frame(frames.HEADERS, 0, frames.request("DoAction"), frames.END_HEADERS),
    frame(frames.HEADERS, 2, frames.request("DoAction"), frames.END_HEADERS), frame(frames.PUSH_PROMISE, 1, bytes(8), frames.END_HEADERS),
    frame(frames.CONTINUATION, 1, b"x"), frame(frames.WINDOW_UPDATE, 0, bytes(4)),
    frame(frames.WINDOW_UPDATE, 0, b"\x7f\xff\xff\xff") * 2, frame(frames.PING, payload=b"short"), frame(frames.SETTINGS, payload=b"12345"),
    frame(frames.SETTINGS, 1), frames.settings({frames.INITIAL_WINDOW: 0xFFFFFFFF}), frames.settings({frames.MAX_FRAME: 1}),
    frame(frames.RST_STREAM, 5, bytes(4)), frame(frames.HEADERS, 1, b"\xff" * 50, frames.END_HEADERS),
    frame(frames.HEADERS, 1, b"\x3f\xff\xff\xff\xff\xff\xff\xff\xff\xff\x0f", frames.END_HEADERS),
    frame(frames.DATA, 1, b"x", length=0xFFFFFF), frame(frames.HEADERS, 1, b"\x00" * 5, 0x8 | frames.END_HEADERS),
], ids=["data on 0", "data on idle", "headers on 0", "even stream", "push", "continuation", "window 0", "window overflow",
        "short ping", "odd settings", "settings on 1", "huge window", "tiny frames", "reset of idle", "bad hpack",
        "hpack integer", "16 MB frame", "padding"])
def test_frames_that_break_the_rules(server, attack):
    with Http2(server) as attacker:
        attacker.acknowledge()
        attacker.send(attack)
        ends(attacker, frames.PROTOCOL_ERROR, frames.FLOW_CONTROL_ERROR, frames.FRAME_SIZE_ERROR, frames.COMPRESSION_ERROR,
             frames.STREAM_CLOSED)


def test_more_streams_than_allowed(server):
    """The server said how many; the others are refused one by one and the connection goes on. They are DoGets: silent DoPuts give way
    to later ones long before."""
    with Http2(server) as attacker:
        attacker.acknowledge()
        for _ in range(4096):
            attacker.open("DoGet")
        found = attacker.until(attacker.open("DoGet"))
        assert found[0][0] == frames.RST_STREAM and int.from_bytes(found[0][2], "big") == frames.REFUSED_STREAM, found
        for _ in range(1000):
            if not attacker.try_send(frame(frames.HEADERS, attacker.next_stream, frames.request("DoGet"), frames.END_HEADERS)):
                break
            attacker.next_stream += 2
        ends(attacker, frames.ENHANCE_YOUR_CALM)


def test_readers_without_a_window(server, client, name):
    """One after the other asks for a row of 5 MB and takes the schema and a little more: each holds its part of `read_bytes` for as
    long as nobody else wants it. When that is used up, the next one gets the part of the one that has stood still the longest."""
    client.record_sequence(name, {"a": [rows.blobs(range(1), 5 << 20)]})
    ticket = wire.field(1, client.ticket(f"{name}/a").ticket)
    with Http2(server, {frames.INITIAL_WINDOW: 6000}) as attacker:
        attacker.acknowledge()
        attacker.send(frame(frames.WINDOW_UPDATE, 0, (1 << 30).to_bytes(4, "big")))
        held, most = [], 0
        for _ in range(20):
            stream, taken = attacker.open("DoGet", frames.grpc(ticket), end=True), 0
            held.append(stream)
            while taken < 6000:
                kind, flags, number, payload = attacker.read()
                if kind == frames.RST_STREAM:
                    assert number in held[:-1] and int.from_bytes(payload, "big") == frames.ENHANCE_YOUR_CALM, (number, payload)
                    held.remove(number)
                taken += len(payload) if (kind, number) == (frames.DATA, stream) else 0
            most = max(most, len(held))
        assert 4 < most < 12, "readers of such rows that fit"
        assert client.read(f"{name}/a").num_rows == 1


def test_a_reader_that_takes_a_byte_at_a_time(server, client, name):
    client.record_sequence(name, {"a": [rows.blobs(range(4), 1 << 20)]})
    ticket = wire.field(1, client.ticket(f"{name}/a").ticket)
    with Http2(server, {frames.INITIAL_WINDOW: 1}) as attacker:
        attacker.acknowledge()
        stream = attacker.open("DoGet", frames.grpc(ticket), end=True)
        one = frame(frames.WINDOW_UPDATE, stream, (1).to_bytes(4, "big"))
        taken = 0
        while taken < 3000:
            kind, _, number, payload = attacker.read()
            if kind == frames.DATA and number == stream:
                taken += len(payload)
                attacker.send(one)


@pytest.mark.parametrize("path", ["/", "/x", "/arrow.flight.protocol.FlightService/DoPut/", "/" + "x" * 120, "/a\x1b[2J"])
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_paths_nobody_serves(server, path, method):
    with Http2(server) as attacker:
        attacker.acknowledge()
        block = frames.request(path).replace(frames.literal(":method", "POST"), frames.literal(":method", method))
        attacker.send(frame(frames.HEADERS, 1, block, frames.END_HEADERS | frames.END_STREAM))
        assert attacker.until(1)


@pytest.mark.parametrize("method", ["DoPut", "DoGet", "DoAction", "GetFlightInfo"])
@pytest.mark.parametrize("length", [0xFFFFFFFF, 0x7FFFFFFF, 1 << 28])
def test_messages_that_say_they_are_huge(server, method, length):
    """The length comes first, and nothing is allocated for it."""
    with Http2(server) as attacker:
        attacker.acknowledge()
        stream = attacker.open(method, b"\0" + struct.pack(">I", length) + b"x" * 100, end=True)
        assert frames.status(attacker.until(stream)) in (3, 8, 11)
