"""A client that is gone in the middle of a stream leaves its topic interrupted: a durable prefix without holes, a note,
and a session that others may still finalize or delete."""

import signal
import subprocess
import sys

import pytest

from harness import rows
from harness.codes import ERRORS, code, refused
from harness.server import ROOT
from harness.waiting import until

ROWS, SIZE = 4, 256 << 10

CHILD = """
import sys
sys.path.insert(0, {tests!r})
from harness import rows
from harness.flight import Client
client = Client({location!r})
writer = client.begin_put({locator!r}, {token!r}, rows.BLOB)
n = 0
while True:
    writer.write_batch(rows.blobs(range(n, n + {rows}), {size}))
    n += {rows}
    print(n, flush=True)
"""


@pytest.fixture
def session(client, name):
    client.create_sequence(name)
    return client.create_session(name)


def vanish(server, client, session, locator, after=256):
    """Lets a child write `after` rows or more, then kills it. Returns how many rows it had handed over."""
    token = client.create_topic(session, locator, "Blob")
    script = CHILD.format(tests=str(ROOT / "tests"), location=server.location, locator=locator, token=token,
                          rows=ROWS, size=SIZE)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as child:
        sent = 0
        for line in child.stdout:
            sent = int(line)
            if sent >= after:
                break
        child.send_signal(signal.SIGKILL)
        child.wait()
        said = child.stdout.read().split()  # it went on writing until the signal came
        return int(said[-1]) if said else sent, token


def finalize(client, session):
    """Finalizes once the daemon has noticed that the put is broken."""

    def attempt():
        try:
            client.finalize(session)
            return True
        except ERRORS as error:
            assert code(error) == "FAILED_PRECONDITION", error
            return False

    until(attempt, "the broken put to end")


def check_prefix(client, locator, sent):
    times = client.read(locator).column("timestamp_ns").to_pylist()
    assert times == list(range(len(times))), "a prefix without holes"
    assert len(times) % ROWS == 0, "whole batches"
    # 64 MB were handed over, far more than buffers on the way can hold.
    assert 0 < len(times) <= sent + ROWS
    return len(times)


def test_the_prefix_stays_and_a_notification_tells(server, client, name, session):
    sent, _ = vanish(server, client, session, f"{name}/camera")
    client.record(session, f"{name}/imu", [rows.counters(range(5))])
    finalize(client, session)
    count = check_prefix(client, f"{name}/camera", sent)
    assert client.topic(f"{name}/camera")["data_info"]["total_row_count"] == count
    (note,) = client.notifications(f"{name}/camera")
    assert note["notification_type"] == "error" and note["name"] == f"{name}/camera"
    assert client.notifications(f"{name}/imu") == []
    assert client.read(f"{name}/imu").num_rows == 5


def test_an_interrupted_topic_is_not_written_again(server, client, name, session):
    sent, token = vanish(server, client, session, f"{name}/camera")
    finalize(client, session)
    with refused("FAILED_PRECONDITION"):
        client.put(f"{name}/camera", token, rows.BLOB, [rows.blobs([0], 10)])
    check_prefix(client, f"{name}/camera", sent)


def test_its_session_may_be_deleted(server, client, name, session):
    vanish(server, client, session, f"{name}/camera")
    client.delete_session(session)
    assert client.sequence(name)["sessions"] == []
    again = client.create_session(name)
    client.record(again, f"{name}/camera", [rows.counters([1])])
    client.finalize(again)
    assert client.read(f"{name}/camera").num_rows == 1


def test_it_gives_everything_back(server, client, name, session):
    """Descriptors and memory come back after clients that vanish."""
    vanish(server, client, session, f"{name}/first", after=64)
    until(lambda: not server.files("*.part"), "the first part file to be sealed")
    descriptors = server.descriptors()
    for n in range(5):
        vanish(server, client, session, f"{name}/t{n}", after=64)
    finalize(client, session)
    until(lambda: server.descriptors() <= descriptors + 2, "descriptors to come back")


def test_the_prefix_survives_a_crash_of_the_server(own_server, name):
    from harness.flight import Client

    with Client(own_server.location) as client:
        client.create_sequence(name)
        session = client.create_session(name)
        sent, _ = vanish(own_server, client, session, f"{name}/camera")
        own_server.crash()
        finalize(client, session)
        times = client.read(f"{name}/camera").column("timestamp_ns").to_pylist()
        assert times == list(range(len(times))) and len(times) <= sent + ROWS
