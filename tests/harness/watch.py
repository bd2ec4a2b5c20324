"""What an attack may cost: a good client beside it is served, and memory and CPU stay bounded."""

import contextlib
import os
import pathlib
import threading
import time

import pyarrow.flight as fl

from harness.waiting import until

MIB = 1 << 20
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(server):
    """CPU time of the daemon so far."""
    fields = pathlib.Path(f"/proc/{server.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def reset_peak(server):
    pathlib.Path(f"/proc/{server.pid}/clear_refs").write_text("5")


def peak(server):
    """Most bytes resident since [`reset_peak`]."""
    return status(server, "VmHWM")


def address_space(server):
    """Most bytes it ever had an address for: what was asked for counts, touched or not."""
    return status(server, "VmPeak")


def status(server, key):
    for line in pathlib.Path(f"/proc/{server.pid}/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"no {key} in /proc status")


class Bystander:
    """A client that asks again and again, on a connection made before the attack."""

    def __init__(self, server):
        self.client = fl.connect(server.location)
        self.done = threading.Event()
        self.seconds = []
        self.error = None
        self.ask()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def ask(self):
        begun = time.monotonic()
        list(self.client.do_action(fl.Action("info", b"{}"), fl.FlightCallOptions(timeout=10)))
        self.seconds.append(time.monotonic() - begun)

    def run(self):
        try:
            while not self.done.wait(0.01):
                self.ask()
        except Exception as error:  # noqa: BLE001: it is told to the test
            self.error = error

    def stop(self):
        self.done.set()
        self.thread.join(30)
        self.client.close()


@contextlib.contextmanager
def unharmed(server, mib=128, cpu=20.0, slowest=5.0):
    """The block is an attack. The same process lives on; it took at most `mib` more memory and `cpu` seconds, and a client
    beside it never waited `slowest` seconds. Afterwards the process is idle again."""
    pid = server.pid
    reset_peak(server)
    before, space, used, log = peak(server), address_space(server), cpu_seconds(server), len(server.log())
    beside = Bystander(server)
    try:
        yield
    finally:
        beside.stop()
    assert server.process.poll() is None and server.pid == pid, server.log()[-4000:]
    assert beside.error is None, f"the client beside the attack: {beside.error}"
    assert max(beside.seconds) < slowest, f"the client beside the attack waited {max(beside.seconds):.1f} s"
    assert peak(server) - before < mib * MIB, f"{(peak(server) - before) >> 20} MiB more"
    assert address_space(server) - space < 3 << 30, f"{(address_space(server) - space) >> 20} MiB more were asked for"
    assert cpu_seconds(server) - used < cpu, f"{cpu_seconds(server) - used:.1f} s of CPU"
    written = server.log()[log:]
    assert "panicked" not in written, written[-4000:]
    assert len(written) < MIB, f"the log grew by {len(written)} bytes: {written[:400]}"
    until(Idle(server), "an idle daemon after the attack")


@contextlib.contextmanager
def within(server, budget):
    """The same process lives on, and never holds more than `budget` bytes, by the formula of [memory] in configs/tessera.toml."""
    pid = server.pid
    reset_peak(server)
    yield
    assert server.process.poll() is None and server.pid == pid, server.log()[-4000:]
    assert peak(server) < budget, f"{peak(server) >> 20} MiB, the budget is {budget >> 20}"
    assert "panicked" not in server.log(), server.log()[-4000:]


class Idle:
    """To be asked again and again: whether a daemon used less than a fifth of a core in the last third of a second, so that
    nothing spins. `None` while it is too early to tell: CPU time comes in ticks of 10 ms."""

    WINDOW = 0.3

    def __init__(self, server):
        self.server = server
        self.look = time.monotonic(), cpu_seconds(server)

    def __call__(self):
        (then, before), (now, used) = self.look, (time.monotonic(), cpu_seconds(self.server))
        if now - then < self.WINDOW:
            return None
        self.look = now, used
        return used - before < (now - then) / 5
