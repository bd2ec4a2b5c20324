"""Two creators of one name: exactly one wins. Tried with 64 at once, each on a connection of its own."""

import threading

import pytest

from harness import rows
from harness.codes import ERRORS, code
from harness.flight import Client

RACERS = 64


def race(server, attempt):
    """Outcomes of 64 attempts that start together: what `attempt` returned, or the code it failed with."""
    barrier = threading.Barrier(RACERS)
    outcomes = [None] * RACERS

    def run(n):
        # Without a channel of its own, gRPC would put all racers on one connection.
        with Client(server.location, generic_options=[("grpc.use_local_subchannel_pool", 1)]) as client:
            client.action("info", {})
            barrier.wait(60)
            try:
                outcomes[n] = ("won", attempt(client, n))
            except ERRORS as error:
                outcomes[n] = (code(error), None)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(RACERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def test_one_creator_gets_the_sequence(server, client, name):
    outcomes = race(server, lambda client, n: client.create_sequence(name, {"racer": n}))
    assert sorted(word for word, _ in outcomes) == ["ALREADY_EXISTS"] * (RACERS - 1) + ["won"]
    winner = [word for word, _ in outcomes].index("won")
    assert client.sequence(name)["user_metadata"] == {"racer": winner}


@pytest.mark.parametrize("sessions", ["one session", "own sessions"])
def test_one_creator_gets_the_topic(server, client, name, sessions):
    client.create_sequence(name)
    shared = client.create_session(name)
    own = [client.create_session(name) for _ in range(RACERS)]

    def attempt(client, n):
        return client.create_topic(shared if sessions == "one session" else own[n], f"{name}/imu")

    outcomes = race(server, attempt)
    assert sorted(word for word, _ in outcomes) == ["ALREADY_EXISTS"] * (RACERS - 1) + ["won"]
    (token,) = [token for word, token in outcomes if word == "won"]
    client.put(f"{name}/imu", token, rows.COUNTER, [rows.counters([1])])


def test_one_writer_gets_the_topic(server, client, name):
    client.create_sequence(name)
    session = client.create_session(name)
    token = client.create_topic(session, f"{name}/imu")
    outcomes = race(server, lambda client, n: client.put(
        f"{name}/imu", token, rows.COUNTER, [rows.counters([n], first=n)]))
    assert sorted(word for word, _ in outcomes) == ["FAILED_PRECONDITION"] * (RACERS - 1) + ["won"]
    client.finalize(session)
    winner = [word for word, _ in outcomes].index("won")
    assert client.read(f"{name}/imu").column("value").to_pylist() == [winner]


def test_all_finalizers_get_the_same_answer(server, client, name):
    client.create_sequence(name)
    session = client.create_session(name)
    client.record(session, f"{name}/a", [rows.counters([1])])
    outcomes = race(server, lambda client, n: client.results("session_finalize", {"session_uuid": session.uuid}))
    assert {word for word, _ in outcomes} == {"won"}
    assert len({tuple(answer) for _, answer in outcomes}) == 1


def test_one_of_many_deleters_finds_it(server, client, name):
    client.record_sequence(name, {"a": [rows.counters([1])]})
    words = [word for word, _ in race(server, lambda client, n: client.delete_sequence(name))]
    assert set(words) <= {"won", "NOT_FOUND"} and "won" in words
    assert name not in client.sequences()
