"""The catalog is lost, and made again from the files alone."""

import json
import shutil

from harness import rows
from harness.cli import tessera
from harness.codes import refused
from harness.flight import Client


def everything(client):
    """What a reader sees of all sequences: descriptions and rows."""
    seen = {}
    for name in client.sequences():
        described = client.sequence(name)
        seen[name] = json.loads(json.dumps(described, sort_keys=True))
        for topic in described["topics"]:
            seen[topic] = client.read(topic)
    return seen


def test_everything_is_read_back_after_the_catalog_was_lost(own_server):
    with Client(own_server.location) as client:
        client.record_sequence("drive", {"a": [rows.counters(range(0, 5000, 5))], "b/c": [rows.blobs(range(50), 100_000)]})
        client.create_sequence("second", {"driver": "Ada", "n": 1.5})
        session = client.create_session("second")
        client.record(session, "second/imu", [rows.imu(range(500))], tag="IMU", metadata={"mount": "roof"})
        client.put("second/empty", client.create_topic(session, "second/empty"), rows.COUNTER)
        client.finalize(session)
        layer = client.create_session("second")
        client.record(layer, "second/labels", [rows.counters(range(7))])
        client.finalize(layer)
        client.record_sequence("gone", {"a": [rows.counters(range(9))]})
        client.delete_sequence("gone")
        client.create_sequence("open")
        session = client.create_session("open")
        client.record(session, "open/a", [rows.counters(range(11))])
        before = everything(client)
        beside = tessera("catalog", "rebuild", "--data-dir", own_server.data)
        assert beside.returncode == 1 and "in use" in beside.stderr, beside.stderr
        own_server.stop()
        shutil.rmtree(own_server.data / "catalog")
        rebuilt = tessera("catalog", "rebuild", "--data-dir", own_server.data)
        assert rebuilt.returncode == 0, rebuilt.stderr
        assert "notifications" in rebuilt.stderr and "1 of them open" in rebuilt.stderr, rebuilt.stderr
        assert tessera("verify", "--data-dir", own_server.data).returncode == 0
        own_server.start()
        after = everything(client)
        # Of a session that was open its sequence has no time of creation in any file.
        assert before.pop("open")["topics"] == after.pop("open")["topics"] == {}
        assert before == after
        place = ["--data-dir", own_server.data, "--server", own_server.location]
        assert tessera("finalize", "open", *place).returncode == 0
        assert client.read("open/a").num_rows == 11
        # And it goes on as any other.
        client.record_sequence("gone", {"a": [rows.counters(range(3))]})
        own_server.restart()
        assert client.read("gone/a").num_rows == 3 and client.read("second/imu").num_rows == 500


def test_a_damaged_catalog_names_its_remedy(own_server):
    with Client(own_server.location) as client:
        client.record_sequence("drive", {"a": [rows.counters(range(100))]})
        own_server.stop()
        path = own_server.data / "catalog" / "catalog.db"
        content = bytearray(path.read_bytes())
        content[4096 : len(content) - 4096] = b"\xa5" * (len(content) - 8192)
        path.write_bytes(content)
        ended = tessera("verify", "--data-dir", own_server.data)
        assert ended.returncode != 0 and "catalog rebuild" in ended.stderr + ended.stdout, ended
        rebuilt = tessera("catalog", "rebuild", "--data-dir", own_server.data)
        assert rebuilt.returncode == 0 and "before-rebuild-1" in rebuilt.stderr, rebuilt.stderr
        assert (own_server.data / "catalog" / "before-rebuild-1" / "catalog.db").read_bytes() == content
        own_server.start()
        assert client.read("drive/a").num_rows == 100


def test_a_budget_that_does_not_fit_is_refused(tmp_path):
    (tmp_path / "config.toml").write_text("[memory]\nread_bytes = 1099511627776\n")
    ended = tessera("serve", "--listen", "127.0.0.1:0", "--data-dir", tmp_path / "data", "--config", tmp_path / "config.toml")
    assert ended.returncode == 1 and "memory.read_bytes" in ended.stderr and "MiB" in ended.stderr, ended.stderr


def test_a_chunk_that_the_rebuild_could_not_read_says_so_until_it_is_mended(own_server):
    with Client(own_server.location) as client:
        client.record_sequence("drive", {"a": [rows.counters(range(100))]})
    own_server.stop()
    (chunk,) = own_server.files()
    whole = chunk.read_bytes()
    chunk.write_bytes(whole + b"x")

    def remake():
        shutil.rmtree(own_server.data / "catalog")
        return tessera("catalog", "rebuild", "--data-dir", own_server.data).returncode

    assert remake() == 3
    own_server.start()
    with Client(own_server.location) as client, refused("DATA_LOSS") as error:
        client.read("drive/a")
    assert "could not be read when the catalog was rebuilt" in error.text and "rebuild again" in error.text, error.text
    own_server.stop()
    chunk.write_bytes(whole)
    assert remake() == 0
    own_server.start()
    with Client(own_server.location) as client:
        assert client.read("drive/a").num_rows == 100
