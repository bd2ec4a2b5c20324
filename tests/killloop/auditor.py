"""Holds the daemon, just restarted, to the ledger: nothing acknowledged is lost, nothing has a hole, nothing comes back."""

import pyarrow as pa
import pyarrow.parquet

from harness.codes import ERRORS, code
from harness.deterministic import SCHEMA, check


def found(call):
    """The result of a call, or None for NOT_FOUND. Any other failure is one."""
    try:
        return call()
    except ERRORS as error:
        assert code(error) == "NOT_FOUND", error
        return None


class Auditor:
    def __init__(self, client, ledger):
        self.client, self.ledger = client, ledger
        self.rows_checked = 0

    def sequences(self):
        """Which names exist is what was answered; settles what is in doubt by asking again."""
        listed = set(self.client.sequences())
        for name, state in self.ledger.sequences.items():
            if state == "there":
                assert name in listed, f"{name} was created, and is gone"
            elif state == "deleted":
                assert name not in listed, f"{name} was deleted, and is back"
            elif state == "delete asked":
                found(lambda: self.client.delete_sequence(name))
                assert name not in self.client.sequences()
                self.ledger.delete_sequence("done", {"sequence": name})
            elif name in listed:
                self.ledger.sequences[name] = "there"
            else:
                self.ledger.sequences[name] = "deleted"
        assert listed <= self.ledger.sequences.keys(), "a sequence nobody created"

    def rebuilt(self, sessions):
        """What a catalog owes that was made again from the files: all that is final, and nothing that was deleted."""
        listed = set(self.client.sequences())
        for name, state in self.ledger.sequences.items():
            assert state != "deleted" or name not in listed, f"{name} was deleted, and is back"
        for session in sessions:
            if session.state in ("final", "deleted"):
                self.session(session)

    def session(self, session):
        described = found(lambda: self.client.sequence(session.sequence))
        listed = next((s for s in (described or {}).get("sessions", []) if s["locator"] == session.locator), None)
        visible = set(listed["topics"]) if listed else set()
        if session.state == "deleted":
            assert listed is None, f"{session.locator} was deleted, and is back"
            return
        if session.state == "delete asked":
            found(lambda: self.client.delete_session(session))
            session.state = "deleted"
            return self.session(session)
        assert listed is not None, f"{session.locator} was created, and is gone ({session.state})"
        if session.state == "open":
            assert not listed["locked"] and not visible, f"{session.locator} was never finalized, and can be read"
            return
        if session.state == "finalize asked":
            assert visible in (set(), set(session.topics)), f"half of {session.locator} can be read: {visible}"
            self.client.finalize(session.uuid)
            session.state = "final"
            return self.session(session)
        assert listed["locked"] and visible == set(session.topics), f"{session.locator} is final, and shows {visible}"
        for topic in session.topics.values():
            self.topic(topic)

    def topic(self, topic):
        rows = check(self.client.read(topic.locator), self.ledger.seed, topic.locator, topic.size, topic.locator)
        if topic.put == "done":
            assert rows == topic.rows, f"{topic.locator}: {topic.rows} rows were acknowledged, {rows} came back"
        else:
            assert rows in topic.sent, f"{topic.locator}: {rows} rows are no prefix of batches: {topic.sent}"
        assert self.client.topic(topic.locator)["data_info"]["total_row_count"] == rows
        topic.put, topic.rows = "done", rows  # from here on it may not change any more
        self.rows_checked += rows

    def resume(self, session):
        """An open session waits for its writer: what it left out is sent, then it is finalized."""
        for topic in list(session.topics.values()):
            if topic.token is None:  # the answer was lost, and with it the token
                found(lambda: self.client.action("topic_delete", {"locator": topic.locator}))
                del session.topics[topic.locator]
            elif topic.put != "done":
                try:
                    self.client.put(topic.locator, topic.token, SCHEMA)
                    topic.put, topic.rows = "done", 0  # the put never began
                except ERRORS as error:
                    assert code(error) == "FAILED_PRECONDITION", error
        if session.topics:
            self.client.finalize(session.uuid)
            session.state = "final"
        else:
            self.client.delete_session(session)
            session.state = "deleted"
        self.session(session)

    def files(self, paths):
        """The same rows from the files alone, without the daemon: every Parquet file that is there is whole."""
        topics, tables = self.topics(), {}
        for path in paths:
            file = pyarrow.parquet.ParquetFile(path)
            name = file.metadata.metadata[b"tessera:name"].decode()
            tables.setdefault(name, []).append(file.read())
        for name, topic in topics.items():
            parts = tables.get(name, [])
            assert parts or not topic.rows, f"{name} has {topic.rows} rows and no file"
            if parts:
                rows = check(pa.concat_tables(parts).sort_by("timestamp_ns"), self.ledger.seed, name, topic.size, f"files of {name}")
                assert rows == topic.rows, f"files of {name}: {rows} rows, {topic.rows} acknowledged"

    def topics(self):
        return {topic.locator: topic for session in self.ledger.sessions.values() if session.state == "final"
                for topic in session.topics.values()}
