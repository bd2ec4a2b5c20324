"""Goal: no power cut loses an acknowledged row, leaves a hole, or brings back what was deleted.

Method: the daemon records on a real ext4 and a real XFS, on a disk that logs every write and flush; the writers' journals say how
long the log was when each answer came. Then the power fails at many moments of the log: what was flushed is there, of the rest a
random part, some of it torn. The file system recovers with its own journal, the daemon with its own start, and an auditor holds
it to what the journals say of that moment, over the wire and from the files alone. Some cuts take the catalog along: it is made
again from the files before anything else has looked at them, and must not bring back what was deleted.

TESSERA_CUTS says how many, TESSERA_REBUILDS at which share of them the catalog goes too, TESSERA_SEED repeats a run's choices,
TESSERA_SECONDS how long it records for every 400 cuts.
"""

import importlib.util
import json
import os
import pathlib
import random
import shutil
import sys
import tempfile
import threading
import time

import pytest

from harness import blocklog, disk
from harness.cli import tessera
from harness.flight import Client
from harness.server import Server
from harness.waiting import until

HERE = pathlib.Path(__file__).parent
CUTS = int(os.environ.get("TESSERA_CUTS", 200))
SEED = int(os.environ.get("TESSERA_SEED", random.SystemRandom().randrange(2**32)))
REBUILDS = float(os.environ.get("TESSERA_REBUILDS", 0.25))
SECONDS = float(os.environ.get("TESSERA_SECONDS", 8))
KINDS = os.environ.get("TESSERA_KINDS", "ext4,xfs").split(",")
WRITERS = 3
SIZE = 512 << 20
LIFE_BYTES = 96 << 20  # of one life of the daemon: a fast machine ends it here, and each cut copies less
CUTS_EACH = 200  # of one recording: then another one, so that the cuts do not all meet the same log

# Several chunks for most puts.
CONFIG = """
[chunk]
rows_max = 60
[shards]
count = 2
[memory]
blocks_per_shard = 16
[storage]
soft_mark_bytes = 33554432
hard_mark_bytes = 16777216
"""


def load(name):
    """A module of the kill loop: what is recorded, journaled and audited is the same."""
    spec = importlib.util.spec_from_file_location(f"killloop_{name}", HERE.parent / "killloop" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


Ledger, Auditor, Writer = load("ledger").Ledger, load("auditor").Auditor, load("writer").Writer


def place():
    """Where images lie: in memory where there is room, as they are copied once for each cut."""
    memory = pathlib.Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 4 << 30
    return tempfile.mkdtemp(prefix="tessera-powercuts-", dir=memory if roomy else None)


def record(logged, seed, server):
    """Lets the daemon record for a while, restarts it once, and kills it. Returns the journals."""
    server.data = logged.mounted.at / "data"
    journals = []
    for life in range(2):
        server.start()
        paths = [server.directory / f"journal-{life}-{n}" for n in range(WRITERS)]
        mark = lambda: {"at": logged.log.position()}
        writers = [Writer(server.location, seed, f"l{life}w{n}", path, mark, sizes=(0, 100, 5000, 60_000), rows_max=40)
                   for n, path in enumerate(paths)]
        threads = [threading.Thread(target=writer.until_it_is_gone) for writer in writers]
        for thread in threads:
            thread.start()
        moment, room = time.monotonic() + SECONDS / 2, free(logged.mounted.at) - LIFE_BYTES
        enough = lambda: time.monotonic() > moment or free(logged.mounted.at) < room
        # On a busy machine that may be too short for anything to become final, and then nothing is at stake.
        until(lambda: enough() and finalized(paths) > 1, "a recording worth cutting", SECONDS + 120)
        server.kill()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive(), "a writer goes on without a daemon"
        journals += paths
    return journals


def free(path):
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def finalized(journals):
    return sum(journal.read_text().count('"done finalize"') for journal in journals)


def marks(journals):
    return [entry["at"] for journal in journals for entry in map(json.loads, journal.read_text().splitlines())
            if entry["event"].startswith("done")]


def audit(server, journals, cut, dice, seed):
    """Starts on what a cut left, and holds it to the journals. Returns how many rows were looked at."""
    ledger = Ledger(seed)
    for journal in journals:
        ledger.read(journal, until=cut)
    server.start()
    with Client(server.location) as client:
        auditor = Auditor(client, ledger)
        auditor.sequences()
        for session in at_stake(ledger, dice):
            auditor.session(session)
            if session.state == "open" and dice.random() < 0.5:
                auditor.resume(session)
            if session.state == "final":
                manifest(server, session)
        checked = auditor.rows_checked
    server.kill()
    return checked


def audit_rebuilt(server, journals, cut, dice, seed):
    """The same with a catalog that is made again. Returns how many rows were looked at."""
    ledger = Ledger(seed)
    for journal in journals:
        ledger.read(journal, until=cut)
    shutil.rmtree(server.data / "catalog", ignore_errors=True)
    ended = tessera("catalog", "rebuild", "--data-dir", server.data)
    # With what was never acknowledged it may have problems.
    assert ended.returncode in (0, 3), ended.stderr
    server.start()
    with Client(server.location) as client:
        auditor = Auditor(client, ledger)
        auditor.rebuilt(at_stake(ledger, dice))
        checked = auditor.rows_checked
    server.kill()
    return checked


def at_stake(ledger, dice):
    """The newest sessions, and some of the others."""
    sessions = list(ledger.sessions.values())
    return sessions[-6:] + dice.sample(sessions[:-6], min(4, len(sessions[:-6])))


def manifest(server, session):
    """A final session has its manifest, whole: it is written and synced before the catalog says final."""
    number = session.locator.split(":")[-1].replace("-", "")
    path = server.data / "manifests" / f"{number}.json"
    text = json.loads(path.read_text())
    assert text["session"]["id"] == number and len(text["checksum"]) == 32, path
    assert {topic["path"] for topic in text["topics"]} == {name.split("/", 1)[1] for name in session.topics}, path


def report(count, kind, rows, stakes, began):
    seconds = time.monotonic() - began
    print(f"{kind}: {count} cuts, {rows} rows checked, {stakes / max(count, 1):.1f} writes at stake in each, "
          f"{seconds:.0f} s ({seconds / max(count, 1):.2f} s a cut)", flush=True)


@pytest.mark.timeout(600 + 10 * CUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_no_power_cut_loses_what_was_acknowledged(kind):
    why = blocklog.why_not()
    if why:
        # Loud, and no failure: many machines cannot.
        print(f"SKIPPED: {CUTS} power cuts on {kind}, because {why}", file=sys.stderr)
        pytest.skip(why)
    count, done, rows, stakes, began = max(CUTS // len(KINDS), 1), 0, 0, 0, time.monotonic()
    while done < count:
        seed = SEED + done
        print(f"{kind}: seed {SEED}, recording {seed}", flush=True)
        cuts, found = one_recording(kind, seed, min(CUTS_EACH, count - done))
        rows, stakes = rows + found[0], stakes + found[1]
        done += cuts
        report(done, kind, rows, stakes, began)


def one_recording(kind, seed, count):
    directory = pathlib.Path(place())
    server = Server("powercuts", config=CONFIG)
    logged = blocklog.LoggedDisk(directory, kind, SIZE)
    try:
        first = logged.log.position()
        journals = record(logged, seed, server)
    finally:
        logged.close()
    log, dice, rows, stakes = logged.log, random.Random(seed), 0, 0
    replay = blocklog.Replay(log, directory, kind, SIZE)
    for nth, cut in enumerate(blocklog.moments(log, first, marks(journals), count, seed)):
        image, stake = replay.cut(cut, dice)
        stakes += stake
        mounted = disk.Mounted(image, directory / "cut")
        try:
            server.data = mounted.at / "data"
            # A cut may come before there is anything.
            lost = dice.random() < REBUILDS and (server.data / "manifests").is_dir()
            rows += (audit_rebuilt if lost else audit)(server, journals, cut, dice, seed)
            if nth % 10 == 0 and not lost:
                whole_files(server)
        except BaseException:
            print(f"recording {seed} on {kind}, cut {nth} behind entry {cut} of {log.position()}; the image before recovery and "
                  f"the log are in {directory}, journals and log of the daemon in {server.directory}")
            print(server.log()[-4000:])
            raise
        finally:
            if server.process is not None and server.process.poll() is None:
                server.kill()
            mounted.close()
    shutil.rmtree(directory)
    server.remove()
    return count, (rows, stakes)


def whole_files(server):
    """Every Parquet file is one that another reader takes. Behind a rebuild, what was never acknowledged waits for its way to `lost/`."""
    import pyarrow.parquet

    for path in server.files("*.parquet"):
        pyarrow.parquet.read_table(path)
