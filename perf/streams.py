"""Records and reads back three kinds of streams through the real binary, with pyarrow as the client on the same machine.

    TESSERA_BIN=target/release/tessera target/venv/0.7.0/bin/python perf/streams.py [REPEATS]

For each stream: GB/s from the first byte to the durable close, and CPU-seconds per GB of the server process alone; for reading
also the time to the first batch; then 1 % time ranges in the middle. Compare numbers within one run only: client, server and
whatever else the machine does share its cores.
"""

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
    """GB/s and CPU-seconds per GB of `work`, which returns its bytes."""
    cpu, began = cpu_seconds(server), time.monotonic()
    gigabytes = work() / 1e9
    return gigabytes / (time.monotonic() - began), (cpu_seconds(server) - cpu) / gigabytes


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
            firsts.append(time.monotonic() - began)
        total += chunk.data.nbytes
    return total


def main():
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    for turn in range(repeats):
        server = Server("perf")
        try:
            server.start()
            with Client(server.location) as client:
                client.create_sequence("drive")
                session = client.create_session("drive")
                for name, make in STREAMS.items():
                    batches = list(make())
                    speed, cost = measured(server, lambda: put(client, session, name, batches))
                    print(f"run {turn}  put {name:6}  {speed:5.2f} GB/s  {cost:.3f} s/GB", flush=True)
                client.finalize(session)
                for name in STREAMS:
                    firsts = []
                    speed, cost = measured(server, lambda: get(client, name, firsts))
                    print(f"run {turn}  get {name:6}  {speed:5.2f} GB/s  {cost:.3f} s/GB  first batch {firsts[0] * 1e3:.1f} ms")
                for name, start, end in (("blobs", 1000, 1020), ("imu", 5_000_000, 5_100_000)):
                    took = []
                    for _ in range(11):
                        began = time.monotonic()
                        rows = client.read(f"drive/{name}", start, end).num_rows
                        took.append(time.monotonic() - began)
                    print(f"run {turn}  1 % of {name}: {rows} rows, median {statistics.median(took) * 1e3:.1f} ms")
                print(f"run {turn}  memory {server.memory() >> 20} MiB")
            server.stop()
        finally:
            server.remove()


if __name__ == "__main__":
    main()
