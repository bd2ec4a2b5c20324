"""What the writers' journals promise: for every session and topic, what was acknowledged and what is in doubt."""

import json
from dataclasses import dataclass, field


@dataclass
class Topic:
    locator: str
    size: int
    token: str | None = None  # None: its creation is in doubt
    put: str = "none"  # none, asked, done
    sent: list = field(default_factory=lambda: [0])  # row counts after each batch that went out
    rows: int = 0  # acknowledged


@dataclass
class Session:
    sequence: str
    uuid: str
    locator: str
    topics: dict = field(default_factory=dict)
    state: str = "open"  # open, finalize asked, final, delete asked, deleted


class Ledger:
    def __init__(self, seed):
        self.seed = seed
        self.sessions = {}
        self.sequences = {}  # name: asked, there, delete asked, deleted

    def read(self, path, until=None):
        """Takes in a journal; with `until`, only what was written before the disk's log had this many entries."""
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            if until is not None and entry["at"] > until:
                return
            what, event = entry["event"].split(" ", 1)
            getattr(self, event.replace(" ", "_"))(what, entry)

    def sequence(self, what, entry):
        self.sequences[entry["sequence"]] = "asked" if what == "asked" else "there"

    def delete_sequence(self, what, entry):
        self.sequences[entry["sequence"]] = "delete asked" if what == "asked" else "deleted"
        for session in self.of(entry["sequence"]):
            if session.state != "deleted":
                session.state = "delete asked" if what == "asked" else "deleted"

    def session(self, what, entry):
        self.sessions[entry["session"]] = Session(entry["sequence"], entry["session"], entry["locator"])

    def topic(self, what, entry):
        topics = self.sessions[entry["session"]].topics
        if what == "asked":
            topics[entry["topic"]] = Topic(entry["topic"], entry["size"])
        else:
            topics[entry["topic"]].token = entry["token"]

    def put(self, what, entry):
        topic = self.sessions[entry["session"]].topics[entry["topic"]]
        topic.put = what
        if what == "done":
            topic.rows = entry["rows"]

    def close(self, what, entry):
        pass  # tells a supervisor when to strike

    def rows(self, what, entry):
        self.sessions[entry["session"]].topics[entry["topic"]].sent.append(entry["rows"])

    def finalize(self, what, entry):
        self.sessions[entry["session"]].state = "finalize asked" if what == "asked" else "final"

    def delete_session(self, what, entry):
        self.sessions[entry["session"]].state = "delete asked" if what == "asked" else "deleted"

    def of(self, sequence):
        return [session for session in self.sessions.values() if session.sequence == sequence]
