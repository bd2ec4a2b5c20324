#!/usr/bin/env python3
"""What a good client pays for its neighbours: latencies of a put and of a get, alone and beside clients that hold on to what they
got, and what the server holds meanwhile.

    TESSERA_BIN=target/release/tessera target/venv/0.7.0/bin/python perf/neighbours.py [--calls N] [--rounds N] [--json FILE]

Neighbours: 1 000 DoPuts that send a row each second, 1 000 connections that stop in their handshake, 64 readers of raw 4K rows that
stop reading. Alone and beside take turns, so that both meet the same machine. The goal: the p99 at most doubles, and the most that
was resident is within the budget that the configuration publishes.
"""

import argparse
import contextlib
import json
import os
import pathlib
import socket
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from harness import frames  # noqa: E402
from harness import rows  # noqa: E402
from harness import wire  # noqa: E402
from harness.flight import Client  # noqa: E402
from harness.frames import Http2  # noqa: E402
from harness.frames import frame  # noqa: E402
from harness.server import Server  # noqa: E402
from harness.watch import peak, reset_peak  # noqa: E402

MIB = 1 << 20
FRAME = 24_883_200  # raw 4K RGB
CONFIG = f"""
[connections]
first_request_ms = 600000
idle_buffer_bytes_max = {64 * MIB}
held_bytes_max = {64 * MIB}
[memory]
receive_bytes = {128 * MIB}
read_bytes = {1024 * MIB}
blocks_per_shard = 16
[shards]
count = 2
"""
BUDGET = (64 + 64 + 128 + 1024 + 128 + 128 + 2 * (16 + 17) + 100) * MIB  # the formula of [memory] in configs/tessera.toml


@contextlib.contextmanager
def slow_streams(server, client, name):
    """A thousand topics, a row each second."""
    client.create_sequence(name)
    session = client.create_session(name)
    topics = [f"{name}/t{n}" for n in range(1000)]
    tokens = [client.create_topic(session, topic) for topic in topics]
    done = threading.Event()
    with Http2(server, timeout=60) as slow:
        slow.acknowledge()

        def head(token, topic):
            command = {"resource_locator": topic, "topic_uuid": token}
            return frames.grpc(wire.flight_data(wire.schema_header(rows.COUNTER), command=command))

        streams = [slow.open("DoPut", head(token, topic)) for token, topic in zip(tokens, topics)]

        def trickle():
            n = 0
            while not done.is_set():
                row = frames.grpc(wire.flight_data(*wire.batch_parts(rows.counters([n]))))
                begun = time.monotonic()
                for at, stream in enumerate(streams):
                    slow.send(frame(frames.DATA, stream, row))
                    if at % 100 == 99:
                        done.wait(max(0, begun + (at + 1) / 1000 - time.monotonic()))
                n += 1

        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            for stream in streams:
                slow.send(frame(frames.DATA, stream, b"", frames.END_STREAM))
            for stream in streams:
                assert frames.status(slow.until(stream, 60)) == 0
    client.finalize(session)
    client.delete_sequence(name)


@contextlib.contextmanager
def half_open(server, client, name):
    """A thousand connections that stop somewhere in their handshake."""
    with contextlib.ExitStack() as held:
        for n in range(1000):
            plain = held.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=20))
            plain.sendall((frames.PREFACE + frames.settings({}))[: n % 40])
        yield


@contextlib.contextmanager
def stopped_readers(server, client, name):
    """64 readers of 4K rows whose sockets nobody reads."""
    request = frames.grpc(wire.field(1, client.ticket("film/a").ticket))
    with contextlib.ExitStack() as held:
        for _ in range(64):
            reader = held.enter_context(Http2(server, {frames.INITIAL_WINDOW: (1 << 31) - 1}))
            reader.acknowledge()
            reader.send(frame(frames.WINDOW_UPDATE, 0, (1 << 30).to_bytes(4, "big")))
            reader.open("DoGet", request, end=True)
        yield


def calls(client, name, count):
    """Seconds of each put of a topic with 1 000 rows, and of each get of one."""
    client.create_sequence(name)
    session = client.create_session(name)
    tokens = {f"{name}/t{n}": client.create_topic(session, f"{name}/t{n}") for n in range(count)}
    puts, gets = [], []
    batch = rows.counters(range(1000))
    for topic, token in tokens.items():
        begun = time.monotonic()
        client.put(topic, token, rows.COUNTER, [batch])
        puts.append(time.monotonic() - begun)
        begun = time.monotonic()
        assert client.read("small/a").num_rows == 1000
        gets.append(time.monotonic() - begun)
    client.delete_sequence(name)
    return {"put": puts, "get": gets}


def percentile(values, share):
    return sorted(values)[min(int(len(values) * share), len(values) - 1)] * 1000


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=100, help="puts, and gets, of each turn")
    parser.add_argument("--rounds", type=int, default=5, help="turns alone and beside, for each kind of neighbour")
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args()
    os.environ.setdefault("TESSERA_BIN", str(HERE.parent / "target" / "release" / "tessera"))
    server, found = Server("neighbours", config=CONFIG), []
    try:
        server.start()
        with Client(server.location) as client:
            client.record_sequence("film", {"a": [rows.blobs([n], FRAME) for n in range(3)]})
            client.record_sequence("small", {"a": [rows.counters(range(1000))]})
            calls(client, "warm", arguments.calls)
            for neighbour in (slow_streams, half_open, stopped_readers):
                alone, beside = {"put": [], "get": []}, {"put": [], "get": []}
                reset_peak(server)
                for turn in range(arguments.rounds):
                    for call, seconds in calls(client, f"alone{turn}", arguments.calls).items():
                        alone[call] += seconds
                    with neighbour(server, client, f"neighbours{turn}"):
                        for call, seconds in calls(client, f"beside{turn}", arguments.calls).items():
                            beside[call] += seconds
                for call in ("put", "get"):
                    line = {"neighbours": neighbour.__name__, "call": call, "count": len(alone[call]), "peak_mib": peak(server) >> 20,
                            "budget_mib": BUDGET >> 20}  # fmt: skip
                    for name, seconds in (("alone", alone), ("beside", beside)):
                        line |= {f"{name}_p50_ms": percentile(seconds[call], 0.5), f"{name}_p99_ms": percentile(seconds[call], 0.99)}
                    found.append(line)
                    print("{neighbours:16} {call}: p50 {alone_p50_ms:6.1f} → {beside_p50_ms:6.1f} ms, p99 {alone_p99_ms:6.1f} → "
                          "{beside_p99_ms:6.1f} ms; at most {peak_mib} of {budget_mib} MiB".format(**line), flush=True)  # fmt: skip
        server.stop()
    finally:
        server.remove()
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
