"""Starts the real binary beside a large archive, after a kill, and says how long it takes until it serves.

    TESSERA_ARCHIVE=/var/tmp/archive TESSERA_SESSIONS=1000 TESSERA_OPEN=100 TESSERA_TOPICS=10 TESSERA_CHUNKS=10 \\
        cargo test --test start an_archive
    TESSERA_BIN=target/release/tessera python3 perf/start.py /var/tmp/archive [REPEATS]

The archive has sessions x topics x chunks, the last sessions open as a kill leaves them; its files are sparse but each has
an inode and a name of its own (`tests/archive`). Every run works on what the run before left, and ends with SIGKILL. A cold
run first drops the kernel's caches of pages, names and inodes, for which it must be root. Printed per run: milliseconds from
exec to the line that says ready, CPU milliseconds until then, and the largest resident size so far.
"""

import os
import pathlib
import signal
import subprocess
import sys
import time

TICKS = os.sysconf("SC_CLK_TCK")
BINARY = os.environ.get("TESSERA_BIN", "target/release/tessera")


def drop_caches():
    os.sync()
    pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")


def start(archive):
    began = time.monotonic()
    server = subprocess.Popen(
        [BINARY, "serve", "--listen", "127.0.0.1:0", "--data-dir", archive],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    line = server.stdout.readline()
    took = time.monotonic() - began
    if "ready" not in line:
        sys.exit(f"the server did not start: {line}{server.stderr.read()}")
    fields = pathlib.Path(f"/proc/{server.pid}/stat").read_text().rsplit(")", 1)[1].split()
    status = pathlib.Path(f"/proc/{server.pid}/status").read_text()
    peak = next(int(row.split()[1]) for row in status.splitlines() if row.startswith("VmHWM"))
    server.send_signal(signal.SIGKILL)
    _, log = server.communicate()
    recovered = next((row for row in log.splitlines() if "recovered" in row), "")
    return took * 1000, (int(fields[11]) + int(fields[12])) / TICKS * 1000, peak / 1024, recovered


def main():
    archive, repeats = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5
    for kind in ("cold", "warm"):
        for _ in range(repeats):
            if kind == "cold":
                try:
                    drop_caches()
                except OSError:
                    print("cold runs need root: left out")
                    break
            took, cpu, peak, recovered = start(archive)
            print(f"{kind}  ready after {took:6.0f} ms, {cpu:5.0f} ms CPU, {peak:5.0f} MiB resident  {recovered[-160:]}")


if __name__ == "__main__":
    main()
