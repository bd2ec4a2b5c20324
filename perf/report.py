#!/usr/bin/env python3
"""Measures everything the design promises, and says how far it is kept.

    perf/report.py run [--binary BINARY] [--directory DIR] [--quick] [--pyarrow PYTHON]
                                    measure; writes perf/results/<time>.json and perf/REPORT.md
    perf/report.py render RESULTS   perf/REPORT.md from a result file
    perf/report.py compare OLD NEW  what got worse, by ratios and CPU-seconds per GB; exit code 3 when something did
    perf/report.py check NEW        the same against the committed perf/baseline.json
    perf/report.py baseline NEW     makes a result file the baseline

Raw times are never compared: they say more about the day than about the code.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
BASELINE = HERE / "baseline.json"
REPORT = HERE / "REPORT.md"

# What counts as worse: a tenth of a ratio, or a tenth of the CPU time and more than what ticks of 10 ms can make up.
RATIO_SLACK = 0.10
CPU_SLACK = 0.10
CPU_NOISE = 0.03  # s/GB

# The runs of the full set; `--quick` makes them small.
RUNS = [
    ["put", "--workload", "blobs,lidar", "--streams", "1,4,8,64"],
    ["put", "--workload", "4k-image,4k-default", "--streams", "1"],
    ["put", "--workload", "imu10k", "--streams", "1,4"],
    ["put", "--workload", "imu100", "--streams", "1,4", "--bytes", "200MB"],
    ["put", "--workload", "blobs,lidar", "--streams", "1,4", "--unix"],
    ["shard", "--workload", "blobs,lidar,imu10k"],
    ["get", "--workload", "blobs,lidar,4k-default,imu10k", "--streams", "1,4"],
    ["range", "--workload", "blobs,lidar,imu10k", "--bytes", "2GB"],
    ["close", "--workload", "blobs,imu10k", "--repeats", "10"],
    ["close", "--workload", "blobs", "--bytes", "10GB", "--repeats", "5"],
    ["restart", "--chunks", "20000", "--repeats", "3"],
    ["mix", "--rate", "0.7", "--seconds", "60"],
]
QUICK = ["--bytes", "100MB", "--repeats", "2"]

MEMORY_MAX = 300 << 20
BUDGET = (512 << 20) + (1 << 30)  # memory.receive_bytes + memory.read_bytes; the blocks come per shard
BLOCKS = 32 << 20


def at_least(key, bound):
    return lambda row: (row.get(key), f"≥ {bound:g}", row.get(key) is not None and row[key] >= bound)


def at_most(key, bound):
    return lambda row: (row.get(key), f"≤ {bound:g}", row.get(key) is not None and row[key] <= bound)


def more(key, bound):
    return lambda row: (row["more"].get(key), f"≤ {bound:g}", row["more"].get(key, bound + 1) <= bound)


def close(row):
    return row["p99_ms"], f"≤ {row['more']['allowed_ms']:.0f}", row["p99_ms"] <= row["more"]["allowed_ms"]


# design.md §3, line by line: (measure, workloads, what it is called, check).
GOALS = [
    ("put", {"blobs", "4k-image", "4k-default"}, "CPU added over the sink, s/GB", at_most("added_s_gb", 0.15)),
    ("put", {"lidar"}, "CPU added over the sink, s/GB", at_most("added_s_gb", 0.20)),
    ("put", {"blobs", "lidar", "4k-image", "4k-default"}, "of min(sink, device)", at_least("ratio", 0.75)),
    ("put", {"imu10k"}, "rows/s", at_least("rows_s", 18e6)),
    ("put", {"imu100"}, "rows/s", at_least("rows_s", 4e6)),
    ("shard", {"blobs", "lidar"}, "of the device", at_least("ratio", 0.9)),
    ("shard", {"blobs"}, "CPU, s/GB", at_most("server_s_gb", 0.13)),
    ("shard", {"lidar"}, "CPU, s/GB", at_most("server_s_gb", 0.20)),
    ("get", None, "of min(memory, device)", at_least("ratio", 0.8)),
    ("get", None, "first batch, p99 ms", at_most("p99_ms", 10)),
    ("range", {"imu10k"}, "p99 ms", at_most("p99_ms", 20)),
    ("range", None, "bytes read for bytes stored", more("read_ratio", 2)),
    ("close", None, "last byte to OK, p99 ms", close),
    ("restart", None, "start, p99 ms", at_most("p99_ms", 1000)),
    ("mix", {"all"}, "lateness, p99.9 ms", at_most("p999_ms", 100)),
]


def key(row):
    return "/".join([row["measure"], row["workload"], str(row["streams"]), row["transport"], str(row["bytes"])])


def short(row):
    size = f", {row['bytes'] / 1e9:.3g} GB" if row["bytes"] else ""
    unix = ", unix" if row["transport"] == "unix" else ""
    return f"{row['measure']} {row['workload']} × {row['streams']}{unix}{size}"


def measure(arguments):
    results = {"machine": None, "rows": [], "when": time.strftime("%Y-%m-%d %H:%M:%S"), "commands": []}
    for run in RUNS:
        command = quickened(run) if arguments.quick else ["bench", *run]
        with tempfile.NamedTemporaryFile(suffix=".json") as out:
            full = [*arguments.prefix, arguments.binary, *command, "--directory", arguments.directory]
            print("tessera", *command, file=sys.stderr, flush=True)
            done = subprocess.run([*full, "--json", out.name], stdout=subprocess.DEVNULL)
            if done.returncode != 0:
                print(f"failed with {done.returncode}: its rows are missing", file=sys.stderr)
                continue
            part = json.load(open(out.name))
        results["machine"] = part["machine"]
        results["rows"] += part["rows"]
        results["commands"].append(" ".join(["tessera", *command]))
    if arguments.pyarrow:
        done = subprocess.run([arguments.pyarrow, HERE / "streams.py", "3", "--json"], capture_output=True, text=True)
        results["pyarrow"] = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    (HERE / "results").mkdir(exist_ok=True)
    path = HERE / "results" / time.strftime("%Y%m%d-%H%M%S.json")
    path.write_text(json.dumps(results, indent=1) + "\n")
    print(path)
    return results


def quickened(run):
    """The run with small numbers in place of its own."""
    kept, skip = [], False
    for word in run:
        if skip:
            skip = False
        elif word in ("--bytes", "--repeats", "--chunks", "--seconds"):
            skip = True
        else:
            kept.append(word)
    small = {"restart": ["--chunks", "50"], "mix": ["--seconds", "2"]}.get(run[0], [])
    return ["bench", *kept, *small, *QUICK]


def number(value, digits=2):
    if value is None:
        return "–"
    return f"{value / 1e6:.3g} M" if value >= 1e6 else f"{value:.{digits}f}" if value < 100 else f"{value:.0f}"


def goals(results):
    """Every goal with its value, floor and verdict."""
    for row in results["rows"]:
        for measured, workloads, name, check in GOALS:
            if row["measure"] == measured and (workloads is None or row["workload"] in workloads):
                value, bound, kept = check(row)
                yield row, name, value, bound, kept
        if row.get("peak_rss"):
            bound = MEMORY_MAX + BUDGET + BLOCKS * results["machine"]["cores"]
            yield row, "peak RSS, MiB", row["peak_rss"] / 2**20, f"≤ {bound >> 20}", row["peak_rss"] <= bound


def render(results):
    machine = results["machine"]
    lines = [
        "# What was measured",
        "",
        f"{results['when']} · tessera {machine['version']} · {machine['cores']} × {machine['processor']} · "
        f"{machine['memory'] >> 30} GiB · Linux {machine['kernel']} · {machine['file_system']} on {machine['device']} · "
        f"{machine['backend']}. The client runs on the same cores. Medians of alternating repeats. `perf/report.py run`.",
        "",
        "## Goals",
        "",
        "| run | what | value | goal | |",
        "|---|---|---|---|---|",
    ]
    for row, name, value, bound, kept in goals(results):
        lines.append(f"| {short(row)} | {name} | {number(value)} | {bound} | {'pass' if kept else '**short**'} |")
    lines += [
        "",
        "## Numbers",
        "",
        "| run | MB/s | rows/s | sink MB/s | device MB/s | ratio | s/GB | sink s/GB | added | client s/GB | RSS MiB | p50 / p99 / p99.9 ms |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in results["rows"]:
        values = [
            number(row["mb_s"], 0),
            number(row["rows_s"], 0),
            number(row["sink_mb_s"], 0),
            number(row["device_mb_s"], 0),
            number(row["ratio"]),
            number(row["server_s_gb"], 3),
            number(row["sink_s_gb"], 3),
            number(row["added_s_gb"], 3),
            number(row["client_s_gb"], 3),
            "–" if not row["peak_rss"] else str(row["peak_rss"] >> 20),
            " / ".join(number(row[p]) for p in ("p50_ms", "p99_ms", "p999_ms")),
        ]
        lines.append(f"| {short(row)} | {' | '.join(values)} |")
    lines += ["", "Percentiles are:", ""]
    lines += sorted({f"* {row['measure']}: {row['latency_of']}" for row in results["rows"]})
    others = [(short(row), {k: v for k, v in row["more"].items() if k != "runs"}) for row in results["rows"]]
    if any(more for _, more in others):
        lines += ["", "## More", ""]
        for name, more in others:
            if more:
                lines.append(f"* {name}: " + ", ".join(f"{k} {number(v)}" for k, v in more.items()))
    if results.get("pyarrow"):
        lines += ["", "## With pyarrow as the client", "", "| run | MB/s | server s/GB | first batch ms |", "|---|---|---|---|"]
        for row in results["pyarrow"]:
            name = f"{row['measure']} {row['workload']}"
            lines.append(f"| {name} | {number(row['mb_s'], 0)} | {number(row['server_s_gb'], 3)} | {number(row.get('first_ms'))} |")
    REPORT.write_text("\n".join(lines) + "\n")
    print(REPORT)


def ratios(results):
    """What a baseline keeps of a result file."""
    kept = ("ratio", "server_s_gb", "sink_s_gb", "added_s_gb")
    return {key(row): {name: round(row[name], 4) for name in kept if row[name] is not None} for row in results["rows"]}


def compare(old, new):
    """Prints what got worse, and says whether anything did."""
    worse = []
    for name in sorted(old.keys() & new.keys()):
        before, after = old[name], new[name]
        if "ratio" in before and "ratio" in after and after["ratio"] < before["ratio"] * (1 - RATIO_SLACK):
            worse.append(f"{name}: ratio {before['ratio']:.2f} → {after['ratio']:.2f}")
        cost = "added_s_gb" if "added_s_gb" in before and "added_s_gb" in after else "server_s_gb"
        if cost in before and cost in after:
            allowed = before[cost] + abs(before[cost]) * CPU_SLACK + CPU_NOISE
            if after[cost] > allowed:
                worse.append(f"{name}: {cost} {before[cost]:.3f} → {after[cost]:.3f}")
    for name in sorted(old.keys() - new.keys()):
        print(f"not measured: {name}")
    print("\n".join(worse) if worse else f"nothing worse in {len(old.keys() & new.keys())} runs")
    return bool(worse)


def load(path):
    return json.loads(pathlib.Path(path).read_text())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run")
    run.add_argument("--binary", default="target/release/tessera")
    run.add_argument("--directory", default="./tessera-bench")
    run.add_argument("--quick", action="store_true")
    run.add_argument("--pyarrow", metavar="PYTHON", help="also measure with pyarrow as the client, by this interpreter")
    run.add_argument("--prefix", default="", help="a command to put before each run, to wait for a quiet machine", type=str.split)
    commands.add_parser("render").add_argument("results")
    both = commands.add_parser("compare")
    both.add_argument("old")
    both.add_argument("new")
    for name in ("check", "baseline"):
        commands.add_parser(name).add_argument("new")
    arguments = parser.parse_args()
    if arguments.command == "run":
        render(measure(arguments))
    elif arguments.command == "render":
        render(load(arguments.results))
    elif arguments.command == "baseline":
        BASELINE.write_text(json.dumps(ratios(load(arguments.new)), indent=1, sort_keys=True) + "\n")
    else:
        old = load(BASELINE) if arguments.command == "check" else ratios(load(arguments.old))
        sys.exit(3 if compare(old, ratios(load(arguments.new))) else 0)


if __name__ == "__main__":
    main()
