"""The command line beside the daemon: NDJSON on a pipe, exit codes that mean something."""

import json
import subprocess

import pytest

from harness import rows
from harness.server import binary


def tessera(*arguments, **options):
    return subprocess.run([str(binary()), *map(str, arguments)], capture_output=True, text=True, timeout=120, **options)


@pytest.fixture(scope="module")
def recorded(server):
    from harness.flight import Client

    with Client(server.location) as client:
        client.record_sequence("drive", {"a/imu": [rows.imu(range(100))], "count": [rows.counters(range(50))]})
    return server


def lines(ended):
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


def test_ls_lists_sequences_and_topics(recorded):
    assert "drive" in json.dumps(lines(tessera("ls", "--server", recorded.location)))
    text = json.dumps(lines(tessera("ls", "drive", "--server", recorded.location)))
    assert "a/imu" in text and "count" in text


def test_info_says_what_is_in_a_topic(recorded):
    ended = tessera("info", "drive/count", "--server", recorded.location)
    assert ended.returncode == 0 and "50" in ended.stdout


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


def test_unknown_keys_in_the_config_are_named(tmp_path):
    (tmp_path / "config.toml").write_text("[server]\nlisten = \"127.0.0.1:0\"\nlissten = 1\n")
    ended = tessera("config", "check", "--config", tmp_path / "config.toml")
    assert ended.returncode != 0 and "lissten" in ended.stderr + ended.stdout


def test_help_and_version():
    assert "serve" in tessera("--help").stdout
    assert tessera("--version").stdout.strip()
