"""Queries by name, metadata, tag and values: what belongs together across topics and sequences, and what is refused.
What one condition means on one value is `test_query_oracle.py`'s."""

import decimal
import json
import time

import pyarrow as pa
import pytest

from harness import rows
from harness.codes import refused
from harness.flight import Client

VALUES = pa.schema([pa.field("timestamp_ns", pa.int64(), nullable=False), ("x", pa.float64()), ("frame", pa.utf8())])


def batch(*values, start=0):
    return pa.RecordBatch.from_pylist(
        [{"timestamp_ns": start + 10 * n, "x": x, "frame": f"base{x}"} for n, x in enumerate(values)], VALUES)


@pytest.fixture(scope="module")
def recorded(server):
    with Client(server.location) as client:
        def record(name, topics, metadata):
            client.create_sequence(name, metadata)
            session = client.create_session(name)
            for path, (tag, batches, own) in topics.items():
                client.record(session, f"{name}/{path}", batches, tag=tag, schema=VALUES, metadata=own)
            client.finalize(session)

        record("drive_1", {"imu": ("Imu", [batch(1.0, 5.0, 2.0)], {"rate": 200, "mount": {"at": "roof"}}),
                           "sensors/gps": ("Gps", [batch(9.0, start=100)], {"tags": ["a", 7]}),
                           "empty": ("Imu", [], {})},
               {"vehicle": {"name": "red", "wheels": [{"r": 1.5}, {"r": 1.6}]}, "day": "2026-03-01T12:00:00"})
        record("drive_2", {"imu": ("Imu", [batch(-1.0)], {"rate": 100.5}), "cam/front": ("Cam", [batch(3.0)], {})},
               {"vehicle": {"name": "blue"}, "ok": True, "nothing": None})
        record("other", {"imu": ("Imu", [batch(5.0, 5.0)], {})}, {})
        client.create_sequence("without_topics", {"vehicle": {"name": "red"}})
        client.create_sequence("open", {"vehicle": {"name": "red"}})
        client.record(client.create_session("open"), "open/imu", [batch(5.0)], tag="Imu")


def found(client, query):
    answer = client.action("query", query)
    items = {item["sequence"]: {topic["locator"].split("/", 1)[1]: topic for topic in item["topics"]} for item in answer["items"]}
    assert len(items) == len(answer["items"]), "each sequence comes once"
    return items


def paths(client, query):
    return {name: set(topics) for name, topics in found(client, query).items()}


def topic_names(client, condition):
    items = paths(client, {"topic": {"name": condition}})
    return {f"{name}/{path}" for name, own in items.items() for path in own}


def sequences(client, **metadata):
    return set(found(client, {"sequence": {"user_metadata": metadata}}))


def test_names(recorded, client):
    assert set(found(client, {"sequence": {"name": {"$match": "*"}}})) == {"drive_1", "drive_2", "other"}
    assert set(found(client, {"sequence": {"name": {"$match": "drive_#"}}})) == {"drive_1", "drive_2"}
    assert found(client, {"sequence": {"name": {"$match": "drive"}}}) == {}
    assert set(found(client, {"sequence": {"name": {"$in": ["other", "nobody", "drive_2"]}}})) == {"drive_2", "other"}
    gps = {"drive_1/sensors/gps"}
    for name in ("/sensors/gps", "sensors/gps"):
        assert topic_names(client, {"$eq": name}) == gps
        assert topic_names(client, {"$in": [name, "x"]}) == gps
    assert topic_names(client, {"$match": "/sensors/*"}) == gps
    assert topic_names(client, {"$match": "*front"}) == {"drive_2/cam/front"}
    assert topic_names(client, {"$match": "gps"}) == set()


def test_globs_over_topic_names_go_without_a_slash(recorded, client):
    gps = {"drive_1/sensors/gps"}
    assert topic_names(client, {"$match": "sensors/*"}) == gps and topic_names(client, {"$match": "sensors/gps"}) == gps
    assert topic_names(client, {"$match": "imu"}) == {"drive_1/imu", "drive_2/imu", "other/imu"}


def test_names_together(recorded, client):
    both = {"sequence": {"name": {"$eq": "drive_2"}}, "topic": {"name": {"$eq": "/imu"}}}
    assert paths(client, both) == {"drive_2": {"imu"}}
    everything = found(client, {"topic": {"ontology_tag": {"$eq": "Imu"}}})
    assert set(everything["drive_1"]) == {"imu", "empty"}
    assert everything["drive_1"]["imu"] == {"locator": "drive_1/imu", "ontology_tag": "Imu"}
    assert set(found(client, {"topic": {"serialization_format": {"$eq": "ragged"}}})) == set()


def test_metadata(recorded, client):
    assert sequences(client, **{"vehicle.name": {"$eq": "red"}}) == {"drive_1"}
    assert sequences(client, **{"vehicle.name": {"$neq": "red"}}) == {"drive_2"}
    assert sequences(client, **{"vehicle.name": {"$nex": None}}) == {"other"} == sequences(client, **{"vehicle.name": "$nex"})
    assert sequences(client, **{"vehicle.name": "$ex"}) == {"drive_1", "drive_2"}
    assert sequences(client, **{"vehicle.name": {"$ex": None}, "ok": {"$eq": True}}) == {"drive_2"}
    assert sequences(client, **{"vehicle.wheels.r": {"$gt": 1.55}}) == {"drive_1"}
    assert sequences(client, **{"vehicle.wheels[*].r": {"$eq": 1.5}}) == {"drive_1"}
    assert sequences(client, **{"*.name": {"$match": "bl*"}}) == {"drive_2"}
    assert sequences(client, **{"**.r": {"$between": [1.6, 2]}}) == {"drive_1"}
    assert sequences(client, **{"day": {"$lt": "2026-03-02"}}) == {"drive_1"}
    rate = lambda condition: set(found(client, {"topic": {"user_metadata": {"rate": condition}}}))  # noqa: E731
    assert rate({"$geq": 100.5}) == {"drive_1", "drive_2"} and rate({"$eq": 200.0}) == {"drive_1"}
    assert rate({"$eq": "200"}) == set() and rate({"$outside": [0, 150]}) == {"drive_1"}
    assert paths(client, {"topic": {"user_metadata": {"tags": {"$eq": 7}}}}) == {"drive_1": {"sensors/gps"}}


def test_times_of_creation(recorded, client):
    now = time.time_ns()
    query = lambda **condition: set(found(client, {"sequence": {"created_at_ns": condition}}))  # noqa: E731
    assert query(**{"$leq": now}) == {"drive_1", "drive_2", "other"} and query(**{"$geq": now}) == set()
    assert query(**{"$between": [now - 10**12, now]}) == {"drive_1", "drive_2", "other"}
    for key in ("created_at", "created_timestamp"):
        assert set(found(client, {"topic": {key: {"$leq": now}}})) == {"drive_1", "drive_2", "other"}


def test_values(recorded, client):
    assert paths(client, {"ontology": {"Imu.x": {"$geq": 5}}}) == {"drive_1": {"imu"}, "other": {"imu"}}
    # on one row
    assert paths(client, {"ontology": {"Imu.x": {"$eq": 5}, "Imu.timestamp_ns": {"$eq": 10}}}) == {
        "drive_1": {"imu"}, "other": {"imu"}}
    assert paths(client, {"ontology": {"Imu.x": {"$eq": 5}, "Imu.timestamp_ns": {"$lt": 10}}}) == {"other": {"imu"}}
    # several tags: sequences intersect, topics unite
    both = {"ontology": {"Imu.x": {"$gt": 0}, "Gps.x": {"$eq": 9}}}
    assert paths(client, both) == {"drive_1": {"imu", "sensors/gps"}}
    assert paths(client, {"ontology": {"Imu.x": {"$gt": 0}, "Gps.x": {"$eq": 8}}}) == {}
    assert paths(client, {**both, "topic": {"name": {"$eq": "imu"}}}) == {}, "no Gps is left to match"
    assert paths(client, {"ontology": {"Imu.frame": {"$match": "base-*"}}}) == {"drive_2": {"imu"}}
    for unknown in ("Nothing.x", "Imu.y", "Imu.x.y", "Imu.x[0]"):
        assert paths(client, {"ontology": {unknown: {"$neq": 5}}}) == {}
    assert paths(client, {"sequence": {"name": {"$eq": "other"}}, "ontology": {}}) == {"other": {"imu"}}


def test_what_asks_for_nothing_finds_nothing(recorded, client):
    for query in ({}, {"sequence": {}}, {"topic": {}, "ontology": {}}, {"sequence": {"user_metadata": {}}}):
        assert client.action("query", query) == {"items": []}


def test_beyond_the_protocol(recorded, client):
    either = {"$or": [{"sequence": {"name": {"$eq": "other"}}}, {"ontology": {"Gps.x": {"$eq": 9}}}]}
    assert paths(client, either) == {"other": {"imu"}, "drive_1": {"sensors/gps"}}
    assert paths(client, {"topic": {"name": {"$eq": "imu"}}, "$not": {"ontology": {"Imu.x": {"$eq": 5}}}}) == {"drive_2": {"imu"}}
    # What asks nothing of rows chooses topics; it does not add any.
    five = {"ontology": {"Imu.x": {"$eq": 5}}}
    assert paths(client, five) == {"drive_1": {"imu"}, "other": {"imu"}}
    assert paths(client, {**five, "$and": [{"topic": {"name": {"$eq": "sensors/gps"}}}]}) == {}
    assert paths(client, {**five, "$and": [{"topic": {"name": {"$eq": "imu"}}}]}) == paths(client, five)
    named = [{"sequence": {"name": {"$eq": "drive_1"}}}, {"topic": {"name": {"$eq": "sensors/gps"}}}]
    assert paths(client, {**five, "$or": named}) == {"drive_1": {"imu"}}
    assert paths(client, {**five, "$not": {"topic": {"name": {"$eq": "imu"}}}}) == {}
    # A negated question about rows leaves out the sequences that answer it.
    assert paths(client, {**five, "$not": {"ontology": {"Gps.x": {"$eq": 9}}}}) == {"other": {"imu"}}
    within = {"ontology": {"$or": [{"Imu.x": {"$lt": 0}}, {"Imu.x": {"$eq": 2}}]}}
    assert set(paths(client, within)) == {"drive_1", "drive_2"}
    assert set(paths(client, {"ontology": {"Imu.x": {"$or": [{"$lt": 0}, {"$eq": 2}]}}})) == {"drive_1", "drive_2"}
    both = {"$and": [{"ontology": {"Imu.x": {"$gt": 0}}}, {"ontology": {"Gps.x": {"$gt": 0}}}]}
    assert paths(client, both) == {"drive_1": {"imu", "sensors/gps"}}
    assert set(paths(client, {"sequence": {"name": {"$match": "*"}}, "limit": 2})) == {"drive_1", "drive_2"}


def record(client, name, tag, columns):
    """One topic of one batch: `name/t`."""
    client.create_sequence(name)
    session = client.create_session(name)
    client.record(session, f"{name}/t", [pa.record_batch(list(columns.values()), names=list(columns))], tag=tag)
    client.finalize(session)


def test_a_dot_in_a_name_is_no_step(server, client):
    inner = pa.StructArray.from_arrays([pa.array([1.0, 2.0, 3.0])], names=["b"])
    times, flat = pa.array([1, 2, 3]), pa.array([100.0, 200.0, 300.0])
    record(client, "flat_first", "Dots", {"timestamp_ns": times, "a.b": flat, "a": inner})
    record(client, "struct_first", "Dots", {"timestamp_ns": times, "a": inner, "a.b": flat})
    assert set(paths(client, {"ontology": {"Dots.a.b": {"$eq": 2}}})) == {"flat_first", "struct_first"}


def test_values_out_of_dictionaries(server, client):
    def coded(values, ordered=False):
        return pa.DictionaryArray.from_arrays(pa.array([0, 1, 0], pa.int8()), pa.array(values), ordered=ordered)

    record(client, "coded", "Coded", {
        "timestamp_ns": pa.array([1, 2, 3]), "kind": coded(["red", "blue"]), "rank": coded(["low", "high"], ordered=True),
        "p": coded([{"x": 1.0}, {"x": 2.0}]), "l": coded([[1, 2], [3]])})
    for path, condition, rows in (
        ("kind", {"$eq": "red"}, [1, 3]), ("rank", {"$eq": "high"}, [2]), ("rank", {"$match": "l*"}, [1, 3]),
        ("p.x", {"$gt": 1.5}, [2]), ("l[?]", {"$eq": 3}, [2]), ("l[0]", {"$eq": 1}, [1, 3]), ("rank", {"$nex": None}, []),
    ):
        where = {f"Coded.{path}": condition}
        assert set(paths(client, {"ontology": where})) == ({"coded"} if rows else set()), path
        assert client.select("coded/t", where=where).column("timestamp_ns").to_pylist() == rows, path
    whole = client.read("coded/t")
    for path, field in (("kind", "kind"), ("rank", "rank"), ("p.x", "p"), ("l", "l")):
        some = client.select("coded/t", columns=[path])
        assert sorted(some.column_names) == sorted(["timestamp_ns", field])
        assert some.column(field).to_pylist() == whole.column(field).to_pylist()
    with refused("INVALID_ARGUMENT") as error:
        client.select("coded/t", columns=["nope"])
    assert "nope" in error.text


def test_decimals_are_numbers(server, client):
    prices = pa.array([decimal.Decimal("1.10"), decimal.Decimal("-7.25"), None], pa.decimal128(10, 2))
    record(client, "shop", "Price", {"timestamp_ns": pa.array([1, 2, 3]), "price": prices})
    rows = lambda **condition: client.select("shop/t", where={"Price.price": condition}).column(0).to_pylist()  # noqa: E731
    assert rows(**{"$eq": 1.1}) == [1] and rows(**{"$lt": 0}) == [2] and rows(**{"$neq": 1.1}) == [2]
    assert rows(**{"$nex": None}) == [3]


def test_older_dialects(recorded, client):
    assert set(found(client, {"sequence": {"locator": {"$match": "rive"}}})) == {"drive_1", "drive_2"}
    assert paths(client, {"topic": {"locator": {"$match": "1/.*gps$"}}}) == {"drive_1": {"sensors/gps"}}
    for name in ("sensors/gps", "/sensors/gps", "drive_1/sensors/gps"):
        assert paths(client, {"topic": {"locator": {"$eq": name}}}) == {"drive_1": {"sensors/gps"}}
    answer = found(client, {"ontology": {"Imu.x": {"$geq": 2}, "include_timestamp_range": True}})
    assert answer["drive_1"]["imu"]["timestamp_range"] == [10, 20]
    assert answer["other"]["imu"]["timestamp_range"] == [0, 10]
    answer = found(client, {"topic": {"locator": {"$eq": "imu"}}, "ontology": {"include_timestamp_range": True}})
    assert answer["drive_1"]["imu"]["timestamp_range"] == [0, 20]


@pytest.mark.parametrize("query, key", [
    ({"sequences": {}}, "sequences"), ({"topic": {"nam": {"$eq": 1}}}, "topic.nam"), ({"topic": {"name": {"$like": "x"}}}, "$like"),
    ({"topic": {"name": {"$match": ""}}}, "topic.name"), ({"ontology": {"Imu.x": {"$between": [1]}}}, "Imu.x"),
    ({"ontology": {"Imu": {"$eq": 1}}}, "ontology.Imu"), ({"sequence": {"user_metadata": {"a.***": {"$eq": 1}}}}, "a.***"),
    ({"topic": {"name": {"$match": "[a"}}}, "topic.name"), ({"ontology": {"Imu.x[0][1]": {"$eq": 1}}}, "Imu.x[0][1]"),
    ({"ontology": {"Imu.frame": {"$match": "x" * 257}}}, "Imu.frame"), ({"ontology": {"Imu.x": {"$eq": [0] * 1025}}}, "Imu.x"),
])
def test_what_is_malformed_is_named(client, query, key):
    with refused("INVALID_ARGUMENT") as caught:
        client.action("query", query)
    assert key in caught.text, caught.text


def test_bodies_that_are_no_query_are_refused(client):
    for body in (b"", b"null", b"[]", b"{", b'{"topic": {"name": {"$eq": 1}, "name": {"$eq": 2}}}', b"[" * 100_000, b"\xff"):
        if body == b"":
            assert json.loads(client.results("query", body)[0])["response"] == {"items": []}
            continue
        with refused("INVALID_ARGUMENT"):
            client.results("query", body)


# Windows


def windows(client, kind, request):
    responses = [json.loads(result)["response"] for result in client.results(kind, request)]
    assert [response["id"] for response in responses] == list(range(len(responses)))
    return [(response["ts"]["start_ns"], response["ts"]["end_ns"]) for response in responses]


def test_clusters(recorded, client):
    ask = lambda gap, condition, **more: windows(client, "topic_filter_clusterize", {  # noqa: E731
        "locator": "drive_1/imu", "clustering_dt_ns": gap, "ontology": {"Imu.x": condition}, "timestamp_range": None, **more})
    assert ask(0, {"$gt": 0}) == [(0, 20)] and ask(10, {"$gt": 0}) == [(0, 20)]
    assert ask(9, {"$gt": 0}) == [(0, 0), (10, 10), (20, 20)] and ask(9, {"$gt": 9}) == []
    assert ask(0, {"$gt": 0}, timestamp_range={"start_ns": 5, "end_ns": 20}) == [(10, 10)]


def test_an_intersection_with_nothing_is_nothing(recorded, client):
    topic = lambda path, tag, condition: {"locator": f"drive_1/{path}", "clustering_dt_ns": 0,  # noqa: E731
                                          "ontology": {f"{tag}.x": condition}}
    ask = lambda *topics, tolerance=0: windows(client, "topic_filter_intersect",  # noqa: E731
                                               {"topics": list(topics), "intersect_dt_ns": tolerance})
    imu, gps = topic("imu", "Imu", {"$gt": 0}), topic("sensors/gps", "Gps", {"$gt": 0})
    assert ask(imu, gps) == [] and ask(imu, gps, tolerance=80) == [(60, 60)] and ask(imu, gps, tolerance=79) == []
    assert ask(imu, imu) == [(0, 20)] and ask(imu, imu, imu) == [(0, 20)]
    assert ask(imu, topic("empty", "Imu", {"$gt": 0}), tolerance=10**18) == []
    assert ask(imu, topic("sensors/gps", "Gps", {"$gt": 99}), tolerance=10**18) == []
    everything = {"locator": "drive_1/imu", "clustering_dt_ns": 0, "ontology": {}}
    assert ask(imu, everything) == [(0, 20)]


def test_a_range_of_all_and_one_of_a_topic_hold_both(recorded, client):
    own = {"clustering_dt_ns": 0, "timestamp_range": {"start_ns": 5}}
    topics = [{"locator": "drive_1/imu", "ontology": ontology, **own} for ontology in ({"Imu.x": {"$gt": 0}}, {})]
    ask = lambda **outer: windows(client, "topic_filter_intersect", {"topics": topics, "intersect_dt_ns": 0, **outer})  # noqa: E731
    assert ask() == [(10, 20)] and ask(timestamp_range={"end_ns": 20}) == [(10, 10)]
    with refused("INVALID_ARGUMENT") as caught:
        ask(timestamp_range={"end_ns": 5})
    assert "topics[0].timestamp_range" in caught.text, caught.text


@pytest.mark.parametrize("kind, change, code", [
    ("topic_filter_clusterize", {"ontology": {}}, "INVALID_ARGUMENT"), ("topic_filter_clusterize", {"ontology": None}, "INVALID_ARGUMENT"),
    ("topic_filter_clusterize", {"ontology": {"Gps.x": {"$eq": 1}}}, "INVALID_ARGUMENT"),
    ("topic_filter_clusterize", {"clustering_dt_ns": -1}, "INVALID_ARGUMENT"),
    ("topic_filter_clusterize", {"timestamp_range": {"start_ns": 5, "end_ns": 5}}, "INVALID_ARGUMENT"),
    ("topic_filter_clusterize", {"timestamp_rangee": {"start_ns": 5}}, "INVALID_ARGUMENT"),
    ("topic_filter_clusterize", {"locator": "drive_1"}, "INVALID_ARGUMENT"),
    ("topic_filter_clusterize", {"locator": "drive_1/none"}, "NOT_FOUND"),
    ("topic_filter_clusterize", {"locator": "open/imu"}, "FAILED_PRECONDITION"),
    ("topic_filter_intersect", {"topics": []}, "INVALID_ARGUMENT"), ("topic_filter_intersect", {"topics": ["first"]}, "INVALID_ARGUMENT"),
    ("topic_filter_intersect", {"topics": ["first", "elsewhere"]}, "INVALID_ARGUMENT"),
])
def test_windows_of_nothing_are_refused(recorded, client, kind, change, code):
    first = {"locator": "drive_1/imu", "clustering_dt_ns": 0, "ontology": {"Imu.x": {"$gt": 0}}}
    request = {**first, **change} if kind.endswith("clusterize") else {
        "intersect_dt_ns": 0, "topics": [{"first": first, "elsewhere": {**first, "locator": "other/imu"}}[name] for name in change["topics"]]}
    with refused(code):
        client.results(kind, request)


def test_deleted_sequences_are_not_found(recorded, client):
    client.record_sequence("short_lived", {"a": [rows.counters([1, 2])]})
    assert paths(client, {"ontology": {"Counter.timestamp_ns": {"$eq": 2}}}) == {"short_lived": {"a"}}
    client.delete_sequence("short_lived")
    assert paths(client, {"ontology": {"Counter.timestamp_ns": {"$eq": 2}}}) == {}
