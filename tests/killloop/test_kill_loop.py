"""Goal: no end of the daemon loses an acknowledged row, leaves a hole, or brings back what was deleted.

Method: writer processes record, finalize and delete; the daemon gets SIGKILL and starts again; an auditor compares it with the
writers' journals, over the wire and from the Parquet files alone. It is killed at a random moment, right after a client asked to
close a put, to finalize or to delete, while it recovers, and while the kernel still holds writes of it: on a disk slowed down to
nearly nothing, where they land after the next start has begun. Sometimes it gets SIGTERM instead, and has to end well and in time.

TESSERA_CYCLES says how often, TESSERA_MOMENTS (names with commas between) at which of these moments alone, TESSERA_SEED repeats a
run's choices.
"""

import collections
import importlib.util
import os
import pathlib
import random
import shutil
import subprocess
import sys
import time

import pytest

from harness import disk
from harness.flight import Client
from harness.waiting import until

HERE = pathlib.Path(__file__).parent
CYCLES = int(os.environ.get("TESSERA_CYCLES", 20))
SEED = int(os.environ.get("TESSERA_SEED", random.SystemRandom().randrange(2**32)))
WRITERS = 4
SLOW = 256 << 10  # bytes per second: a block of 1 MiB takes four seconds
DISK_BYTES = 3 << 30

# When it is ended, and how often of a hundred.
MOMENTS = {"random": 30, "close": 15, "finalize": 20, "delete": 15, "in flight": 10, "drain": 10}
ONLY = os.environ.get("TESSERA_MOMENTS", ",".join(MOMENTS)).split(",")
assert set(ONLY) <= set(MOMENTS), f"TESSERA_MOMENTS has {ONLY}; there are {list(MOMENTS)}"


def load(name):
    """A module of this folder, which is no package."""
    spec = importlib.util.spec_from_file_location(f"killloop_{name}", HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


Ledger, Auditor = load("ledger").Ledger, load("auditor").Auditor


class Writers:
    """The processes that write. They live for all cycles."""

    def __init__(self):
        command = [sys.executable, str(HERE / "writer.py")]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
        self.processes = [subprocess.Popen(command, **pipes) for _ in range(WRITERS)]

    def begin(self, server, cycle):
        journals = [server.directory / f"journal-{cycle}-{n}" for n in range(WRITERS)]
        for n, (process, journal) in enumerate(zip(self.processes, journals)):
            print(server.location, SEED, f"c{cycle}w{n}", journal, file=process.stdin, flush=True)
        until(lambda: all(journal.exists() for journal in journals), "the writers to begin", 60)
        return journals

    def wait(self):
        for process in self.processes:
            said = process.stdout.readline()
            assert "stopped:" in said, f"a writer ended on its own: {said}"
            assert "resource exhausted" not in said, f"a writer was turned away: {said}"

    def close(self):
        for process in self.processes:
            process.stdin.close()
            process.wait(60)


def asked(journals, what):
    """How often one of the writers asked for it."""
    return sum(journal.read_text().count(f'"asked {what}') for journal in journals)


def strike(server, journals, moment, dice, slow):
    """Ends the daemon at the moment. Returns what was still on its way to the disk then, in bytes, if that is known."""
    wait(dice.uniform(0.05, 1.2))
    if moment in ("close", "finalize", "delete"):
        before, give_up = asked(journals, moment), time.monotonic() + 3
        until(lambda: asked(journals, moment) > before or time.monotonic() > give_up, moment, 10, interval=0.001)
        wait(dice.choice((0, dice.uniform(0, 0.004), dice.uniform(0, 0.03))))
    if moment == "drain":
        server.stop()
        return None
    if moment != "in flight":
        server.kill()
        return None
    slow.set(SLOW)
    wait(dice.uniform(0.1, 0.5))
    try:
        server.kill()
    except subprocess.TimeoutExpired:
        # A thread of it waits in the kernel for a commit of the file system, behind more than a minute of writes.
        slow.set(0)
        server.kill()
    return slow.sectors_written()


def wait(seconds):
    moment = time.monotonic() + seconds
    until(lambda: time.monotonic() >= moment, "a moment", seconds + 60, interval=0.001)


def keep_room(server, client, ledger):
    """Deletes the older half of all sequences when its own disk gets full: writers that are turned away are no test."""
    usage = shutil.disk_usage(server.data)
    if usage.total > DISK_BYTES or usage.free > 0.4 * usage.total:
        return
    there = [name for name, state in ledger.sequences.items() if state == "there"]
    for name in there[: len(there) // 2]:
        client.delete_sequence(name)
        ledger.delete_sequence("done", {"sequence": name})
    until(lambda: shutil.disk_usage(server.data).free > usage.free, "room behind what is deleted", 60)


def own_disk(server, request):
    """Puts the server's data on a disk that can be slowed down, where the machine has one."""
    why = disk.why_not("losetup", "mkfs.ext4") or disk.Slow.why_not()
    if why:
        print(f"SKIPPED: kills with writes in flight in the kernel, because {why}")
        return None
    image = server.directory / "disk.img"
    with image.open("wb") as file:
        file.truncate(DISK_BYTES)
    disk.make("ext4", image)
    mounted = disk.Mounted(image, server.directory / "disk")
    request.addfinalizer(mounted.close)
    slow = disk.Slow(mounted.device, f"tessera-{os.getpid()}")
    request.addfinalizer(slow.close)
    server.under = slow.under()
    server.data = mounted.at / "data"
    return slow


@pytest.mark.timeout(120 + 30 * CYCLES)
def test_nothing_acknowledged_is_lost(request):
    from harness.server import Server

    print(f"seed {SEED}, {CYCLES} cycles: TESSERA_SEED={SEED} repeats the writers' choices")
    dice = random.Random(SEED)
    ledger = Ledger(SEED)
    server = Server("killloop")
    request.addfinalizer(server.remove)  # the last one: finalizers run backwards
    slow = own_disk(server, request)
    moments = {moment: MOMENTS[moment] for moment in ONLY if slow or moment != "in flight"}
    if not moments:
        pytest.skip("TESSERA_MOMENTS asks for kills with writes in flight alone, and those need a disk that can be slowed down")
    ends, late, drains = collections.Counter(), 0, [0.0]
    rows = 0
    writers = Writers()
    request.addfinalizer(writers.close)
    try:
        server.start()
        for cycle in range(CYCLES):
            before = set(ledger.sessions)
            [moment] = dice.choices(list(moments), moments.values())
            journals = writers.begin(server, cycle)
            began = time.monotonic()
            landed = strike(server, journals, moment, dice, slow)
            if moment == "drain":
                drains.append(time.monotonic() - began)
            ends[moment] += 1
            writers.wait()
            for journal in journals:
                ledger.read(journal)
                journal.unlink()
            if landed is not None:
                server.launch()  # it recovers while the writes of its predecessor still land
                wait(dice.uniform(0, 0.5))
                late += slow.sectors_written() > landed
                slow.set(0)
                server.kill()
                ends["recovery"] += 1
            elif dice.random() < 0.3:
                server.launch()
                wait(dice.uniform(0.0, 0.3))
                server.kill()
                ends["recovery"] += 1
            server.start()
            with Client(server.location) as client:
                auditor = Auditor(client, ledger)
                auditor.sequences()
                new = [session for uuid, session in ledger.sessions.items() if uuid not in before]
                old = [session for uuid, session in ledger.sessions.items() if uuid in before]
                for session in new + dice.sample(old, min(len(old), 10)):
                    auditor.session(session)
                    if session.state == "open" and dice.random() < 0.7:
                        auditor.resume(session)
                rows += auditor.rows_checked
                keep_room(server, client, ledger)
        with Client(server.location) as client:
            auditor = Auditor(client, ledger)
            auditor.sequences()
            for session in ledger.sessions.values():
                auditor.session(session)
                if session.state == "open":
                    auditor.resume(session)
            final = [session for session in ledger.sessions.values() if session.state == "final"]
            print(f"ended: {dict(ends)}; {late} times writes of the dead process landed after its end; "
                  f"the longest drain took {max(drains):.1f} s, with the wait before it")
            print(f"{len(ledger.sessions)} sessions, {len(final)} final, {rows} rows checked on the way, "
                  f"{auditor.rows_checked} at the end")
            assert final and auditor.rows_checked
        server.stop()
        auditor.files(server.files())
        assert not server.files("*.part"), "a .part is left after a clean stop"
        server.start()
        server.stop()
    except BaseException:
        keep = server.directory.with_name(server.directory.name + ".kept")
        print(f"seed {SEED}; data and journals are copied to {keep}")
        shutil.copytree(server.directory, keep, ignore=shutil.ignore_patterns("*.img"), dirs_exist_ok=True)
        print(server.log()[-6000:])
        if server.process.poll() is None:
            server.kill()
        raise
