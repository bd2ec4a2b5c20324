"""Goal: no end of the daemon loses an acknowledged row, leaves a hole, or brings back what was deleted.

Method: writer processes record, finalize and delete; the daemon gets SIGKILL at a random moment and starts again; an auditor
compares it with the writers' journals, over the wire and from the Parquet files alone. TESSERA_CYCLES says how often,
TESSERA_SEED repeats a run's choices.
"""

import importlib.util
import os
import pathlib
import random
import subprocess
import sys
import time

import pytest

from harness.flight import Client
from harness.waiting import until

HERE = pathlib.Path(__file__).parent
CYCLES = int(os.environ.get("TESSERA_CYCLES", 20))
SEED = int(os.environ.get("TESSERA_SEED", random.SystemRandom().randrange(2**32)))
WRITERS = 4


def load(name):
    """A module of this folder, which is no package."""
    spec = importlib.util.spec_from_file_location(f"killloop_{name}", HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


Ledger, Auditor = load("ledger").Ledger, load("auditor").Auditor


def write_until_killed(server, cycle, ledger, dice):
    """Lets the writers run, kills the daemon at a random moment, and reads the journals."""
    journals = [server.directory / f"journal-{cycle}-{n}" for n in range(WRITERS)]
    writers = [
        subprocess.Popen([sys.executable, str(HERE / "writer.py"), server.location, str(SEED), f"c{cycle}w{n}", str(journal)],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for n, journal in enumerate(journals)
    ]
    until(lambda: all(journal.exists() for journal in journals), "the writers to begin", 60)
    moment = time.monotonic() + dice.uniform(0.05, 2.0)
    until(lambda: time.monotonic() >= moment, "the moment of the kill", interval=0.005)
    server.kill()
    for writer in writers:
        output, _ = writer.communicate(timeout=60)
        assert writer.returncode == 0, output
    for journal in journals:
        ledger.read(journal)


@pytest.mark.timeout(120 + 30 * CYCLES)
def test_nothing_acknowledged_is_lost():
    from harness.server import Server

    print(f"seed {SEED}, {CYCLES} cycles: TESSERA_SEED={SEED} repeats the writers' choices")
    dice = random.Random(SEED)
    ledger = Ledger(SEED)
    server = Server("killloop")
    rows = 0
    try:
        server.start()
        for cycle in range(CYCLES):
            before = set(ledger.sessions)
            write_until_killed(server, cycle, ledger, dice)
            if dice.random() < 0.3:  # a kill while it recovers
                server.launch()
                moment = time.monotonic() + dice.uniform(0.0, 0.3)
                until(lambda: time.monotonic() >= moment, "the moment of the kill", interval=0.005)
                server.kill()
            server.start()
            with Client(server.location) as client:
                auditor = Auditor(client, ledger)
                auditor.sequences()
                new = [session for uuid, session in ledger.sessions.items() if uuid not in before]
                old = [session for uuid, session in ledger.sessions.items() if uuid in before]
                for session in new + dice.sample(old, min(len(old), 20)):
                    auditor.session(session)
                    if session.state == "open" and dice.random() < 0.7:
                        auditor.resume(session)
                rows += auditor.rows_checked
        with Client(server.location) as client:
            auditor = Auditor(client, ledger)
            auditor.sequences()
            for session in ledger.sessions.values():
                auditor.session(session)
                if session.state == "open":
                    auditor.resume(session)
            final = [session for session in ledger.sessions.values() if session.state == "final"]
            print(f"{len(ledger.sessions)} sessions, {len(final)} final, {rows} rows checked on the way, "
                  f"{auditor.rows_checked} at the end")
            assert final and auditor.rows_checked
        server.stop()
        auditor.files(server.files())
        server.start()
        server.stop()
    except BaseException:
        print(f"seed {SEED}; data and journals are kept in {server.directory}")
        print(server.log()[-6000:])
        raise
    server.remove()
