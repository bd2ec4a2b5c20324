"""Names are catalog keys, never paths: what is allowed, what is refused, and that nothing escapes the data directory."""

import json

import pytest

from harness import rows
from harness.codes import refused

GOOD = ["a", "A-1_b", "0", "x" * 255, "drive_2026-11-21T10-00-00Z", "-", "_", "(1)", "a+b=c", "~tilde", "a@b"]
BAD = ["", "/", "a b", "a.b", ".", "..", "../x", "a:b", "a*", "$a", "%2e%2e", "a&b", "'a'", '"a"', "!a", "a\0", "a\n", "a\t",
       "\u202eabc", "é", "日本", "a\\..\\b/../c", "x" * 256, "\x1b[31mred", "a/b", "😀"]
BAD_PATHS = ["", "a//b", "../a", "a/../b", "a b", "a.b", "a:b", "é", "a\0b", "x" * 1025, "a/\u202e", "%2e/x"]
GOOD_PATHS = ["a", "a/b/c", "0/1/2", "x" * 1024, "/".join("abcdefghijklmnopqrstuvwxyz"), "a_b-c/D"]


@pytest.mark.parametrize("good", GOOD, ids=lambda text: text[:20])
def test_good_sequence_names(client, good):
    client.create_sequence(good)
    assert good in client.sequences()
    assert client.sequence(good)["resource_locator"] == good
    client.delete_sequence(good)


@pytest.mark.parametrize("bad", BAD, ids=ascii)
def test_bad_sequence_names(client, bad):
    for kind, body in (("sequence_create", {"user_metadata": {}}), ("session_create", {}), ("sequence_delete", {}),
                       ("sequence_notification_list", {})):
        if kind == "sequence_create" or "/" not in bad.strip("/"):
            with refused("INVALID_ARGUMENT"):
                client.action(kind, {"locator": bad, **body})


@pytest.mark.parametrize("good", GOOD_PATHS, ids=lambda text: text[:20])
def test_good_topic_paths(client, name, good):
    client.record_sequence(name, {good: [rows.counters([1])]})
    assert client.read(f"{name}/{good}").num_rows == 1
    assert list(client.sequence(name)["topics"]) == [f"{name}/{good}"]


@pytest.mark.parametrize("bad", BAD_PATHS, ids=ascii)
def test_bad_topic_paths(client, name, bad):
    client.create_sequence(name)
    session = client.create_session(name)
    with refused("INVALID_ARGUMENT"):
        client.create_topic(session, f"{name}/{bad}")


@pytest.mark.parametrize("spelling", ["/{}", "{}/", "/{}/", "//{}//"])
def test_slashes_around_names_are_ignored(client, name, spelling):
    spelled = spelling.format(name)
    client.create_sequence(spelled)
    session = client.create_session(spelled)
    client.record(session, f"{name}/a", [rows.counters([1])])
    client.finalize(session)
    assert client.sequence(spelled)["resource_locator"] == name
    assert client.sequences().count(name) == 1
    assert client.read(f"/{name}/a").num_rows == 1
    client.delete_sequence(spelled)


@pytest.mark.parametrize("locator", ["a:b", "a:", "a:not-a-uuid", ":", "a"])
def test_what_is_no_session_is_refused(client, locator):
    with refused("INVALID_ARGUMENT"):
        client.action("session_delete", {"locator": locator})


@pytest.mark.parametrize("body", [{}, {"locator": None}, {"locator": 7}, {"locator": ["a"]}, {"name": 1}, []], ids=json.dumps)
def test_a_locator_is_a_text(client, body):
    for kind in ("sequence_create", "session_create", "topic_create", "sequence_delete", "sequence_notification_list"):
        with refused("INVALID_ARGUMENT"):
            client.action(kind, body)


def test_long_locators_are_refused_before_anything_else(client):
    with refused("INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"):
        client.flight_info("x" * 60_000)


def test_only_our_own_names_are_on_the_disk(server, client, name):
    client.record_sequence(name, {"looks/like/a-path": [rows.counters([1])]})
    for path in server.files("*"):
        assert name not in path.name and "looks" not in path.name
        assert not path.is_symlink()
