"""SIGTERM under load: it ends in time, and nothing that was acknowledged is lost."""

import signal
import threading
import time

from harness import rows
from harness.cli import tessera
from harness.flight import Client
from harness.waiting import until

STREAMS = 24
SECONDS = 30


def write(location, session, n, acknowledged, ends):
    """Short topics one after the other, until the server stops."""
    with Client(location) as client:
        for turn in range(1000):
            locator = f"drive/s{n}/t{turn}"
            try:
                token = client.create_topic(session, locator)
                writer = client.begin_put(locator, token, rows.COUNTER)
                for part in range(5):
                    writer.write_batch(rows.counters(range(part * 20, part * 20 + 20)))
                writer.done_writing()
                writer.close()
            except Exception as error:
                ends.append(error)
                return
            acknowledged.append(locator)


def test_a_stop_under_load_loses_nothing_acknowledged_and_ends_in_time(own_server):
    acknowledged, ends = [], []
    with Client(own_server.location) as client:
        client.create_sequence("drive")
        session = client.create_session("drive")
        arguments = [(own_server.location, session, n, acknowledged, ends) for n in range(STREAMS)]
        writers = [threading.Thread(target=write, args=each) for each in arguments]
        for writer in writers:
            writer.start()
        until(lambda: ends or len(acknowledged) > 10 * STREAMS, "the streams run", 60)
        assert not ends, ends[0]
        asked = time.monotonic()
        own_server.process.send_signal(signal.SIGTERM)
        assert own_server.process.wait(60) == 0, own_server.log()[-3000:]
        assert time.monotonic() - asked < SECONDS
        for writer in writers:
            writer.join(60)
        own_server.start()
        place = ["--data-dir", own_server.data, "--server", own_server.location]
        ended = tessera("finalize", "drive", "--drop-unwritten", *place)
        assert ended.returncode == 0, ended.stderr
        for locator in acknowledged:
            assert client.read(locator).column("timestamp_ns").to_pylist() == list(range(100)), locator

