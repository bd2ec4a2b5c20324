#!/usr/bin/env python3
"""Measures everything the design promises, and says how far it is kept.

    perf/report.py run [--binary BINARY] [--directory DIR]
                                    measure (20 minutes on a quiet machine); writes perf/results/<time>.json and perf/REPORT.md
    perf/report.py run --quick      everything small, in a minute: shows that it works. Goes to target/perf
    perf/report.py render RESULTS   perf/REPORT.md from a result file
    perf/report.py compare OLD NEW  what got worse, by ratios and CPU-seconds per GB; exit code 3 when something did
    perf/report.py check NEW        the same against the committed perf/baseline.json
    perf/report.py baseline NEW     makes a result file the baseline

Raw times are never compared: they say more about the day than about the code.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import goals
from goals import number
from goals import short

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
BASELINE = HERE / "baseline.json"
REPORT = HERE / "REPORT.md"

# What counts as worse: a tenth of a ratio, or a tenth of the CPU time and more than what ticks of 10 ms can make up.
RATIO_SLACK = 0.10
CPU_SLACK = 0.10
CPU_NOISE = 0.03  # s/GB

# The runs of the full set; `--quick` makes them small.
RUNS = [
    ["put", "--workload", "blobs,lidar", "--streams", "1,4"],
    # So much that each of 64 streams has more to do than to close its file.
    ["put", "--workload", "blobs,lidar", "--streams", "8,64", "--bytes", "2GB"],
    ["put", "--workload", "4k-image,4k-default", "--streams", "1"],
    ["put", "--workload", "imu10k", "--streams", "1,4"],
    ["put", "--workload", "imu100", "--streams", "1,4", "--bytes", "200MB"],
    ["put", "--workload", "blobs,lidar", "--streams", "1,4", "--unix"],
    ["shard", "--workload", "blobs,lidar,imu10k"],
    ["get", "--workload", "blobs,lidar,4k-default,imu10k", "--streams", "1,4"],
    ["get", "--workload", "blobs,imu10k", "--streams", "1", "--bytes", "4GB", "--repeats", "2"],
    ["range", "--workload", "blobs,lidar,imu10k", "--bytes", "2GB"],
    ["close", "--workload", "blobs,imu10k", "--repeats", "10"],
    ["close", "--workload", "blobs", "--bytes", "10GB", "--repeats", "5"],
    ["restart", "--chunks", "100000", "--repeats", "3"],
    ["mix", "--rate", "0.7", "--seconds", "60"],
]
QUICK = ["--bytes", "50MB", "--repeats", "1"]


def key(row):
    return "/".join([row["measure"], row["workload"], str(row["streams"]), row["transport"], str(row["bytes"])])


def measure(arguments):
    """Runs everything, and returns the results; a run that fails is told in them."""
    results = {
        "machine": None,
        "when": time.strftime("%Y-%m-%d %H:%M:%S"),
        "commit": commit(),
        "command": "perf/report.py run" + (" --quick" if arguments.quick else ""),
        "commands": [],
        "failed": [],
        "rows": [],
    }
    for run in RUNS:
        command = quickened(run) if arguments.quick else ["bench", *run]
        results["commands"].append(" ".join(["tessera", *command]))
        print(results["commands"][-1], file=sys.stderr, flush=True)
        with tempfile.NamedTemporaryFile(suffix=".json") as out:
            full = [*arguments.prefix, arguments.binary, *command, "--directory", arguments.directory, "--json", out.name]
            if subprocess.run(full, stdout=subprocess.DEVNULL).returncode != 0:
                results["failed"].append(results["commands"][-1])
                continue
            part = json.loads(pathlib.Path(out.name).read_text())
        results["machine"] = part["machine"]
        results["rows"] += part["rows"]
    results["pyarrow"] = second_opinion(arguments)
    return results


def second_opinion(arguments):
    """What `streams.py` measures with pyarrow as the client; nothing without an interpreter that has it."""
    environments = pathlib.Path(os.environ.get("TESSERA_VENVS", ROOT / "target" / "venv"))
    python = arguments.pyarrow or environments / "0.7.0" / "bin" / "python"
    if not pathlib.Path(python).exists():
        print(f"no {python} (tests/run makes it): the second opinion is missing", file=sys.stderr)
        return []
    environment = os.environ | {"TESSERA_BIN": str(pathlib.Path(arguments.binary).resolve())}
    command = [*arguments.prefix, python, HERE / "streams.py", "1" if arguments.quick else "5", "--json"]
    print("perf/streams.py", file=sys.stderr, flush=True)
    done = subprocess.run([*command, *(["--quick"] if arguments.quick else [])], capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        print(f"the second opinion failed:\n{done.stderr[-2000:]}", file=sys.stderr)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def commit():
    git = ["git", "-C", ROOT, "describe", "--always", "--dirty", "--abbrev=10"]
    return subprocess.run(git, capture_output=True, text=True).stdout.strip() or "unknown"


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


def spread(row):
    """The smallest and the largest of the repeats: how far the median is to be trusted."""
    runs = [value for value in row["more"].get("runs", {}).get("mb_s", []) if value is not None]
    return f" ({min(runs):.0f}–{max(runs):.0f})" if len(runs) > 1 else ""


def table(head, lines):
    return [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *(f"| {' | '.join(line)} |" for line in lines), ""]


def verdict_lines(found):
    return [
        [one.run, one.what, number(one.value), one.bound, one.floor or "–", "kept" if one.kept else "**short**"] for one in found
    ]


def rendered(results):
    """The report as text."""
    machine = results["machine"]
    found = list(goals.verdicts(results))
    short_ones = [one for one in found if not one.kept]
    gone = goals.missing(results)
    repeats = sorted({row["repeats"] for row in results["rows"] if row["measure"] in ("put", "get", "shard")})
    lines = [
        "# What was measured",
        "",
        f"* when: {results['when']}, commit {results.get('commit', 'unknown')}, tessera {machine['version']}",
        f"* how: `{results.get('command', 'perf/report.py run')}`, a release build",
        f"* processor: {machine['cores']} × {machine['processor']}, {machine['memory'] >> 30} GiB",
        f"* disk: {machine['file_system']} on {machine['device']}, {machine['backend']}; Linux {machine['kernel']}",
        "* client: on the same cores, in Rust, with messages made before",
        f"* repeats: {', '.join(map(str, repeats)) or '–'}; in each the disk alone, the null sink and the daemon take turns. Numbers "
        "are medians, ratios and added CPU are medians of each turn's own. s/GB: CPU-seconds of that process for 10⁹ bytes",
        "",
        f"## Goals: {len(found) - len(short_ones)} of {len(found)} kept",
        "",
    ]
    if "--quick" in results.get("command", ""):
        lines += ["**Measured small: this shows that it works, not how fast it is.**", ""]
    if short_ones:
        lines += ["### Short of the goal", ""] + table(GOAL_HEAD, verdict_lines(short_ones))
    if gone or results.get("failed"):
        lines += ["### Not measured", ""] + [f"* {what}" for what in gone]
        lines += [f"* failed: `{command}`" for command in results.get("failed", [])] + [""]
    lines += ["### All", "", *table(GOAL_HEAD, verdict_lines(found)), ALONE, "", "## Numbers", ""]
    lines += table(
        ["run", "MB/s", "rows/s", "sink MB/s", "device MB/s", "ratio", "s/GB", "sink s/GB", "added", "client s/GB", "RSS MiB",
         "p50 / p99 / p99.9 ms"],
        [
            [
                short(row),
                number(row["mb_s"], 0) + spread(row),
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
            for row in results["rows"]
        ],
    )  # fmt: skip
    lines += ["Percentiles are:", ""]
    lines += sorted({f"* {row['measure']}: {row['latency_of']}" for row in results["rows"]}) + [""]
    others = [(short(row), {k: v for k, v in row["more"].items() if k != "runs"}) for row in results["rows"]]
    if any(more for _, more in others):
        lines += ["## More", ""]
        lines += [f"* {name}: " + ", ".join(f"{k} {number(v)}" for k, v in more.items()) for name, more in others if more] + [""]
    if results.get("pyarrow"):
        lines += ["## The second opinion: pyarrow as the client", ""]
        head = ["run", "MB/s", "server s/GB", "client s/GB", "first batch ms", "our client: MB/s", "s/GB"]
        lines += table(head, [opinion(row, results["rows"]) for row in results["pyarrow"]])
    lines += ["## Commands", "", "```", *results.get("commands", []), "```"]
    return "\n".join(lines) + "\n"


GOAL_HEAD = ["run", "what", "value", "goal", "floor of the same run", ""]
ALONE = (
    "¹ Derived, where client and server share their cores: what the server could take by its CPU time for a GB if all cores were "
    "its own, against what the sink could, neither above the device."
)


def opinion(row, rows):
    workload = {"imu": "imu10k"}.get(row["workload"], row["workload"])
    same = next((own for own in rows if (own["measure"], own["workload"], own["streams"]) == (row["measure"], workload, 1)), {})
    numbers = [(row["mb_s"], 0), (row["server_s_gb"], 3), (row.get("client_s_gb"), 3), (row.get("first_ms"), 2)]
    numbers += [(same.get("mb_s"), 0), (same.get("server_s_gb"), 3)]
    return [f"{row['measure']} {row['workload']}", *(number(*one) for one in numbers)]


def ratios(results):
    """What a baseline keeps of a result file."""
    kept = ("ratio", "server_s_gb", "sink_s_gb", "added_s_gb")
    numbers = {key(row): {name: round(row[name], 4) for name in kept if row[name] is not None} for row in results["rows"]}
    for row in results["rows"]:
        if row["more"].get("read_ratio") is not None:
            numbers[key(row)]["read_ratio"] = round(row["more"]["read_ratio"], 4)
    return numbers


def compare(old, new):
    """Prints what got worse, and says whether anything did."""
    worse = []
    for name in sorted(old.keys() & new.keys()):
        before, after = old[name], new[name]
        if "ratio" in before and "ratio" in after and after["ratio"] < before["ratio"] * (1 - RATIO_SLACK):
            worse.append(f"{name}: ratio {before['ratio']:.2f} → {after['ratio']:.2f}")
        if "read_ratio" in before and after.get("read_ratio", 0) > before["read_ratio"] * (1 + RATIO_SLACK):
            worse.append(f"{name}: read_ratio {before['read_ratio']:.2f} → {after['read_ratio']:.2f}")
        cost = "added_s_gb" if "added_s_gb" in before and "added_s_gb" in after else "server_s_gb"
        if cost in before and cost in after:
            allowed = before[cost] + abs(before[cost]) * CPU_SLACK + CPU_NOISE
            if after[cost] > allowed:
                worse.append(f"{name}: {cost} {before[cost]:.3f} → {after[cost]:.3f}")
    for name in sorted(old.keys() - new.keys()):
        print(f"not measured: {name}")
    both = len(old.keys() & new.keys())
    if not both:
        sys.exit("the two have no run in common: nothing was compared")
    print("\n".join(worse) if worse else f"nothing worse in {both} runs")
    return bool(worse)


def told_apart(old, new):
    """Says when the two are of different machines: ratios are for comparing, but not that far."""
    for what in ("processor", "cores", "device", "backend"):
        if old[what] != new[what]:
            print(f"another {what}: {old[what]} and {new[what]}")


def load(path):
    return json.loads(pathlib.Path(path).read_text())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run")
    run.add_argument("--binary", default="target/release/tessera")
    run.add_argument("--directory", default="./tessera-bench")
    run.add_argument("--quick", action="store_true")
    run.add_argument("--pyarrow", metavar="PYTHON", help="the interpreter for the second opinion [the tests' own]")
    run.add_argument("--prefix", default="", help="a command to put before each run, to wait for a quiet machine", type=str.split)
    commands.add_parser("render").add_argument("results")
    both = commands.add_parser("compare")
    both.add_argument("old")
    both.add_argument("new")
    for name in ("check", "baseline"):
        commands.add_parser(name).add_argument("new")
    arguments = parser.parse_args()
    if arguments.command == "run":
        results = measure(arguments)
        if not results["rows"]:
            sys.exit("nothing was measured")
        place = ROOT / "target" / "perf" if arguments.quick else HERE
        path = place / "results" / time.strftime("%Y%m%d-%H%M%S.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(results, indent=1) + "\n")
        (place / REPORT.name).write_text(rendered(results))
        print(path, place / REPORT.name, sep="\n")
        sys.exit(1 if results["failed"] else 0)
    elif arguments.command == "render":
        REPORT.write_text(rendered(load(arguments.results)))
        print(REPORT)
    elif arguments.command == "baseline":
        new = load(arguments.new)
        kept = {name: new[name] for name in ("machine", "when", "commit")} | {"runs": ratios(new)}
        BASELINE.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    else:
        old, new = load(BASELINE if arguments.command == "check" else arguments.old), load(arguments.new)
        told_apart(old["machine"], new["machine"])
        sys.exit(3 if compare(old["runs"] if "runs" in old else ratios(old), ratios(new)) else 0)


if __name__ == "__main__":
    main()
