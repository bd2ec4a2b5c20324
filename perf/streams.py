"""The second opinion: the same kinds of streams as `tessera bench`, with pyarrow as the client.

    TESSERA_BIN=target/release/tessera target/venv/0.7.0/bin/python perf/streams.py [REPEATS] [--json] [--quick]

For each stream: MB/s from the first byte to the durable close, and CPU-seconds per GB of the server process alone; for reading
also the time to the first batch. Medians, one JSON object a line with --json; a tenth of the bytes with --quick. `tessera bench` has the floors to compare with.
"""

import json
import os
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402

from harness.flight import Client  # noqa: E402
from harness.server import Server  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")


def schema(**columns):
    return pa.schema([pa.field("timestamp_ns", pa.int64(), False)] + [pa.field(n, t) for n, t in columns.items()])


def blobs():
    """2 GB of 1 MB payloads, four a message."""
    blob, like = np.random.bytes(1_000_000), schema(data=pa.binary())
    for n in range(500):
        yield pa.record_batch([pa.array(range(n * 4, n * 4 + 4), pa.int64()), pa.array([blob] * 4)], schema=like)


def sweeps():
    """1 GB of lidar sweeps: four lists of 130 000 points a row."""
    like = schema(**{name: pa.list_(pa.float32()) for name in ("x", "y", "z", "intensity")})
    points = pa.ListArray.from_arrays(pa.array([0, 130_000], pa.int32()), pa.array(np.random.rand(130_000).astype("f4")))
    for n in range(500):
        yield pa.record_batch([pa.array([n], pa.int64())] + [points] * 4, schema=like)


def readings():
    """0.56 GB of flat IMU rows, 10 000 a message."""
    like = schema(**{name: pa.float64() for name in ("ax", "ay", "az", "gx", "gy", "gz")})
    columns = [pa.array(np.random.rand(10_000)) for _ in range(6)]
    for n in range(1000):
        yield pa.record_batch([pa.array(np.arange(n * 10_000, n * 10_000 + 10_000))] + columns, schema=like)


STREAMS = {"blobs": blobs, "lidar": sweeps, "imu": readings}


def cpu_seconds(server):
    fields = pathlib.Path(f"/proc/{server.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def measured(server, work):
    """MB/s and CPU-seconds per GB of `work`, which returns its bytes."""
    cpu, own, began = cpu_seconds(server), time.process_time(), time.monotonic()
    size = work()
    return {
        "mb_s": size / 1e6 / (time.monotonic() - began),
        "server_s_gb": (cpu_seconds(server) - cpu) / (size / 1e9),
        "client_s_gb": (time.process_time() - own) / (size / 1e9),
    }


def put(client, session, name, batches):
    token = client.create_topic(session, f"drive/{name}", tag=name)
    writer = client.begin_put(f"drive/{name}", token, batches[0].schema)
    for batch in batches:
        writer.write_batch(batch)
    writer.done_writing()
    writer.close()
    return sum(batch.nbytes for batch in batches)


def get(client, name, firsts):
    began, total = time.monotonic(), 0
    for chunk in client.flight.do_get(client.ticket(f"drive/{name}")):
        if total == 0:
            firsts.append((time.monotonic() - began) * 1e3)
        total += chunk.data.nbytes
    return total


def turn(server, found):
    """One repeat on a server of its own: its numbers are added to `found`."""
    with Client(server.location) as client:
        client.create_sequence("drive")
        session = client.create_session("drive")
        for name, make in STREAMS.items():
            batches = list(make())
            batches = batches[: len(batches) // 10] if "--quick" in sys.argv else batches
            found.setdefault(("put", name), []).append(measured(server, lambda: put(client, session, name, batches)))
        client.finalize(session)
        for name in STREAMS:
            firsts = []
            numbers = measured(server, lambda: get(client, name, firsts))
            found.setdefault(("get", name), []).append(numbers | {"first_ms": firsts[0]})


def main():
    numbers = [argument for argument in sys.argv[1:] if argument.isdigit()]
    found = {}
    for _ in range(int(numbers[0]) if numbers else 3):
        server = Server("perf")
        try:
            server.start()
            turn(server, found)
            server.stop()
        finally:
            server.remove()
    for (measure, workload), turns in found.items():
        row = {"measure": measure, "workload": workload, "client": "pyarrow"}
        row |= {name: statistics.median(turn[name] for turn in turns) for name in turns[0]}
        if "--json" in sys.argv:
            print(json.dumps(row), flush=True)
        else:
            first = f"  first batch {row['first_ms']:.1f} ms" if "first_ms" in row else ""
            print(f"{measure} {workload:6}  {row['mb_s']:5.0f} MB/s  {row['server_s_gb']:.3f} s/GB{first}")


if __name__ == "__main__":
    main()
