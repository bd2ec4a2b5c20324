"""Goal: between any two steps of publishing, finalizing, deleting and recovering, the daemon may die.

Method: the source names its failpoints (`src/io/failpoint.rs`). For each of them a daemon is started that dies there, while a
writer records, finalizes and deletes; or, for a step of the recovery, after a kill that leaves something to recover. The next
start is held to the writer's journal. One data directory for all of them, so whatever one leaves the others meet. A point that
is never reached fails. TESSERA_FAILPOINTS names single ones, TESSERA_ROUNDS repeats all of them with other choices.
"""

import importlib.util
import os
import pathlib
import random
import re
import sys
import threading

import pytest

from harness.flight import Client
from harness.server import ROOT, Server
from harness.waiting import until

HERE = pathlib.Path(__file__).parent
SEED = int(os.environ.get("TESSERA_SEED", random.SystemRandom().randrange(2**32)))
ROUNDS = int(os.environ.get("TESSERA_ROUNDS", 1))
NEW_SERVER_EACH = 12  # points: what an auditor has to look at grows


def load(name):
    spec = importlib.util.spec_from_file_location(f"killloop_{name}", HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


Ledger, Auditor, Writer = load("ledger").Ledger, load("auditor").Auditor, load("writer").Writer

# What leaves something for a step of the recovery to do; for the others any of these does.
LEAVES = {
    "recover: file renamed": ["publish: committed"],
    "recover: manifest removed": ["finalize: manifest written"],
    "recover: file unlinked": ["publish: synced", "publish: file created"],
}
ANY = ["publish: written", "publish: committed", "publish: synced"]


def failpoints():
    named = os.environ.get("TESSERA_FAILPOINTS")
    if named:
        return named.split(",")
    found = set()
    for path in (ROOT / "src").rglob("*.rs"):
        found |= set(re.findall(r'failpoint\("([^"]+)"\)', path.read_text()))
    return sorted(found)


def is_dead(server):
    return server.process.poll() is not None


class Run:
    def __init__(self):
        self.server, self.ledger, self.turn = Server("failpoints"), Ledger(SEED), 0

    def write_until_dead(self, point, nth):
        """Returns False when the daemon does not die within a minute."""
        self.server.environment = {"TESSERA_TEST_FAILPOINT": point, "TESSERA_TEST_FAILPOINT_NTH": str(nth)}
        self.server.launch()
        try:
            until(lambda: is_dead(self.server) or self.server.answers(), "an answer or its end", 60, interval=0.005)
        except AssertionError:
            assert is_dead(self.server)
        if is_dead(self.server):
            return self.died()
        if point.startswith("recover:"):
            self.server.kill()  # it has recovered, without passing here
            return False
        self.turn += 1
        journal = self.server.directory / f"journal-{self.turn}"
        writer = Writer(self.server.location, SEED, f"f{self.turn}", journal)
        thread = threading.Thread(target=writer.until_it_is_gone)
        thread.start()
        try:
            until(lambda: is_dead(self.server), f"a death at {point}", 60, interval=0.005)
        except AssertionError:
            self.server.kill()
            thread.join(60)
            self.ledger.read(journal)
            return False
        thread.join(60)
        assert not thread.is_alive(), "the writer goes on without a daemon"
        self.ledger.read(journal)
        return self.died()

    def died(self):
        assert self.server.process.returncode == -9, f"it ended with {self.server.process.returncode}:\n{self.server.log()[-4000:]}"
        return True

    def audit(self, point):
        self.server.environment = {}
        self.server.start()
        with Client(self.server.location) as client:
            auditor = Auditor(client, self.ledger)
            auditor.sequences()
            for session in self.ledger.sessions.values():
                auditor.session(session)
                if session.state == "open":
                    auditor.resume(session)
        self.server.stop()
        assert not self.server.files("*.part"), f"{point}: a .part is left after a clean stop"
        assert not self.server.files("*.tmp"), f"{point}: a draft is left after a clean stop"
        return auditor

    def close(self):
        self.audit("the end").files(self.server.files())
        self.server.remove()


@pytest.mark.timeout(120 + 60 * ROUNDS * 40)
def test_it_may_die_between_any_two_steps():
    dice = random.Random(SEED)
    print(f"seed {SEED}, {ROUNDS} rounds")
    points, never, deaths = failpoints(), [], 0
    run = Run()
    try:
        for at, point in enumerate(points * ROUNDS):
            recovers = point.startswith("recover:")
            # Not always at the first chance; but what is rare is waited for only once.
            nth = 1 if recovers or point.startswith(("purge", "delete")) else dice.randint(1, 4)
            # What is renamed behind a commit may be renamed before the death: then another try.
            for leaves in 5 * LEAVES.get(point, [dice.choice(ANY)]) if recovers else [None]:
                if leaves:
                    assert run.write_until_dead(leaves, dice.randint(1, 3)), leaves
                    deaths += 1
                dead = run.write_until_dead(point, nth)
                if dead:
                    deaths += 1
                    run.audit(point)
                    break
            else:
                never.append(point)
            if at % NEW_SERVER_EACH == NEW_SERVER_EACH - 1:
                run.close()
                run = Run()
        run.close()
    except BaseException:
        print(f"seed {SEED}; kept: {run.server.directory}\n{run.server.log()[-6000:]}")
        if run.server.process is not None and run.server.process.poll() is None:
            run.server.kill()
        raise
    print(f"{deaths} deaths at {len(points)} points")
    assert not never, f"the daemon never passed: {never}"
