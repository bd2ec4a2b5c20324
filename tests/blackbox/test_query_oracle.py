"""Generated data × generated predicates: the server finds what a slow judge finds, neither more nor less.

ORACLE_SETS (sequences of up to four topics each) and ORACLE_QUERIES set the size, ORACLE_SEED what is
generated. Each query is asked of all sets at once, so the number of judgements is their product."""

import json
import os
import random
import struct

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness import oracle
from harness.flight import Client

SETS = int(os.environ.get("ORACLE_SETS", "24"))
QUERIES = int(os.environ.get("ORACLE_QUERIES", "250"))
SEED = int(os.environ.get("ORACLE_SEED", "6"))

# Every few rows a chunk, so that chunks and segments are skipped or not.
CONFIG = "[chunk]\nrows_max = 3\n"

SINGLE = lambda x: struct.unpack("f", struct.pack("f", x))[0]  # noqa: E731
TEXTS = ["", "a", "A", "ab", "base_link", "base", "é", "z\nz", "*", "[a]", "run-7", "ÿ", "\U0001f600", "a" * 40, "a" * 40 + "b"]
INTS = [0, 1, -1, 2, 7, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, 2**63 - 2, -(2**63), 100]
UINTS = [0, 1, 2, 2**53 + 1, 2**63, 2**64 - 1, 2**64 - 2, 7]
FLOATS = [0.0, -0.0, 1.0, -1.5, 0.1, float("nan"), float("inf"), float("-inf"), 1.7976931348623157e308, 5e-324, 2.0**53,
          9007199254740994.0, -7.0, 1e-3, 2.0**63, 2.0**64]
SINGLES = [SINGLE(x) for x in (0.0, -0.0, 0.1, 1.5, 3e38, float("nan"), float("inf"), -2.0)]

POINT = pa.struct([("z", pa.float64()), ("n", pa.utf8())])
SCHEMA = pa.schema([
    pa.field("timestamp_ns", pa.int64(), nullable=False),
    ("i", pa.int64()), ("u", pa.uint64()), ("s", pa.int8()), ("f", pa.float64()), ("g", pa.float32()), ("b", pa.bool_()),
    ("t", pa.utf8()), ("l", pa.list_(pa.int64())), ("lt", pa.list_(pa.utf8())), ("lf", pa.list_(pa.float64())),
    ("fx", pa.list_(pa.float64(), 2)), ("p", POINT), ("lp", pa.list_(POINT)),
    ("o", pa.struct([("in", pa.struct([("x", pa.int64()), ("v", pa.list_(pa.int64()))]))])),
])


class Maker:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def some(self, pool, null=0.15):
        return None if self.random.random() < null else self.random.choice(pool)

    def many(self, make, null=0.15, longest=4):
        return None if self.random.random() < null else [make() for _ in range(self.random.randrange(longest))]

    def point(self):
        return None if self.random.random() < 0.15 else {"z": self.some(FLOATS), "n": self.some(TEXTS)}

    def row(self, time):
        # Neighbours are alike, as they are in recordings: otherwise no chunk could ever be skipped.
        inner = None if self.random.random() < 0.15 else {
            "x": self.some(INTS), "v": self.many(lambda: self.some(INTS))}
        return {
            "timestamp_ns": time, "i": self.some(self.ints), "u": self.some(UINTS), "s": self.some([-128, 127, 0, 1]),
            "f": self.some(self.floats), "g": self.some(SINGLES), "b": self.some([True, False]), "t": self.some(self.texts),
            "l": self.many(lambda: self.some(INTS)), "lt": self.many(lambda: self.some(TEXTS)),
            "lf": self.many(lambda: self.some(FLOATS)),
            "fx": None if self.random.random() < 0.2 else [self.some(FLOATS), self.some(FLOATS)],
            "p": self.point(), "lp": self.many(self.point), "o": None if self.random.random() < 0.1 else {"in": inner},
        }

    def rows(self):
        few = lambda pool: self.random.sample(pool, self.random.randint(1, len(pool)))  # noqa: E731
        self.ints, self.floats, self.texts = few(INTS), few(FLOATS), few(TEXTS)
        times = [self.random.randrange(-50, 50) for _ in range(self.random.choice([0, 1, 2, 5, 14]))]
        return [self.row(time) for time in times]

    # Predicates

    def condition(self, kind, depth=0):
        roll = self.random.random()
        if depth < 2 and roll < 0.06:
            return {self.random.choice(["$or", "$and"]): [self.condition(kind, depth + 1) for _ in range(2)]}
        if depth < 2 and roll < 0.09:
            return {"$not": self.condition(kind, depth + 1)}
        if roll < 0.14:
            return {self.random.choice(["$ex", "$nex"]): None}
        if roll < 0.17:
            kind = self.random.choice(["number", "text", "bool"])
        if kind == "bool":
            return {self.random.choice(["$eq", "$neq"]): self.random.choice([True, False])}
        pool = TEXTS if kind == "text" else self.literals()
        op = self.random.choice(["$eq", "$neq", "$lt", "$leq", "$gt", "$geq", "$between", "$outside", "$in"]
                                + ["$match"] * (3 if kind == "text" else 0))
        if op == "$match":
            return {op: self.random.choice(["*", "a*", "?", "*_link", "b?se*", "run-#", "[a-c]*", "[!a]*", "z?z", "*a", "é",
                                            "A", "*b*s*", "[[]a]"])}
        if op in ("$between", "$outside"):
            low, high = self.random.choice(pool), self.random.choice(pool)
            key = lambda x: x.encode() if isinstance(x, str) else x  # noqa: E731
            if self.random.random() < 0.9 and key(low) > key(high):
                low, high = high, low
            return {op: [low, high]}
        if op == "$in":
            return {op: [self.random.choice(pool) for _ in range(self.random.randint(1, 4))]}
        return {op: self.random.choice(pool)}

    def literals(self):
        finite = [x for x in FLOATS + SINGLES if x == x and abs(x) != float("inf")]
        return INTS + UINTS + finite + [0.5, -0.5, 1e300, -1e300, 9.223372036854775e18, 50, -50]

    PATHS = [("i", "number"), ("u", "number"), ("s", "number"), ("f", "number"), ("g", "number"), ("b", "bool"), ("t", "text"),
             ("timestamp_ns", "number"), ("p.z", "number"), ("p.n", "text"), ("o.in.x", "number")]
    LISTS = [("l[{}]", "number"), ("lt[{}]", "text"), ("lf[{}]", "number"), ("fx[{}]", "number"), ("lp[{}].z", "number"),
             ("lp[{}].n", "text"), ("o.in.v[{}]", "number")]

    def leaf(self, tag):
        if self.random.random() < 0.05:
            pool = self.random.choice([("l", INTS), ("lt", TEXTS), ("lf", [0.0, 1.0, 1])])
            items = [self.random.choice(pool[1]) for _ in range(self.random.randrange(3))]
            return f"{tag}.{pool[0]}", {self.random.choice(["$eq", "$neq"]): items}
        if self.random.random() < 0.45:
            path, kind = self.random.choice(self.LISTS)
            path = path.format(self.random.choice(["0", "1", "3", "?", "?", "!", "!"]))
        else:
            path, kind = self.random.choice(self.PATHS)
        return f"{tag}.{path}", self.condition(kind)

    def ontology(self):
        tags = self.random.choice([["One"], ["Two"], ["One", "Two"]])
        out = {}
        for _ in range(self.random.choice([1, 1, 2, 3])):
            key, value = self.leaf(self.random.choice(tags))
            out[key] = value
        if self.random.random() < 0.1:
            tag = self.random.choice(tags)
            parts = [dict([self.leaf(tag)]) for _ in range(2)]
            out[self.random.choice(["$or", "$and"])] = parts
        if self.random.random() < 0.05:
            out["$not"] = dict([self.leaf(self.random.choice(tags))])
        return out


@pytest.fixture(scope="module")
def recorded(server):
    """Sets as `{sequence: {path: (tag, rows)}}`; the rows are what the files on disk say, not what was sent."""
    maker, sets = Maker(SEED), {}
    with Client(server.location) as client:
        for n in range(SETS):
            name = f"set{n}"
            sets[name] = {}
            client.create_sequence(name)
            session = client.create_session(name)
            for topic in range(maker.random.randint(1, 4)):
                rows = maker.rows()
                batches = [pa.RecordBatch.from_pylist(part, SCHEMA) for part in (rows[:4], rows[4:]) if part]
                tag = maker.random.choice(["One", "Two"])
                client.record(session, f"{name}/t{topic}", batches, tag=tag, schema=SCHEMA)
                sets[name][f"t{topic}"] = (tag, [])
            client.finalize(session)
    for file in (server.data / "chunks").rglob("*.par*"):
        keys = {key.decode(): value.decode() for key, value in pq.read_metadata(file).metadata.items()}
        sequence, path = keys["tessera:name"].split("/", 1)
        sets[sequence][path][1].extend(pq.read_table(file).to_pylist())
    assert sum(len(rows) for topics in sets.values() for _, rows in topics.values()) > SETS
    return sets


def found(client, query):
    items = client.action("query", query)["items"]
    assert len({item["sequence"] for item in items}) == len(items)
    return {topic["locator"] for item in items for topic in item["topics"]}


def test_predicates_find_what_the_judge_finds(recorded, client):
    maker, hits = Maker(SEED + 1), 0
    for n in range(QUERIES):
        ontology = maker.ontology()
        expected = oracle.search(ontology, recorded)
        answer = found(client, {"ontology": ontology})
        hits += len(expected)
        assert answer == expected, f"query {n}: {json.dumps(ontology)}: too many {answer - expected}, too few {expected - answer}"
    assert hits > QUERIES, "predicates that find nothing prove nothing"


def test_windows_are_those_of_the_judge(recorded, client):
    maker, windows = Maker(SEED + 2), 0
    topics = {f"{name}/{path}": own for name, paths in recorded.items() for path, own in paths.items()}
    for _ in range(QUERIES // 2):
        locator = maker.random.choice([locator for locator, (_, rows) in topics.items() if rows])
        tag, rows = topics[locator]
        request, times = cluster_request(maker, locator, tag, rows)
        gap = request["clustering_dt_ns"]
        expected = oracle.clusters(times, gap)
        assert answered(client, "topic_filter_clusterize", request) == expected, request
        windows += len(expected)
        sequence = locator.split("/")[0]
        several = []
        for path in maker.random.choices(list(recorded[sequence]), k=maker.random.randint(2, 3)):
            tag, rows = recorded[sequence][path]
            several.append(cluster_request(maker, f"{sequence}/{path}", tag, rows))
        tolerance = maker.random.choice([0, 1, 3, 10])
        unique = {json.dumps(request): oracle.clusters(times, request["clustering_dt_ns"]) for request, times in several}
        expected = oracle.intersection(list(unique.values()), tolerance)
        request = {"topics": [request for request, _ in several], "intersect_dt_ns": tolerance}
        assert answered(client, "topic_filter_intersect", request) == expected, request
        windows += len(expected)
    assert windows > QUERIES // 2


def cluster_request(maker, locator, tag, rows):
    """A request, and the times it is about."""
    ontology = dict([maker.leaf(tag)])
    if maker.random.random() < 0.7:
        ontology = {f"{tag}.timestamp_ns": {"$geq": maker.random.randrange(-50, 40)}}
    request = {"locator": locator, "clustering_dt_ns": maker.random.choice([0, 1, 5, 20]), "ontology": ontology}
    times = [row["timestamp_ns"] for row in rows if oracle.predicate_holds(ontology, row)]
    if maker.random.random() < 0.3:
        start = maker.random.randrange(-50, 40)
        request["timestamp_range"] = {"start_ns": start, "end_ns": start + 30}
        times = [time for time in times if start <= time < start + 30]
    return request, times


def answered(client, kind, request):
    results = [json.loads(result) for result in client.results(kind, request)]
    assert all(result["action"] == kind for result in results)
    responses = [result["response"] for result in results]
    assert [response["id"] for response in responses] == list(range(len(responses)))
    return [(response["ts"]["start_ns"], response["ts"]["end_ns"]) for response in responses]
