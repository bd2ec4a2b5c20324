"""Schemas and rows for the raw tests. Content is a function of its arguments, so every test can say what must come back."""

import pyarrow as pa

TIME = pa.field("timestamp_ns", pa.int64(), nullable=False)

COUNTER = pa.schema([TIME, pa.field("value", pa.int64(), nullable=False), pa.field("text", pa.utf8())])
"""A model of a user's own: no SDK knows its tag."""

BLOB = pa.schema([TIME, pa.field("data", pa.binary(), nullable=False)])

_STAMP = pa.struct([pa.field("seconds", pa.int32(), nullable=False), pa.field("nanoseconds", pa.uint32(), nullable=False)])
HEADER = pa.struct([("timestamp", _STAMP), ("frame_id", pa.utf8()), ("sample_counter", pa.uint64())])


def _vector(axes):
    fields = [("header", HEADER), ("covariance", pa.list_(pa.float64())), ("covariance_type", pa.int16())]
    return pa.struct(fields + [(axis, pa.float64()) for axis in axes])


IMU = pa.schema(
    [
        TIME,
        pa.field("header", HEADER),
        pa.field("acceleration", _vector("xyz"), nullable=False),
        pa.field("angular_velocity", _vector("xyz"), nullable=False),
        pa.field("orientation", _vector("xyzw")),
    ]
)

IMAGE = pa.schema(
    [
        TIME,
        pa.field("header", HEADER),
        pa.field("data", pa.binary(), nullable=False),
        pa.field("format", pa.utf8(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("stride", pa.int32(), nullable=False),
        pa.field("encoding", pa.utf8(), nullable=False),
        pa.field("is_bigendian", pa.bool_()),
    ]
)


def counters(times, first=0):
    """One batch of COUNTER: row i has value first+i and a text that is null in every third row."""
    times = list(times)
    values = range(first, first + len(times))
    texts = [None if value % 3 == 0 else f"row {value}" for value in values]
    return pa.record_batch([pa.array(times, pa.int64()), pa.array(values, pa.int64()), pa.array(texts)], schema=COUNTER)


def blobs(times, size):
    """One batch of BLOB: row i holds `size` bytes that depend on its time."""
    times = list(times)
    data = [blob(time, size) for time in times]
    return pa.record_batch([pa.array(times, pa.int64()), pa.array(data, pa.binary())], schema=BLOB)


def blob(time, size):
    word = (time & (2**64 - 1)).to_bytes(8, "little") + b"tessera."
    return (word * (size // len(word) + 1))[:size]


def imu(times):
    """One batch of IMU rows with headers, covariances and nulls."""
    rows = []
    for n, time in enumerate(times):
        header = {"timestamp": {"seconds": n, "nanoseconds": 7}, "frame_id": "base", "sample_counter": n}
        vector = {"header": None, "covariance": None, "covariance_type": None, "x": n * 0.5, "y": -0.0, "z": 9.81}
        rotated = {**vector, "w": 1.0, "covariance": [0.25] * 9 if n % 2 else [], "covariance_type": n % 3}
        rows.append(
            {
                "timestamp_ns": time,
                "header": header if n % 4 else None,
                "acceleration": vector,
                "angular_velocity": {**vector, "x": None},
                "orientation": rotated if n % 5 else None,
            }
        )
    return pa.RecordBatch.from_pylist(rows, schema=IMU)


def in_time_order(batches):
    """What reading must give back for these batches: all rows, stable by time."""
    table = pa.Table.from_batches(batches)
    times = table.column("timestamp_ns").to_pylist()
    return table.take(pa.array(sorted(range(len(times)), key=times.__getitem__), pa.int64()))
