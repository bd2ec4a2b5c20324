"""What the design promises (its §3), line by line, and whether a result file keeps it.

Every verdict has the floor of the same run beside its value. What a result file has no row for is told by [`missing`]: a goal
nobody measured is not kept.
"""

import dataclasses
import pathlib
import re

CONFIG = pathlib.Path(__file__).resolve().parent.parent / "configs" / "tessera.toml"

MIB = 1 << 20
LARGE = {"blobs", "lidar", "4k-image", "4k-default"}
# Columns of each workload: every one may cost a look at its page index.
COLUMNS = {"blobs": 2, "lidar": 5, "4k-image": 2, "4k-default": 2, "imu10k": 7, "imu100": 7}
CHUNKS_OF_A_RESTART = 100_000


@dataclasses.dataclass
class Verdict:
    run: str
    what: str
    value: float | None
    bound: str
    floor: str
    kept: bool


def short(row):
    size = f", {row['bytes'] / 1e9:.3g} GB" if row.get("bytes") else ""
    unix = ", unix" if row["transport"] == "unix" else ""
    return f"{row['measure']} {row['workload']} × {row['streams']}{unix}{size}"


def number(value, digits=2):
    if value is None:
        return "–"
    return f"{value / 1e6:.3g} M" if value >= 1e6 else f"{value:.{digits}f}" if value < 100 else f"{value:.0f}"


def speeds(row):
    floors = ("memory" if row["measure"] == "get" else "sink", "sink_mb_s"), ("device", "device_mb_s")
    parts = [f"{name} {number(row[key], 0)}" for name, key in floors if row.get(key)]
    return f"{number(row.get('mb_s'), 0)} of {', '.join(parts)} MB/s" if parts else ""


def at_least(row, what, value, bound, floor=""):
    return Verdict(short(row), what, value, f"≥ {number(bound)}", floor, value is not None and value >= bound)


def at_most(row, what, value, bound, floor=""):
    return Verdict(short(row), what, value, f"≤ {number(bound)}", floor, value is not None and value <= bound)


def put(row, machine):
    workload = row["workload"]
    if workload in LARGE:
        bound = 0.20 if workload == "lidar" else 0.15
        yield at_most(row, "CPU added over the sink, s/GB", row["added_s_gb"], bound, f"sink {number(row['sink_s_gb'])} s/GB")
        yield at_least(row, "of min(sink, device)", row["ratio"], 0.75, speeds(row))
        yield at_least(row, "without the client on its cores ¹", alone(row, machine["cores"]), 0.85, "by CPU time")
    floor = f"sink {number(sink_rows(row))} rows/s"
    if workload == "imu10k":
        yield at_least(row, "rows/s", row["rows_s"], 18e6, floor)
    if workload == "imu100":
        yield at_least(row, "rows/s", row["rows_s"], 4e6, floor)


def sink_rows(row):
    return row["rows_s"] * row["sink_mb_s"] / row["mb_s"] if row.get("rows_s") and row.get("sink_mb_s") and row["mb_s"] else None


def alone(row, cores):
    """What the server could take of its floor if it had all cores: by the CPU time of a GB, and never above the device."""
    if not row["server_s_gb"] or not row["sink_s_gb"] or not row["device_mb_s"]:
        return None
    server, sink = (min(cores * 1000 / cost, row["device_mb_s"]) for cost in (row["server_s_gb"], row["sink_s_gb"]))
    return server / sink


def shard(row, machine):
    if row["workload"] in LARGE:
        yield at_least(row, "of the device", row["ratio"], 0.9, speeds(row))
        bound = 0.20 if row["workload"] == "lidar" else 0.13
        yield at_most(row, "CPU, s/GB", row["server_s_gb"], bound, f"device {number(row.get('device_s_gb'))} s/GB")


def get(row, machine):
    yield at_least(row, "of min(memory, device)", row["ratio"], 0.8, speeds(row))
    yield at_most(row, "first batch, p99 ms", row["p99_ms"], 10)


def time_range(row, machine):
    if row["workload"].startswith("imu"):
        yield at_most(row, "p99 ms", row["p99_ms"], 20)
    stored, read = (row["more"].get(key) for key in ("stored_bytes_of_a_range", "bytes_read_for_a_range"))
    if stored is not None and read is not None:
        bound = 2 * stored + (128 << 10) * COLUMNS[row["workload"]]
        yield at_most(row, "KiB read for a range", read / 1024, bound / 1024, f"stored {number(stored / 1024)} KiB")


def close(row, machine):
    floor = f"fdatasync p99 {number(row['more'].get('fdatasync_p99_ms'))} ms"
    yield at_most(row, f"last byte to OK, p99 ms of {row['repeats']}", row["p99_ms"], row["more"].get("allowed_ms", 0), floor)


def restart(row, machine):
    chunks = row["more"].get("chunks", 0)
    yield at_most(row, "start after a kill, p99 ms", row["p99_ms"], 1000)
    yield at_least(row, "chunks it started with", chunks, CHUNKS_OF_A_RESTART)


def mix(row, machine):
    if row["workload"] == "all":
        stall = row["more"].get("device_block_p999_ms") or 0
        floor = f"device p99.9 {number(stall)} ms, sink {number(row['more'].get('sink_p999_ms'))} ms"
        if row["mb_s"] and row["server_s_gb"]:
            floor += f"; the server used {row['mb_s'] / 1e3 * row['server_s_gb'] / machine['cores']:.0%} of {machine['cores']} cores"
        yield at_most(row, "lateness at 70 %, p99.9 ms", row["p999_ms"], 100 + stall, floor)


MEASURES = {"put": put, "shard": shard, "get": get, "range": time_range, "close": close, "restart": restart, "mix": mix}


def many_streams(rows):
    """64 streams against 8 of the same run. The sink's own loss is the floor."""
    found = {(row["workload"], row["transport"], row["streams"]): row for row in rows if row["measure"] == "put"}
    for (workload, transport, streams), row in found.items():
        few = found.get((workload, transport, 8))
        if streams == 64 and few and few["mb_s"]:
            sink = row["sink_mb_s"] / few["sink_mb_s"] if row.get("sink_mb_s") and few.get("sink_mb_s") else None
            yield at_least(row, "MB/s of what 8 streams reach", row["mb_s"] / few["mb_s"], 0.9, f"sink {number(sink)}")


def budget(measure, cores, config=None):
    """Bytes by the published formula (`configs/tessera.toml`, [memory]), and 300 MB. A measure that reads nothing has no
    part in what readers may hold."""
    text = CONFIG.read_text() if config is None else config
    value = {key: int(re.search(rf"^{key} = (\d+)$", text, re.MULTILINE)[1]) for key in (
        "receive_bytes", "idle_buffer_bytes_max", "held_bytes_max", "read_bytes", "dictionary_bytes", "blocks_per_shard")}  # fmt: skip
    read = value["read_bytes"] if measure in ("get", "range") else 0
    blocks = cores * (value["blocks_per_shard"] + 17) * MIB
    receive = value["receive_bytes"] + value["held_bytes_max"] + value["dictionary_bytes"]
    return receive + value["idle_buffer_bytes_max"] + read + blocks + 300_000_000


def memory(rows, machine):
    """The row with the largest peak of each bound."""
    largest = {}
    for row in rows:
        bound = budget(row["measure"], machine["cores"])
        if row.get("peak_rss") and row["peak_rss"] > largest.get(bound, {"peak_rss": 0})["peak_rss"]:
            largest[bound] = row
    for bound, row in largest.items():
        floor = f"formula {(bound - 300_000_000) // MIB} MiB"
        yield at_most(row, "largest peak RSS, MiB", row["peak_rss"] / MIB, bound / MIB, floor)


def verdicts(results):
    for row in results["rows"]:
        yield from MEASURES[row["measure"]](row, results["machine"])
    yield from many_streams(results["rows"])
    yield from memory(results["rows"], results["machine"])


# What the full report must have, as (measure, workload, streams, what it is for).
WANTED = [
    *(("put", workload, streams) for workload in ("blobs", "lidar") for streams in (1, 4, 8, 64)),
    *(("put", workload, 1) for workload in ("4k-image", "4k-default", "imu10k", "imu100")),
    *(("get", workload, 1) for workload in ("4k-default", "blobs", "lidar", "imu10k")),
    *(("range", workload, 1) for workload in ("blobs", "lidar", "imu10k")),
    *(("shard", workload, 1) for workload in ("blobs", "lidar")),
    ("close", "blobs", 1),
    ("restart", "imu100", None),
    ("mix", "all", None),
]


def missing(results):
    """The rows without which a goal is not measured, and what cannot be measured yet."""
    there = {(row["measure"], row["workload"], row["streams"]) for row in results["rows"]}
    there |= {(measure, workload, None) for measure, workload, _ in there}
    gone = [f"{measure} {workload}" + (f" × {streams}" if streams else "") for measure, workload, streams in WANTED
            if (measure, workload, streams) not in there]  # fmt: skip
    sizes = {round(row["bytes"] / 1e9) for row in results["rows"] if row["measure"] == "close"}
    gone += [f"close of {size} GB" for size in (1, 10) if size not in sizes]
    if not any(measure == "query" for measure, _, _ in there):
        gone.append("content query over 1 M chunks: nothing measures it")
    if not results.get("pyarrow"):
        gone.append("the second opinion of a pyarrow client")
    return gone
