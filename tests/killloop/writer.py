"""One writer of the kill loop, a process of its own: records, finalizes and deletes until the daemon is gone.

Every line of its journal is written after an answer came ("done") or before a request goes out ("asked"), so that whoever
reads it later knows what was acknowledged and what is in doubt.

It takes orders from standard input, a line each: `LOCATION SEED NAME JOURNAL`; and answers with a line when that run is over.
A process for all cycles: starting Python takes longer than a cycle.
"""

import json
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness.codes import ERRORS  # noqa: E402
from harness.deterministic import SCHEMA, batch  # noqa: E402
from harness.flight import Client  # noqa: E402


class Writer:
    def __init__(self, location, seed, name, journal, mark=dict, sizes=(0, 100, 5000, 300_000), rows_max=400):
        self.client = Client(location)
        self.seed, self.name, self.mark, self.sizes, self.rows_max = seed, name, mark, sizes, rows_max
        self.dice = random.Random(f"{seed}/{name}")
        self.journal = open(journal, "w", buffering=1)

    def note(self, event, **what):
        print(json.dumps({"event": event, **what, **self.mark()}), file=self.journal)

    def run(self, turns=None):
        turn = 0
        while turn != turns:
            self.sequence(f"{self.name}_{turn}")
            turn += 1

    def sequence(self, name):
        self.note("asked sequence", sequence=name)
        self.client.create_sequence(name, {"seed": self.seed})
        self.note("done sequence", sequence=name)
        for layer in range(self.dice.choice((1, 1, 2))):
            self.session(name, layer)
        if self.dice.random() < 0.3:
            self.note("asked delete sequence", sequence=name)
            self.client.delete_sequence(name)
            self.note("done delete sequence", sequence=name)

    def session(self, sequence, layer):
        session = self.client.create_session(sequence)
        who = {"sequence": sequence, "session": session.uuid}
        self.note("done session", locator=session.locator, **who)
        open_puts = []
        for n in range(self.dice.randint(1, 4)):
            topic = f"{sequence}/l{layer}/t{n}"
            size = self.dice.choice(self.sizes)
            self.note("asked topic", topic=topic, size=size, **who)
            token = self.client.create_topic(session, topic)
            self.note("done topic", topic=topic, token=token, **who)
            self.note("asked put", topic=topic, **who)
            open_puts.append([topic, size, self.client.begin_put(topic, token, SCHEMA), 0, self.dice.randint(0, 12)])
        while open_puts:
            put = self.dice.choice(open_puts)
            topic, size, writer, rows, left = put
            if left == 0:
                open_puts.remove(put)
                self.note("asked close", topic=topic, **who)
                writer.done_writing()
                writer.close()
                self.note("done put", topic=topic, rows=rows, **who)
                continue
            count = self.dice.randint(1, 8 if size > 100_000 else self.rows_max)
            self.note("asked rows", topic=topic, rows=rows + count, **who)
            writer.write_batch(batch(self.seed, topic, rows, count, size))
            put[3], put[4] = rows + count, left - 1
        end = self.dice.random()
        if end < 0.1:
            return  # left open: it must wait for its writer
        if end < 0.25:
            self.note("asked delete session", **who)
            self.client.delete_session(session)
            self.note("done delete session", **who)
            return
        self.note("asked finalize", **who)
        self.client.finalize(session)
        self.note("done finalize", **who)

    def until_it_is_gone(self):
        """Runs until the daemon is gone. Returns what it was told then; what else it may be, the reader of the journals
        finds out."""
        try:
            self.run()
        except ERRORS as error:
            return str(error)[:200].replace("\n", " ")
        finally:
            self.journal.close()
            self.client.close()


if __name__ == "__main__":
    for order in sys.stdin:
        location, seed, name, journal = order.split()
        print(name, "stopped:", Writer(location, int(seed), name, journal).until_it_is_gone(), flush=True)
