"""The first thing a client asks. SDK 0.7.0 fills its batches up to nine tenths of the limit that `info` reports."""

import pyarrow.flight as fl

MIB = 1 << 20


def test_info_has_all_that_the_sdk_reads(client):
    answer = client.action("info", {})
    assert isinstance(answer["version"], str)
    assert all(isinstance(answer["semver"][part], int) for part in ("major", "minor", "patch"))
    assert all(isinstance(answer["config"][f"grpc_{what}_message_size"], int) for what in
               ("max_decode", "max_encode", "target_encode"))


def test_info_reports_the_default_limits(client):
    config = client.action("info", {})["config"]
    assert config["grpc_max_decode_message_size"] == 64 * MIB
    assert config["grpc_target_encode_message_size"] <= config["grpc_max_encode_message_size"]


def test_older_clients_ask_for_the_version(client):
    answer = client.action("version", {})
    assert answer["version"] == client.action("info", {})["version"]
    assert set(answer["semver"]) >= {"major", "minor", "patch"}


def test_the_oldest_clients_probe_with_list_flights(server):
    with fl.connect(server.location) as flight:
        flight.wait_for_available(timeout=5)


def test_an_empty_body_is_an_empty_object(client):
    assert client.action("info", b"")["config"]
