"""Queries that are small to send and large to answer: refused with a reason, or answered within bounds (T10)."""

import threading

import pyarrow as pa
import pytest

from harness import rows
from harness.codes import code, refused
from harness.flight import Client
from harness.watch import unharmed


@pytest.fixture(scope="module", autouse=True)
def recorded(server):
    with Client(server.location) as client:
        texts = pa.schema([rows.TIME, pa.field("text", pa.utf8())])
        batch = pa.record_batch([pa.array(range(2000), pa.int64()), pa.array(["a" * 200] * 2000)], schema=texts)
        client.create_sequence("drive", {"note": "a" * 5000})
        session = client.create_session("drive")
        client.record(session, "drive/texts", [batch], tag="Text", schema=texts)
        client.finalize(session)
        yield
        client.delete_sequence("drive")


@pytest.fixture(autouse=True)
def watched(server):
    with unharmed(server):
        yield


def nested(depth, inner, word="$and"):
    for _ in range(depth):
        inner = {word: [inner]}
    return inner


CONDITION = {"Text.text": {"$eq": "b"}}


@pytest.mark.parametrize("query", [
    nested(40, {"sequence": {"name": {"$eq": "x"}}}), {"ontology": nested(40, CONDITION)}, {"ontology": nested(40, CONDITION, "$or")},
    {"$or": [{"sequence": {"name": {"$eq": f"s{n}"}}} for n in range(10_000)]},
    {"ontology": {"$or": [{"Text.text": {"$eq": f"s{n}"}} for n in range(10_000)]}},
    {"ontology": {"Text.text": {"$in": [f"s{n}" for n in range(100_000)]}}},
    {"sequence": {"name": {"$in": ["x" * 10_000] * 2000}}},
    {"topic": {"name": {"$match": "*" * 200_000}}},
], ids=["deep", "deep and", "deep or", "10 000 queries", "10 000 conditions", "100 000 values", "long values", "long pattern"])
def test_queries_beyond_the_limits(client, query):
    with refused("INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"):
        client.action("query", query)


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(.*)*b", "a{1000}{1000}{1000}", "(a?){200}a{200}", "(((((a*)*)*)*)*)*c", "a**"])
def test_patterns_that_backtrack(client, pattern):
    """The oldest dialect takes regular expressions: in linear time, or not at all."""
    for query in ({"sequence": {"locator": {"$match": pattern}}}, {"topic": {"locator": {"$match": pattern}}}):
        try:
            client.action("query", query)
        except Exception as error:  # noqa: BLE001: only this one
            assert code(error) == "INVALID_ARGUMENT", error


@pytest.mark.parametrize("pattern", ["*a" * 100 + "b", "?" * 255, "*" * 255, "#" * 100 + "*b"])
def test_globs_that_backtrack_over_every_row(client, pattern):
    answer = client.action("query", {"ontology": {"Text.text": {"$match": pattern}}})
    assert len(answer["items"]) <= 1


def test_many_at_once(server, client):
    query = {"ontology": {"$or": [{"Text.text": {"$match": f"*{n}*a*b"}} for n in range(20)]}}

    def ask():
        with Client(server.location, generic_options=[("grpc.use_local_subchannel_pool", 1)]) as own:
            try:
                own.action("query", query)
            except Exception:  # noqa: BLE001: it may be told to come again
                pass

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.action("query", {"sequence": {"name": {"$eq": "drive"}}})["items"]
