"""A thousand clients that hold on to what they got: memory stays within its published budget, and whoever reads and records goes on."""

import socket
import threading

import pytest

from harness import frames
from harness import rows
from harness import wire
from harness.flight import Client
from harness.frames import Http2
from harness.frames import frame
from harness.waiting import until
from harness.watch import within

MIB = 1 << 20
FRAME = 24_883_200  # raw 4K RGB
FRAMES = 3
CONFIG = f"""
[connections]
first_request_ms = 60000
stall_ms = 3000
keep_alive_ms = 2000
keep_alive_timeout_ms = 2000
idle_buffer_bytes_max = {64 * MIB}
held_bytes_max = {64 * MIB}

[memory]
receive_bytes = {128 * MIB}
read_bytes = {1024 * MIB}
read_stall_ms = 1000
blocks_per_shard = 16

[shards]
count = 2
"""
BUDGET = (64 + 64 + 128 + 1024 + 128 + 2 * (16 + 17) + 100) * MIB  # the formula of [memory] in configs/tessera.toml


@pytest.fixture(scope="module", autouse=True)
def films(server):
    """Three frames each; a second topic for the good client alone."""
    with Client(server.location) as client:
        client.record_sequence("film", {path: [rows.blobs([n], FRAME) for n in range(FRAMES)] for path in ("a", "b")})


@pytest.fixture(autouse=True)
def within_the_budget(server):
    with within(server, BUDGET):
        yield


def goes_on(client, name):
    """A put, and a get of large rows and of small ones."""
    client.record_sequence(name, {"imu": [rows.counters(range(1000))], "camera": [rows.blobs([1], FRAME)]})
    assert client.read(f"{name}/imu").num_rows == 1000
    assert client.read("film/b").column("timestamp_ns").to_pylist() == list(range(FRAMES))


def ask(client):
    return frames.grpc(wire.field(1, client.ticket("film/a").ticket))


def closed_windows(server, client, count):
    """Readers that answer pings, take a few kilobytes of a frame and no more."""
    request = ask(client)
    attacker = Http2(server, {frames.INITIAL_WINDOW: 6000})
    attacker.acknowledge()
    attacker.send(frame(frames.WINDOW_UPDATE, 0, (1 << 30).to_bytes(4, "big")))
    for _ in range(count):
        attacker.open("DoGet", request, end=True)
    attacker.socket.settimeout(0.2)
    done = threading.Event()

    def answer():
        while not done.is_set():
            try:
                got = attacker.read()
            except TimeoutError:
                continue
            if got is None:
                return
            if got[0] == frames.PING and not got[1] & frames.ACK:
                attacker.try_send(frame(frames.PING, payload=got[3], flags=frames.ACK))

    thread = threading.Thread(target=answer)
    thread.start()

    def close():
        done.set()
        thread.join()
        attacker.close()

    return close


def full_sockets(server, client, count):
    """Readers with all the window there is, each on a connection of its own whose socket nobody reads."""
    request, held = ask(client), []
    for _ in range(count):
        attacker = Http2(server, {frames.INITIAL_WINDOW: (1 << 31) - 1})
        attacker.acknowledge()
        attacker.send(frame(frames.WINDOW_UPDATE, 0, (1 << 30).to_bytes(4, "big")))
        attacker.open("DoGet", request, end=True)
        held.append(attacker)

    def close():
        for attacker in held:
            attacker.close()

    return close


@pytest.mark.parametrize("stop", [closed_windows, full_sockets], ids=lambda stop: stop.__name__)
def test_64_readers_of_4k_frames_that_stop_reading(server, client, name, stop):
    """Four times as many as have a share each: those that take nothing give way, and nobody else notices."""
    close = stop(server, client, 64)
    goes_on(client, name)
    goes_on(client, f"{name}_again")
    close()


def test_a_reader_that_pauses_finds_its_place(server, client, name):
    """Nobody waits for its memory, so nobody takes it."""
    reader = client.flight.do_get(client.ticket("film/a"))
    first = reader.read_chunk().data
    goes_on(client, name)
    goes_on(client, f"{name}_again")
    later = [chunk.data for chunk in reader]
    times = [time for batch in [first, *later] for time in batch.column("timestamp_ns").to_pylist()]
    assert times == list(range(FRAMES))


def test_a_reader_that_gives_way_is_told(server, client, name):
    """More than have a share, all by a real client, all left alone: the first ones end with RESOURCE_EXHAUSTED."""
    readers = [client.flight.do_get(client.ticket("film/a")) for _ in range(20)]
    codes, seen = [], []

    def filled():
        seen.append(server.memory())
        # On a busy machine nothing may come for a while.
        return len(seen) > 4 and max(seen[-3:]) <= max(seen[:-3]) and seen[-1] > 13 * FRAME

    until(filled, "readers with all they can have", interval=0.5)
    goes_on(client, name)
    for reader in readers:
        try:
            assert len([chunk for chunk in reader]) == FRAMES
            codes.append("OK")
        except Exception as error:  # noqa: BLE001: told below
            codes.append(str(error))
    ended = [text for text in codes if text != "OK"]
    assert ended and "OK" in codes, codes
    assert all("RST_STREAM" in text or "EXHAUSTED" in text.upper() for text in ended), ended


def test_1000_half_open_connections(server, client, name):
    """They came, and say nothing more."""
    held = []
    for n in range(1000):
        plain = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        plain.sendall((frames.PREFACE + frames.settings({}))[: n % 40])
        held.append(plain)
    goes_on(client, name)
    for plain in held:
        plain.close()


def put_head(token, topic):
    command = {"resource_locator": topic, "topic_uuid": token}
    return frames.grpc(wire.flight_data(wire.schema_header(rows.COUNTER), command=command))


def test_1000_slow_streams(server, client, name):
    """A row now and then on each of a thousand topics, and half a message on each of a hundred more: the slow lose nothing, and
    whoever breaks off in the middle of a message is told to go."""
    client.create_sequence(name)
    session = client.create_session(name)
    topics = [f"{name}/t{n}" for n in range(1100)]
    tokens = [client.create_topic(session, topic) for topic in topics]
    message = [frames.grpc(wire.flight_data(*wire.batch_parts(rows.counters([n])))) for n in range(3)]
    with Http2(server, timeout=60) as slow, Http2(server, timeout=60) as hostile:
        for connection in (slow, hostile):
            connection.acknowledge()
        streams = [slow.open("DoPut", put_head(token, topic)) for token, topic in zip(tokens[:1000], topics)]
        half = b"\0" + (32 * MIB).to_bytes(4, "big") + message[0][5:60]
        stuck = [hostile.open("DoPut", put_head(token, topic), half) for token, topic in zip(tokens[1000:], topics[1000:])]
        for each in message:
            for stream in streams:
                slow.send(frame(frames.DATA, stream, each))
            goes_on(client, f"{name}_{message.index(each)}")
        for stream in stuck:
            assert frames.status(hostile.until(stream, 60)) in (4, 8)
        for stream in streams:
            slow.send(frame(frames.DATA, stream, b"", frames.END_STREAM))
        for stream in streams:
            assert frames.status(slow.until(stream, 60)) == 0
    client.finalize(session)
    found = client.sequence(name)["topics"]
    assert [found[topic]["data_info"]["total_row_count"] for topic in topics[:1000]] == [3] * 1000
    client.delete_sequence(name)
