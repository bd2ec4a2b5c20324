"""Sessions whose writer is gone: found, finalized and discarded with the authority of the data directory."""

import os
import secrets
import time

import pyarrow as pa
import pyarrow.flight as fl
import pytest

from harness import rows
from harness.cli import lines
from harness.cli import screen
from harness.cli import tessera
from harness.flight import Client
from harness.waiting import until


def abandon(server, name, topics=2):
    """A session with durable topics whose token nobody has any more."""
    with Client(server.location) as client:
        client.create_sequence(name)
        session = client.create_session(name)
        for number in range(topics):
            client.record(session, f"{name}/t{number}", [rows.counters(range(100))])
        return session.locator


def order(server, command, *arguments, **options):
    place = ["--data-dir", server.data, "--server", server.location]
    return tessera(command, *place, *arguments, **options)


def test_an_abandoned_session_is_listed_and_finalized_while_the_server_runs(server, client, name):
    locator = abandon(server, name)
    (found,) = [s for s in lines(tessera("ls", "--open", "--server", server.location)) if s["sequence"] == name]
    assert locator == f"{name}:{found['session']}" and (found["topics"], found["rows"], found["state"]) == (2, 200, "complete")
    shown = screen("ls", "--open", name, "--server", server.location)
    assert found["session"][:8] in shown and "tessera finalize" in shown
    (listed,) = [s for s in lines(tessera("ls", "--server", server.location)) if s["sequence"] == name]
    assert listed["rows"] == 0 and listed["open"]["rows"] == 200
    assert "not yet readable" in screen("info", name, "--server", server.location)
    states = {t["topic"]: t["state"] for t in lines(tessera("ls", name, "--server", server.location))}
    assert states == {f"{name}/t0": "complete", f"{name}/t1": "complete"}
    with pytest.raises(pa.ArrowInvalid, match="tessera finalize"):
        client.ticket(f"{name}/t0")

    ended = order(server, "finalize", name, "--session", found["session"][:8])
    assert ended.returncode == 0 and locator in ended.stdout, ended.stderr
    assert client.sequence(name)["sessions"][0]["locked"]
    assert client.topic(f"{name}/t1")["data_info"]["total_row_count"] == 100
    again = order(server, "finalize", name)
    assert again.returncode == 1 and "no open session" in again.stderr


def test_a_session_of_before_a_crash_is_finalized_with_its_prefix(own_server, name):
    with Client(own_server.location) as client:
        client.create_sequence(name)
        session = client.create_session(name)
        client.record(session, f"{name}/whole", [rows.counters(range(100))])
        schema = rows.counters(range(1)).schema
        writer = client.begin_put(f"{name}/broken", client.create_topic(session, f"{name}/broken"), schema)
        client.create_topic(session, f"{name}/never")
        states = lambda: [t["state"] for t in lines(tessera("ls", name, "--server", own_server.location))]  # noqa: E731
        until(lambda: "receiving" in states(), "a DoPut that runs", 30)
        own_server.crash()
        del writer
    ended = order(own_server, "finalize", name)
    assert ended.returncode == 1 and f"{name}/never" in ended.stderr and "--drop-unwritten" in ended.stderr
    # Where it listens is in its configuration.
    config = own_server.directory / "of-the-server.toml"
    config.write_text(f'[server]\nlisten = "0.0.0.0:{own_server.port}"\ninsecure = true\n[storage]\ndata_dirs = ["{own_server.data}"]\n')
    ended = tessera("finalize", name, "--drop-unwritten", "--config", config)
    assert ended.returncode == 0 and f"never written: {name}/never" in ended.stdout, ended
    with Client(own_server.location) as client:
        assert set(client.sequence(name)["topics"]) == {f"{name}/whole", f"{name}/broken"}
    (listed,) = lines(tessera("ls", "--server", own_server.location))
    assert listed["interrupted"] == 1 and "1 topic" in screen("ls", "--server", own_server.location)


def test_a_session_of_which_nothing_was_written_names_its_way_out(server, client, name):
    client.create_sequence(name)
    client.create_topic(client.create_session(name), f"{name}/never")
    ended = order(server, "finalize", name, "--drop-unwritten")
    assert ended.returncode == 1 and "tessera discard" in ended.stderr and "FailedPrecondition" not in ended.stderr, ended.stderr
    way_out = ended.stderr.split("`tessera discard ")[1].split("`")[0].split()
    assert order(server, "discard", *way_out).returncode == 0


def test_a_session_that_is_written_is_left_alone(server, client, name):
    client.create_sequence(name)
    session = client.create_session(name)
    token = client.create_topic(session, f"{name}/t")
    client.create_topic(session, f"{name}/later")
    batch = rows.counters(range(10))
    writer = client.begin_put(f"{name}/t", token, batch.schema)
    states = lambda: [t["state"] for t in lines(tessera("ls", name, "--server", server.location))]  # noqa: E731
    until(lambda: "receiving" in states(), "a DoPut that runs", 30)
    for command in (["finalize"], ["finalize", "--drop-unwritten"], ["discard", "--yes"]):
        ended = order(server, command[0], name, *command[1:])
        assert ended.returncode == 1 and "DoPut" in ended.stderr, ended.stderr
    writer.write_batch(batch)
    writer.done_writing()
    writer.close()
    assert "later" in str(lines(tessera("ls", name, "--server", server.location)))


def recorded(client, name, topic):
    session = client.create_session(name)
    client.record(session, f"{name}/{topic}", [rows.counters(range(3))])
    return session


def test_discard_deletes_an_open_session_only(server, client, name):
    locator = abandon(server, name)
    ended = order(server, "discard", name)
    assert ended.returncode == 1 and locator in ended.stderr and "--yes" in ended.stderr
    assert len(client.sequence(name)["sessions"]) == 1
    assert order(server, "discard", locator, "--yes").returncode == 0
    # Its name is free; not so beside another session.
    client.create_sequence(name)
    client.finalize(recorded(client, name, "kept"))
    recorded(client, name, "gone")
    assert order(server, "discard", name, "--yes").returncode == 0
    assert set(client.sequence(name)["topics"]) == {f"{name}/kept"}
    client.record_sequence(f"{name}_final", {"t": [rows.counters(range(3))]})
    assert order(server, "discard", f"{name}_final", "--yes").returncode == 1
    assert client.topic(f"{name}_final/t")["locked"]


def test_the_network_alone_ends_no_session(server, client, name):
    """Without the key, with a made-up seal, with one that is no seal: refused, and nothing has moved."""
    locator = abandon(server, name)
    for kind in ("tessera_session_finalize", "tessera_session_discard"):
        body = {"locator": locator, "expires_at_ns": time.time_ns() + 30_000_000_000}
        with pytest.raises(pa.ArrowInvalid, match="seal"):
            client.action(kind, body)
        for seal in ("00" * 32, secrets.token_hex(32)):
            with pytest.raises(fl.FlightUnauthorizedError, match="not sealed"):
                client.action(kind, {**body, "seal": seal})
    assert [s["locked"] for s in client.sequence(name)["sessions"]] == [False]


def test_the_key_of_another_directory_is_refused(server, own_server, name):
    locator = abandon(server, name)
    ended = tessera("finalize", name, "--data-dir", own_server.data, "--server", server.location)
    assert ended.returncode == 1 and "not sealed with the key of this server" in ended.stderr
    assert order(server, "finalize", locator).returncode == 0


def test_without_a_server_or_a_directory_it_says_what_to_do(own_server, name, tmp_path):
    abandon(own_server, name)
    ended = tessera("finalize", name, "--data-dir", tmp_path, "--server", own_server.location)
    assert ended.returncode == 1 and "no data directory" in ended.stderr
    ended = tessera("finalize", name, "--data-dir", own_server.data, "--server", "grpc://127.0.0.1:1")
    assert ended.returncode == 5 and "name its address with --server" in ended.stderr
    own_server.stop()
    ended = order(own_server, "finalize", name)
    assert ended.returncode == 1 and "tessera serve --data-dir" in ended.stderr
    own_server.start()
    assert order(own_server, "finalize", name).returncode == 0


def test_two_open_sessions_are_told_apart(server, client, name):
    first = abandon(server, name)
    second = client.create_session(name)
    client.record(second, f"{name}/more", [rows.counters(range(5))])
    ended = order(server, "finalize", name)
    assert ended.returncode == 1 and "2 open sessions" in ended.stderr
    assert order(server, "finalize", first).returncode == 0
    locked = {s["locator"]: s["locked"] for s in client.sequence(name)["sessions"]}
    assert locked == {first: True, second.locator: False}
    client.finalize(second)


def test_a_directory_of_another_user_is_no_authority(server, name):
    """The key is in the catalog, which only the server's user can read."""
    abandon(server, name)
    assert (os.stat(server.data / "catalog").st_mode & 0o077) == 0
