"""The command line beside the daemon: NDJSON on a pipe, exit codes that mean something."""

import json
import os
import re
import socket
import subprocess

import pytest

from harness import rows
from harness.cli import lines
from harness.cli import screen
from harness.cli import tessera
from harness.server import binary
from harness.waiting import until


@pytest.fixture(scope="module")
def recorded(server):
    from harness.flight import Client

    with Client(server.location) as client:
        client.record_sequence("drive", {"a/imu": [rows.imu(range(100))], "count": [rows.counters(range(50))]})
    return server


def test_ls_lists_sequences_and_topics(recorded):
    assert "drive" in json.dumps(lines(tessera("ls", "--server", recorded.location)))
    text = json.dumps(lines(tessera("ls", "drive", "--server", recorded.location)))
    assert "a/imu" in text and "count" in text


def test_info_says_what_is_in_a_topic(recorded):
    ended = tessera("info", "drive/count", "--server", recorded.location)
    assert ended.returncode == 0 and "50" in ended.stdout


def column(text, name):
    """A column of the table on a terminal, by its head."""
    head, *table = [re.split(" {2,}", line.strip()) for line in text[text.index("topic ") :].splitlines()]
    return [cells[head.index(name)] for cells in table]


def test_info_is_one_aligned_screen(server):
    """Small rows are packed, payloads are not; one row has no rate and no gap; a pause shows as the longest gap."""
    from harness.flight import Client

    ms = 1_000_000
    times = [n * 5 * ms for n in range(400)] + [3_000 * ms]

    def packed():
        """On a machine that is busy with something else small rows are not."""
        if "screen" in client.sequences():
            client.delete_sequence("screen")
        topics = {"imu": [rows.imu(times)], "camera": [rows.blobs([0, 500 * ms, 1000 * ms], 60_000)], "once": [rows.counters([7])]}
        client.record_sequence("screen", topics, {"driver": "Jürgen", "note": "a\u202eb\x1b[2Jc"})
        (_, *told) = lines(tessera("info", "screen", "--server", server.location))
        return all(line["topic"]["storage"]["zstd_bytes"] for line in told if line["topic"]["resource_locator"].endswith("imu"))

    with Client(server.location) as client:
        until(packed, "small rows are packed", 60)
    text = screen("info", "screen", "--server", server.location)
    assert column(text, "topic") == ["screen/camera", "screen/imu", "screen/once"]
    assert column(text, "codec")[:2] == ["plain", "zstd"]
    assert column(text, "rate") == ["2.00 Hz", "133.3 Hz", "-"]
    assert column(text, "longest gap") == ["500.0ms", "1.0s", "-"]
    assert '"driver": "Jürgen"' in text and r"a\u202eb\u001b[2Jc" in text
    assert all(ord(c) >= 32 or c == "\n" for c in text) and "\u202e" not in text
    assert max(map(len, text.splitlines())) <= 120 and len(text.splitlines()) < 24
    (_, *told) = lines(tessera("info", "screen", "--server", server.location))
    imu = next(line["topic"] for line in told if line["topic"]["resource_locator"].endswith("imu"))
    assert imu["storage"]["zstd_bytes"] > 0 == imu["storage"]["plain_bytes"]
    assert imu["storage"]["gap_max_ns"] == 1_005 * ms and imu["data_info"]["total_row_count"] == 401


def test_no_client_is_told_more_than_it_asked_for(recorded):
    from harness.flight import Client

    with Client(recorded.location) as client:
        assert "storage" not in client.topic("drive/count")
        assert all("open_topics" not in session for session in client.sequence("drive")["sessions"])


def test_cat_gives_rows_as_ndjson(recorded):
    found = lines(tessera("cat", "drive/count", "--server", recorded.location))
    assert [row["timestamp_ns"] for row in found] == list(range(50))
    found = lines(tessera("cat", "drive/count", "--server", recorded.location, "--start", 10, "--end", 20, "--limit", 5))
    assert [row["timestamp_ns"] for row in found] == [10, 11, 12, 13, 14]


@pytest.mark.parametrize("command", ["ls", "info", "cat"])
def test_what_is_not_there_is_an_error(recorded, command):
    ended = tessera(command, "nobody/nothing", "--server", recorded.location)
    assert ended.returncode != 0 and ended.stdout == "" and "nobody" in ended.stderr


def test_no_server_is_an_error_with_a_remedy():
    ended = tessera("ls", "--server", "grpc://127.0.0.1:1")
    assert ended.returncode != 0 and "127.0.0.1:1" in ended.stderr


def test_verify_finds_nothing_and_then_the_damage(own_server):
    from harness.flight import Client

    with Client(own_server.location) as client:
        client.record_sequence("drive", {"a": [rows.blobs(range(20), 100_000)]})
    own_server.stop()
    assert tessera("verify", "--data-dir", own_server.data).returncode == 0
    (path,) = own_server.files()
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    ended = tessera("verify", "--data-dir", own_server.data)
    assert ended.returncode != 0 and "drive/a" in ended.stdout + ended.stderr
    own_server.start()


def test_verify_names_a_damaged_and_a_missing_manifest(own_server):
    from harness.flight import Client

    with Client(own_server.location) as client:
        client.record_sequence("drive", {"a": [rows.blobs(range(20), 100)]})
    own_server.stop()
    (path,) = (own_server.data / "manifests").iterdir()
    content = path.read_bytes()
    assert b"drive" in content
    path.write_bytes(content.replace(b"drive", b"drove"))
    ended = tessera("verify", "--data-dir", own_server.data)
    assert ended.returncode != 0
    assert path.stem in ended.stdout and "checksum" in ended.stdout, ended
    path.unlink()
    ended = tessera("verify", "--data-dir", own_server.data)
    assert ended.returncode != 0 and path.name in ended.stdout, ended
    path.write_bytes(content)
    assert tessera("verify", "--data-dir", own_server.data).returncode == 0


def test_unknown_keys_in_the_config_are_named(tmp_path):
    (tmp_path / "config.toml").write_text("[server]\nlisten = \"127.0.0.1:0\"\nlissten = 1\n")
    ended = tessera("config", "check", "--config", tmp_path / "config.toml")
    assert ended.returncode != 0 and "lissten" in ended.stderr + ended.stdout


def test_what_the_system_refuses_is_told_with_a_remedy(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    for directory in (file, file / "below"):
        ended = tessera("serve", "--listen", "127.0.0.1:0", "--data-dir", directory)
        assert ended.returncode == 1 and "name a directory" in ended.stderr, ended.stderr
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = tessera("serve", "--listen", address, "--data-dir", tmp_path / "data")
    assert ended.returncode == 1 and address in ended.stderr and "--listen" in ended.stderr


@pytest.mark.parametrize("name, hint", [("TESSERA_DATA_DIR", "TESSERA_STORAGE_DATA_DIRS"), ("TESSERA_CHUNK_BYTES_MAX", "at least")])
def test_wrong_variables_are_errors(name, hint):
    ended = tessera("config", "check", env={**os.environ, name: "1"})
    assert ended.returncode == 1 and hint in ended.stderr


def test_help_and_version():
    assert "serve" in tessera("--help").stdout
    assert tessera("--version").stdout.strip()


@pytest.mark.parametrize("words", [
    ("ls", "a//b"), ("info", "a b"), ("cat", "drive"), ("cat", "drive/count", "--start", "9", "--end", "3"), ("query", "A.x >"),
    ("query", "A.x > 1", "--in", "a//b"), ("export", "a//b", "--to", "out"), ("notifications", "a//b"), ("finalize", "a/b"),
    ("ls", "--server", "http//nowhere"), ("export", "drive", "--to", "out", "--where", "topic.tag = 'a'"), ("no-such-command",),
])  # fmt: skip
def test_wrong_usage_ends_with_2(words, tmp_path):
    ended = tessera(*words, cwd=tmp_path)
    assert ended.returncode == 2 and ended.stdout == "" and ended.stderr, ended
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("limit", ["0", "-1"])
@pytest.mark.parametrize("words", [("cat", "drive/count"), ("query", "Counter.value > 1")])
def test_a_limit_is_at_least_one(words, limit):
    ended = tessera(*words, "--limit", limit)
    assert ended.returncode == 2 and f"invalid value '{limit}' for '--limit" in ended.stderr, ended.stderr


def test_notifications_are_listed(recorded):
    from harness.flight import Client

    with Client(recorded.location) as client:
        for locator in ("drive", "drive/a/imu"):
            what = "topic" if "/" in locator else "sequence"
            client.action(f"{what}_notification_create", {"locator": locator, "notification_type": "error", "msg": f"of {locator}\x1b[2J"})
    told = lines(tessera("notifications", "drive", "--server", recorded.location))
    assert [(line["name"], line["type"], line["message"]) for line in told] == [
        (name, "error", f"of {name}\x1b[2J") for name in ("drive", "drive/a/imu")]
    assert all(line["created"].endswith("UTC") for line in told)
    (own,) = lines(tessera("notifications", "drive/a/imu", "--server", recorded.location))
    assert own == told[1]
    assert lines(tessera("notifications", "drive/count", "--server", recorded.location)) == []
    assert "\x1b" not in screen("notifications", "drive", "--server", recorded.location)
    assert tessera("notifications", "nobody", "--server", recorded.location).returncode == 1
    assert lines(tessera("notifications", "drive/a/imu", "--clear", "--server", recorded.location)) == [own]
    assert lines(tessera("notifications", "drive", "--clear", "--server", recorded.location)) == told[:1]
    assert lines(tessera("notifications", "drive", "--server", recorded.location)) == []


def test_config_check_refuses_what_a_start_refuses(tmp_path):
    from harness.flight import Client
    from harness.server import Server

    def check(*places, **keys):
        named = [word for place in places for word in ("--data-dir", place)]
        return tessera("config", "check", *named, env={**os.environ, **keys})

    def refused(said, *places, **keys):
        named = [word for place in places for word in ("--data-dir", place)]
        for ended in (check(*places, **keys), tessera("serve", "--listen", "127.0.0.1:0", *named, env={**os.environ, **keys})):
            assert ended.returncode == 1 and said in ended.stderr + ended.stdout, ended

    data, file, other = tmp_path / "data", tmp_path / "file", tmp_path / "other"
    assert check(data).returncode == 0 and not data.exists(), "a check makes nothing"
    refused("memory.read_bytes", data, TESSERA_MEMORY_READ_BYTES=str(1 << 40))
    file.write_text("")
    refused("file", file)
    other.mkdir()
    (other / "mine").write_text("")
    refused("was never a data directory", other)
    running = Server("checked")
    try:
        running.start()
        with Client(running.location) as client:
            client.record_sequence("drive", {"a": [rows.counters(range(9))]})
        assert check(running.data).returncode == 0, "beside a running server"
        assert check(data, running.data).returncode == 1 and not data.exists()
        running.stop()
        refused("the same one", running.data, running.data)
        refused("has no catalog", data, running.data)
    finally:
        running.remove()


def test_a_server_that_dies_while_rows_are_read_has_the_exit_code_of_one_that_is_not_there(own_server):
    from harness.flight import Client

    with Client(own_server.location) as client:
        client.record_sequence("drive", {"a": [rows.blobs([n], 1 << 20) for n in range(40)]})
    reading = subprocess.Popen([str(binary()), "cat", "drive/a", "--server", own_server.location], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    assert reading.stdout.read(1000)
    own_server.kill()
    _, said = reading.communicate(timeout=60)
    assert reading.returncode == 5 and b"cannot reach" in said, (reading.returncode, said)
    own_server.start()
