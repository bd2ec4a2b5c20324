"""What was answered survives every end of the daemon. Open sessions wait for their writers."""

import signal
import subprocess

import pytest

from harness import rows
from harness.cli import tessera
from harness.codes import refused
from harness.flight import Client
from harness.server import Server, binary
from harness.waiting import until

ENDS = ["restart", "crash"]


@pytest.mark.parametrize("end", ENDS)
def test_everything_is_as_it_was(own_server, end):
    with Client(own_server.location) as client:
        client.record_sequence("drive", {"imu": [rows.imu(range(100))], "camera": [rows.blobs(range(20), 200_000)],
                                         "none": [rows.counters([])]}, {"who": "me"})
        before = client.sequence("drive", 5, 50), client.read("drive/imu"), client.read("drive/camera")
        getattr(own_server, end)()
        after = client.sequence("drive", 5, 50), client.read("drive/imu"), client.read("drive/camera")
        assert before == after


@pytest.mark.parametrize("end", ENDS)
def test_an_open_session_goes_on(own_server, end):
    with Client(own_server.location) as client:
        client.create_sequence("drive")
        session = client.create_session("drive")
        client.record(session, "drive/done", [rows.counters(range(10))])
        waiting = client.create_topic(session, "drive/waiting")
        getattr(own_server, end)()
        assert client.sequence("drive")["topics"] == {}, "the daemon finalizes nothing by itself"
        with refused("FAILED_PRECONDITION"):
            client.finalize(session)
        with refused("ALREADY_EXISTS"):
            client.create_topic(session, "drive/done")
        client.put("drive/waiting", waiting, rows.COUNTER, [rows.counters([1])])
        client.record(session, "drive/later", [rows.counters([2])])
        client.finalize(session)
        assert client.read("drive/done").num_rows == 10
        assert sorted(client.sequence("drive")["topics"]) == ["drive/done", "drive/later", "drive/waiting"]


def put_runs(client, session):
    """Finalize says why it cannot: a topic that was never written, or one that still is."""
    with refused("FAILED_PRECONDITION") as error:
        client.finalize(session)
    return "still running" in error.text


@pytest.mark.parametrize("end", ENDS)
def test_a_put_that_ran_is_interrupted(own_server, end):
    with Client(own_server.location) as client:
        client.create_sequence("drive")
        session = client.create_session("drive")
        token = client.create_topic(session, "drive/a")
        writer = client.begin_put("drive/a", token, rows.COUNTER)
        writer.write_batch(rows.counters([1, 2]))
        until(lambda: put_runs(client, session), "the put has begun")
        if end == "crash":
            own_server.kill()
        else:
            own_server.process.send_signal(signal.SIGTERM)
        try:
            writer.done_writing()
            writer.close()
            acknowledged = True
        except Exception:
            acknowledged = False
        if end == "restart":
            assert own_server.process.wait(60) == 0  # another signal would end it at once
        own_server.start()
        if not acknowledged:
            with refused("FAILED_PRECONDITION"):
                client.put("drive/a", token, rows.COUNTER, [rows.counters([9])])
        client.finalize(session)
        times = client.read("drive/a").column("timestamp_ns").to_pylist()
        assert times == [1, 2] if acknowledged else times in ([], [1, 2])
        assert len(client.notifications("drive/a")) == (0 if acknowledged else 1)


@pytest.mark.parametrize("under", [["env", "--default-signal=HUP"], ["nohup"]], ids=["plain", "nohup"])
def test_a_hangup_drains_unless_it_was_to_be_ignored(own_server, under):
    own_server.stop()
    own_server.under = under
    own_server.start()
    with Client(own_server.location) as client:
        client.create_sequence("drive")
        session = client.create_session("drive")
        token = client.create_topic(session, "drive/a")
        writer = client.begin_put("drive/a", token, rows.COUNTER)
        writer.write_batch(rows.counters([1, 2]))
        until(lambda: put_runs(client, session), "the put has begun")
        own_server.process.send_signal(signal.SIGHUP)
        if under == ["nohup"]:
            writer.done_writing()
            writer.close()
            client.finalize(session)
            assert client.read("drive/a").num_rows == 2 and own_server.process.poll() is None
            return
        until(lambda: own_server.log().count("draining") == 2, "word of the drain")
        writer.done_writing()
        writer.close()
    assert own_server.process.wait(60) == 0


@pytest.mark.parametrize("end", ENDS)
def test_a_ticket_is_good_after_it(own_server, end):
    with Client(own_server.location) as client:
        client.record_sequence("drive", {"a": [rows.counters(range(100))]})
        ticket = client.ticket("drive/a", 10, 20)
        getattr(own_server, end)()
        _, batches = client.batches(ticket)
        assert sum((batch.column("timestamp_ns").to_pylist() for batch in batches), []) == list(range(10, 20))


def test_it_starts_again_and_again(own_server):
    with Client(own_server.location) as client:
        for n in range(5):
            client.record_sequence(f"s{n}", {"a": [rows.counters(range(n + 1))]})
            own_server.crash()
        assert [client.read(f"s{n}/a").num_rows for n in range(5)] == [1, 2, 3, 4, 5]


def test_a_second_daemon_on_the_directory_is_refused(own_server):
    second = Server("second")
    try:
        command = [str(binary()), "serve", "--listen", f"127.0.0.1:{second.port}", "--data-dir", str(own_server.data)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=second.directory)
        assert ended.returncode != 0
        assert str(own_server.data) in ended.stderr + ended.stdout, "it should name the directory"
        with Client(own_server.location) as client:
            client.create_sequence("still-here")
    finally:
        second.remove()


def test_sigterm_lets_running_actions_end(own_server):
    with Client(own_server.location) as client:
        client.record_sequence("drive", {"a": [rows.counters([1])]})
        own_server.stop()
        own_server.start()
        assert client.read("drive/a").num_rows == 1


def test_a_file_that_only_grew_is_told_alike_by_all(own_server):
    with Client(own_server.location) as client:
        client.record_sequence("drive", {"a": [rows.counters(range(50))]})
    own_server.stop()
    (file,) = own_server.files()
    recorded = file.stat().st_size
    with file.open("ab") as end:
        end.write(b"x")
    own_server.start()
    until(lambda: "is longer than was recorded: its rows are read" in own_server.log(), "word of the longer file")
    assert "DATA_LOSS" not in own_server.log()
    with Client(own_server.location) as client:
        assert client.read("drive/a").num_rows == 50
    own_server.stop()
    told = tessera("verify", "--data-dir", own_server.data)
    assert told.returncode == 3 and f"truncate -s {recorded} " in told.stdout, told
    with file.open("r+b") as end:
        end.truncate(recorded)
    assert tessera("verify", "--data-dir", own_server.data).returncode == 0
