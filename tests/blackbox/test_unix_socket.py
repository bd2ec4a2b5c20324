"""Clients on the same box may use a Unix socket. gRPC would send its path as authority, so they name one."""

import stat

from harness import rows
from harness.flight import Client

CONFIG = '[server]\nunix_socket = "{directory}/socket"\n'
OPTIONS = [("grpc.default_authority", "localhost")]


def test_a_recording_goes_in_and_comes_back(server, client, name):
    path = server.directory / "socket"
    assert stat.S_ISSOCK(path.stat().st_mode)
    with Client(f"grpc+unix://{path}", generic_options=OPTIONS) as local:
        batches = [rows.imu(range(500)), rows.imu(range(500, 900))]
        local.record_sequence(name, {"imu": batches, "camera": [rows.blobs([1], 10_000_000)]})
        assert local.read(f"{name}/imu").equals(rows.in_time_order(batches))
    assert client.read(f"{name}/imu").equals(rows.in_time_order(batches))


def test_the_socket_of_a_killed_daemon_is_not_in_the_way(server, name):
    server.crash()
    with Client(f"grpc+unix://{server.directory / 'socket'}", generic_options=OPTIONS) as local:
        local.create_sequence(name)
        assert name in local.sequences()
