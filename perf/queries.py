#!/usr/bin/env python3
"""How fast queries are, and how much they read in vain: over a real connection, on catalogs of any size.

    TESSERA_BIN=target/release/tessera target/venv/0.7.0/bin/python perf/queries.py [--full] [--sequences N] [--chunks N]
        [--drives N] [--rows N] [--repeats N] [--json FILE] [--check]

Small by default (2 000 sequences, 20 000 chunks; a minute); `--full` has the sizes of the design: 100 000 sequences with metadata,
1 000 000 chunks. These catalogs are generated: their chunks have statistics and no files, so a chunk that should have been left
out ends a query with an error. What is read in vain is measured on `--drives` recorded ones, whose signals wander as a
vehicle's do; windows on two topics of `--rows`. `--check` ends with code 3 when a goal is missed. `--json FILE` also writes the table beside it, as FILE.md.
"""

import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402

from harness.flight import Client  # noqa: E402
from harness.server import Server  # noqa: E402
from harness.server import binary  # noqa: E402

SIGNALS = ("ax", "ay", "az", "speed", "heading")
SCHEMA = pa.schema([pa.field("timestamp_ns", pa.int64(), False), *(pa.field(name, pa.float64()) for name in SIGNALS)])
CHUNK_ROWS = 600
STEP_NS = 100_000_000
# What a query on metadata, or one on values, may take: p99 warm, and the first one after a start. In milliseconds.
GOALS = {"metadata": (50, None), "values": (50, 300)}
VAIN_MAX = 0.01
# What windows over a topic of any length may add to the memory in use.
WINDOWS_BYTES_MAX = 200_000_000


def wander(random_state, rows, step):
    """A signal that goes on from where it was, as time goes on."""
    return np.cumsum(random_state.normal(0, step, rows))


def batches(seed, chunks):
    """Rows of a drive, a chunk at a time. Time ascends over all drives."""
    noise = np.random.default_rng(seed)
    rows = chunks * CHUNK_ROWS
    columns = [wander(noise, rows, 0.02) for _ in SIGNALS]
    times = (np.arange(rows) + seed * rows) * STEP_NS
    for at in range(0, rows, CHUNK_ROWS):
        arrays = [pa.array(column[at : at + CHUNK_ROWS]) for column in [times, *columns]]
        yield pa.record_batch(arrays, schema=SCHEMA)


def record(client, name, chunks, shift=0.0, seed=0):
    client.create_sequence(name, {"vehicle": "needle", "run": -1})
    session = client.create_session(name)
    rows = [pa.record_batch([b.column(0), *(pa.array(c.to_numpy() + shift) for c in b.columns[1:])], schema=SCHEMA) for b in batches(seed, chunks)]
    client.record(session, f"{name}/imu", rows, tag="Drive")
    client.finalize(session)


def percentile(values, share):
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def ask(client, query):
    began = time.perf_counter()
    answer = client.action("query", query)
    return (time.perf_counter() - began) * 1e3, answer


class Bench:
    def __init__(self, arguments):
        self.arguments = arguments
        self.rows = []
        self.memory = {"anonymous": 0, "catalog_bytes": 0}

    def measure(self, server, kind, name, queries, hits, cold=None):
        """Asks all of `queries` in turn, `repeats` times in all. `hits`: sequences in each answer, or what an answer must have."""
        times, answered = [], []
        with Client(server.location) as client:
            for at in range(self.arguments.repeats + 3):
                took, answer = ask(client, queries[at % len(queries)])
                count = len(answer["items"])
                assert hits(count) if callable(hits) else count == hits, f"{name}: {count} sequences"
                if at >= 3:
                    times.append(took)
                    answered.append(count)
            _, explained = ask(client, queries[0] | {"explain": True})
        self.rows.append(
            {
                "kind": kind,
                "query": name,
                "repeats": len(times),
                "found": sum(answered) / len(answered),
                "p50_ms": percentile(times, 0.5),
                "p99_ms": percentile(times, 0.99),
                "p999_ms": percentile(times, 0.999),
                "cold_ms": cold,
                "explain": explained["explain"],
            }
        )
        print(line(self.rows[-1]), flush=True)

    def cold(self, server, query):
        """The first query after a start: its time from the moment that the server is ready."""
        server.restart()
        with Client(server.location) as client:
            list(client.flight.list_actions())
            return ask(client, query)[0]

    def generated(self, sequences, chunks):
        server = Server("queries", environment={"TESSERA_CHUNK_ROWS_MAX": str(CHUNK_ROWS), "TESSERA_SCRUB_PERIOD_DAYS": "0"})
        try:
            server.start()
            with Client(server.location) as client:
                record(client, "needle", 4)
            server.stop()
            began = time.monotonic()
            command = [binary(), "bench", "catalog", "--data-dir", server.data, "--like", "needle/imu"]
            subprocess.run([*command, "--sequences", str(sequences), "--chunks", str(chunks)], check=True)
            made = time.monotonic() - began
            size = sum(f.stat().st_size for f in (server.data / "catalog").iterdir())
            print(f"{sequences} sequences, {chunks} chunks: catalog of {size / 1e6:.0f} MB made in {made:.0f} s", flush=True)
            server.start()
            if sequences:
                self.metadata(server, sequences)
            if chunks:
                self.values(server, chunks)
            self.memory = {"anonymous": server.memory(), "catalog_bytes": size}
        finally:
            server.remove()

    def metadata(self, server, sequences):
        def meta(path, condition):
            return {"sequence": {"user_metadata": {path: condition}}}

        runs = random.Random(1).sample(range(sequences), min(50, sequences))
        cold = self.cold(server, meta("run", {"$eq": runs[0]}))
        self.measure(server, "metadata", "a number that one has", [meta("run", {"$eq": run}) for run in runs], 1, cold)
        some = lambda count: count > 0  # noqa: E731
        self.measure(server, "metadata", "a text of a thousandth", [meta("driver", {"$eq": f"driver {n}"}) for n in range(9)], some)
        both = [meta("vehicle", {"$eq": f"v{n}"}) | {"topic": {"user_metadata": {"mount": {"$eq": "rear"}}}, "limit": 20} for n in range(9)]
        both = [q | {"sequence": {"user_metadata": {"vehicle": {"$eq": "v7"}, "driver": {"$match": "driver 1*"}, "run": {"$lt": sequences // 4}}}} for q in both]
        self.measure(server, "metadata", "three keys and a topic's", both, lambda count: count >= 0)
        globs = [meta("note", {"$match": f"run {run} of*"}) for run in runs]
        self.measure(server, "metadata", "a glob over texts that all differ", globs, 1)
        deep = [meta("**.celsius", {"$between": [20.25, 20.35]}), meta("tags[*]", {"$eq": "night-3"}) | {"limit": 50}]
        self.measure(server, "metadata", "any depth, elements of lists", deep, some)
        names = [{"sequence": {"name": {"$match": f"run-*{run:05}"}}} for run in runs]
        self.measure(server, "metadata", "a glob over names", names, some)
        times = [{"sequence": {"created_at_ns": {"$between": [(1_700_000_000 + run) * 10**9, (1_700_000_005 + run) * 10**9]}}} for run in runs]
        self.measure(server, "metadata", "a time of creation", times, some)
        self.measure(server, "metadata", "a text of a hundredth, all of it", [meta("vehicle", {"$eq": "v7"}) | {"topic": {"name": {"$eq": "/imu"}}}], some)

    def values(self, server, chunks):
        few = {"ontology": {"Drive.ax": {"$lt": 500}}}
        cold = self.cold(server, few)
        self.measure(server, "values", "segments decide", [few], 1, cold)
        between = {"ontology": {"Drive.ax": {"$or": [{"$lt": 500}, {"$between": [2000, 2100]}]}}}
        self.measure(server, "values", "a hundredth needs its chunks' statistics", [between], 1, self.cold(server, between))
        both = {"ontology": {"Drive.ax": {"$lt": 500}, "Drive.speed": {"$gt": -1000}}, "sequence": {"user_metadata": {"vehicle": {"$eq": "needle"}}}}
        self.measure(server, "values", "with metadata", [both], 1)
        none = {"ontology": {"Drive.ax": {"$gt": 1e6}}}
        self.measure(server, "values", "nothing matches", [none], 0)

    def vain(self, drives):
        """Ranges over recorded drives, every matching chunk of them read: how many had no match."""
        server = Server("vain", environment={"TESSERA_CHUNK_ROWS_MAX": str(CHUNK_ROWS)})
        try:
            server.start()
            with Client(server.location) as client:
                for n in range(drives):
                    record(client, f"drive-{n}", 100, seed=n)
                signals = np.concatenate([b.column("ax").to_numpy() for n in range(drives) for b in batches(n, 100)])
                low, high = np.quantile(signals, [0.0, 1.0])
                choose, read, hit, considered = random.Random(7), 0, 0, 0
                for _ in range(100):
                    width = (high - low) * choose.choice([0.001, 0.01, 0.05])
                    first = choose.uniform(low, high)
                    condition = choose.choice([{"$between": [first, first + width]}, {"$gt": first}, {"$lt": first}])
                    query = {"ontology": {"Drive.ax": condition, "include_timestamp_range": True}, "explain": True}
                    cost = client.action("query", query)["explain"]
                    considered += cost["chunks"]
                    read, hit = read + cost["chunks_read"], hit + cost["chunks_read"] - cost["chunks_read_in_vain"]
            row = {"kind": "vain", "query": f"100 ranges over {drives * 100} chunks", "considered": considered, "read": read, "matched": hit}
            self.rows.append(row | {"vain": (read - hit) / max(read, 1)})
            print(f"read in vain: {read - hit} of {read} chunks, {considered} considered", flush=True)
        finally:
            server.remove()


    def windows(self, rows):
        """Windows of one topic and of two, over all of their rows: what it takes in time and memory."""
        server = Server("windows")
        try:
            server.start()
            with Client(server.location) as client:
                client.create_sequence("long")
                session = client.create_session("long")
                schema = pa.schema([pa.field("timestamp_ns", pa.int64(), False), pa.field("level", pa.int16())])
                for path, shift in (("a", 0), ("b", 50)):
                    client.put(f"long/{path}", client.create_topic(session, f"long/{path}", tag="Level"), schema, levels(rows, shift, schema))
                client.finalize(session)
                server.restart()
            with Client(server.location) as client:
                one = {"locator": "long/a", "clustering_dt_ns": 5 * 10**6, "ontology": {"Level.level": {"$gt": 900}}}
                both = {"topics": [one, one | {"locator": "long/b"}], "intersect_dt_ns": 0}
                for kind, request in (("clusterize", one), ("intersect", both)):
                    before = forget_peak(server)
                    began = time.monotonic()
                    count = len(client.results(f"topic_filter_{kind}", request))
                    took, peak = time.monotonic() - began, peak_memory(server)
                    self.rows.append({"kind": "windows", "query": f"{kind}, {rows:,} rows a topic", "seconds": took, "found": count, "before": before, "peak": peak})
                    print(f"{kind} over {rows} rows a topic: {count} windows in {took:.1f} s, memory {before / 1e6:.0f} -> {peak / 1e6:.0f} MB", flush=True)
        finally:
            server.remove()


def levels(rows, shift, schema):
    """A millisecond a row; 100 rows of each 10 000 are high."""
    batch = 100_000
    level = pa.array(((np.arange(batch) + shift) % 10_000 >= 9_900).astype(np.int16) * 1000)
    for at in range(0, rows, batch):
        yield pa.record_batch([pa.array((np.arange(at, at + batch)) * 1_000_000), level], schema=schema)


def forget_peak(server):
    pathlib.Path(f"/proc/{server.pid}/clear_refs").write_text("5")
    return peak_memory(server)


def peak_memory(server):
    for line in pathlib.Path(f"/proc/{server.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    raise AssertionError("no VmHWM")


def line(row):
    cold = "" if row["cold_ms"] is None else f"  first {row['cold_ms']:.0f}"
    times = f"p50 {row['p50_ms']:6.2f}  p99 {row['p99_ms']:6.2f}  p99.9 {row['p999_ms']:6.2f}{cold} ms"
    return f"{row['kind']:8}  {row['query']:42}  {times}  found {row['found']:.0f}"


def missed(rows):
    """Goals that are not kept."""
    for row in rows:
        if row["kind"] == "windows":
            if row["peak"] - row["before"] > WINDOWS_BYTES_MAX:
                yield f"{row['query']}: {(row['peak'] - row['before']) / 1e6:.0f} MB more memory"
            continue
        if row["kind"] == "vain":
            if row["vain"] > VAIN_MAX:
                yield f"read in vain: {row['vain']:.1%}"
            continue
        warm, first = GOALS[row["kind"]]
        if row["p99_ms"] > warm:
            yield f"{row['query']}: p99 {row['p99_ms']:.1f} ms"
        if first is not None and row["cold_ms"] is not None and row["cold_ms"] > first:
            yield f"{row['query']}: first {row['cold_ms']:.0f} ms"


def machine():
    facts = {name: line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines() if ":" in line for name in [line.split(":")[0].strip()]}
    memory = int(pathlib.Path("/proc/meminfo").read_text().split()[1]) << 10
    return {"processor": facts.get("model name", "unknown"), "cores": os.cpu_count(), "memory": memory, "kernel": os.uname().release}


def table(results):
    sizes = results["sizes"]
    out = [
        "# Queries",
        "",
        f"`{results['command']}`, {results['when']}, commit {results['commit']}: {sizes['sequences']} sequences with metadata, {sizes['chunks']} chunks,"
        f" catalog of {results['memory']['catalog_bytes'] / 1e6:.0f} MB; {results['machine']['cores']} cores, shared with the client;"
        f" {results['memory']['anonymous'] / 1e6:.0f} MB of anonymous memory at the end.",
        "",
        "Milliseconds from the call to the answer, over a connection of pyarrow's. *First*: the first query after a start.",
        "",
        "| on | query | found | p50 | p99 | p99.9 | first | chunks | skipped by segment | by statistics | read | in vain |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in results["rows"]:
        if row["kind"] == "windows":
            cells = [row["kind"], f"{row['query']}: {row['seconds']:.1f} s, memory {row['before'] / 1e6:.0f} → {row['peak'] / 1e6:.0f} MB", row["found"], *[""] * 9]
        elif row["kind"] == "vain":
            cells = [row["kind"], row["query"], "", "", "", "", "", row["considered"], "", "", row["read"], f"{row['read'] - row['matched']} ({row['vain']:.2%})"]
        else:
            cost, cold = row["explain"], "" if row["cold_ms"] is None else f"{row['cold_ms']:.0f}"
            skipped = [cost["chunks_skipped_by_segment"], cost["chunks_skipped_by_statistics"]]
            cells = [row["kind"], row["query"], f"{row['found']:.0f}", *(f"{row[name]:.2f}" for name in ("p50_ms", "p99_ms", "p999_ms")), cold]
            cells += [cost["chunks"], *skipped, cost["chunks_read"], cost["chunks_read_in_vain"]]
        out.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    out += ["", "Goals: p99 50 ms for both, 300 ms for the first on values, 1 % read in vain. " + ("Missed: " + "; ".join(results["missed"]) if results["missed"] else "All kept.")]
    return "\n".join(out) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--sequences", type=int)
    parser.add_argument("--chunks", type=int)
    parser.add_argument("--drives", type=int)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--repeats", type=int)
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    full = arguments.full
    sizes = {"sequences": 100_000 if full else 2_000, "chunks": 1_000_000 if full else 20_000, "drives": 10 if full else 2, "rows": 100_000_000 if full else 1_000_000, "repeats": 1000 if full else 100}
    for name, size in sizes.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, size)
    bench = Bench(arguments)
    if arguments.sequences or arguments.chunks:
        bench.generated(arguments.sequences, arguments.chunks)
    if arguments.drives:
        bench.vain(arguments.drives)
    if arguments.rows:
        bench.windows(arguments.rows)
    git = ["git", "-C", HERE, "describe", "--always", "--dirty", "--abbrev=10"]
    results = {
        "machine": machine(),
        "when": time.strftime("%Y-%m-%d %H:%M"),
        "commit": subprocess.run(git, capture_output=True, text=True).stdout.strip() or "unknown",
        "command": " ".join(["perf/queries.py", *(word for word in sys.argv[1:])]),
        "sizes": {name: getattr(arguments, name) for name in sizes},
        "memory": bench.memory,
        "rows": bench.rows,
        "missed": list(missed(bench.rows)),
    }
    for miss in results["missed"]:
        print(f"missed: {miss}")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")
        arguments.json.with_suffix(".md").write_text(table(results))
    return 3 if arguments.check and results["missed"] else 0


if __name__ == "__main__":
    sys.exit(main())
