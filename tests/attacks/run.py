"""Goal: hours of hostile clients neither end a server nor make it grow.

Method: the tests of the threats run again and again against one server, in another order each time, in one process; each of them
holds its attack to what it may cost. Behind every round the server is the same process, has the descriptors and threads that it had
before the first one, and holds no more memory than its budget, nor than behind the second round.

    tests/run attacks [MINUTES]

TESSERA_SEED repeats the orders.
"""

import os
import pathlib
import random
import sys
import time

import pytest

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

from harness import rows  # noqa: E402
from harness.flight import Client  # noqa: E402
from harness.server import Server  # noqa: E402
from harness.waiting import until  # noqa: E402

MIB = 1 << 20
GROWTH = 128 * MIB  # what may differ by the order of a round
SPARE = 8  # descriptors and threads that come and go
FILES = ["bombs", "floods", "gzip", "hostile", "injection", "query_bombs", "slow_clients", "tickets", "tokens", "unread_answers"]
SEED = int(os.environ.get("TESSERA_SEED", random.SystemRandom().randrange(2**32)))
# What the files ask for that have a CONFIG, and memory that makes a leak show.
CONFIG = f"""
[connections]
first_request_ms = 2000
first_message_ms = 2000
stall_ms = 2000
settings_ack_ms = 2000
keep_alive_ms = 3000
keep_alive_timeout_ms = 1000
idle_buffer_bytes_max = {64 * MIB}
held_bytes_max = {64 * MIB}
[memory]
receive_bytes = {256 * MIB}
read_bytes = {128 * MIB}
read_stall_ms = 1000
blocks_per_shard = 16
[shards]
count = 2
"""
BUDGET = (64 + 64 + 256 + 128 + 128 + 128 + 2 * (16 + 17) + 100) * MIB  # the formula of [memory] in configs/tessera.toml


class Counter:
    """A plugin: counts what passed, and keeps what did not."""

    def __init__(self):
        self.passed, self.failed = 0, []

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.failed.append(report.nodeid)
        self.passed += report.when == "call" and report.passed


def threads(server):
    return len(list(pathlib.Path(f"/proc/{server.pid}/task").iterdir()))


def attack(server, files):
    """A round; how many passed."""
    counter = Counter()
    arguments = ["-c", str(TESTS / "pytest.ini"), "--rootdir", str(TESTS), "--color=no", "-q", *files]
    code = pytest.main(arguments, plugins=[counter])
    assert code == pytest.ExitCode.OK and counter.passed and not counter.failed, f"{code!r}: {counter.failed}"
    return counter.passed


def main(minutes):
    dice, passed, settled = random.Random(SEED), 0, None
    print(f"seed {SEED}: TESSERA_SEED={SEED} repeats the orders", flush=True)
    server = Server.shared = Server("attacks", config=CONFIG)
    try:
        server.start()
        first = server.descriptors(), threads(server)
        pid, end, nth = server.pid, time.monotonic() + 60 * minutes, 0
        while nth == 0 or time.monotonic() < end:
            nth += 1
            files = [str(TESTS / "blackbox" / f"test_{name}.py") for name in dice.sample(FILES, len(FILES))]
            passed += attack(server, files)
            until(lambda: server.descriptors() <= first[0] + SPARE, "descriptors to be given back")
            until(lambda: threads(server) <= first[1] + SPARE, "threads to end")
            assert server.process.poll() is None and server.pid == pid, server.log()[-4000:]
            assert server.memory() < BUDGET, f"{server.memory() >> 20} MiB, the budget is {BUDGET >> 20}"
            if nth == 2:
                settled = server.memory()
            assert settled is None or server.memory() < settled + GROWTH, f"{server.memory() >> 20} MiB, {settled >> 20} before"
            print(f"round {nth}: {passed} attacks so far, {server.memory() >> 20} MiB, {server.descriptors()} descriptors, "
                  f"{threads(server)} threads", flush=True)
        with Client(server.location) as client:
            client.record_sequence("after_all", {"a": [rows.counters(range(100))]})
            assert client.read("after_all/a").num_rows == 100
        server.stop()
    except BaseException:
        print(f"the server's directory is {server.directory}", flush=True)
        if server.process is not None and server.process.poll() is None:
            server.kill()
        raise
    server.remove()


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 10)
