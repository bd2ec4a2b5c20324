"""Generated rows × generated selections: DoGet with `tessera_where` brings what a slow judge finds, with pages and row groups
skipped by what their zones say, and other columns read for hits alone.

SELECTION_QUERIES sets the size, SELECTION_SEED what is generated. 60 selections take 15 s."""

import json
import os
import random

import pyarrow as pa
import pytest

from harness import oracle
from harness.flight import Client

QUERIES = int(os.environ.get("SELECTION_QUERIES", "60"))
SEED = int(os.environ.get("SELECTION_SEED", "8"))

POINT = pa.struct([("z", pa.float64()), ("n", pa.utf8())])
SMALL = pa.schema([
    pa.field("timestamp_ns", pa.int64(), nullable=False), ("i", pa.int64()), ("f", pa.float64()), ("t", pa.utf8()), ("b", pa.bool_()),
    ("l", pa.list_(pa.int64())), ("p", POINT), pa.field("flat", pa.float64(), nullable=False)])
LARGE = pa.schema([*SMALL, ("blob", pa.binary())])
PATHS = ["i", "f", "t", "b", "l[?]", "l[!]", "l[0]", "p.z", "p.n", "flat", "timestamp_ns"]
COLUMNS = [None, None, [], ["i"], ["p.z"], ["blob", "l"], ["p", "t"], ["f", "b", "flat"]]
NAN, INFINITY = float("nan"), float("inf")


class Maker:
    """Rows whose values wander, so that a value lies in few pages, with stretches of nulls, of NaN and of infinities."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def rows(self, count, payload):
        level, out, odd = 0, [], None
        for n in range(count):
            level += self.random.randint(-3, 4)
            if n % max(count // 40, 1) == 0:
                odd = self.random.choice([None, None, None, "null", "nan", "inf", "zero"])
            x = {"nan": NAN, "inf": self.random.choice([INFINITY, -INFINITY]), "zero": -0.0}.get(odd, level / 4)
            null = odd == "null" or self.random.random() < 0.01
            row = {"timestamp_ns": n * 10, "i": None if null else level, "f": None if null else x, "t": f"run {level // 50}",
                   "b": level % 400 > 200, "l": None if odd == "null" else [level + k for k in range(n % 3)],
                   "p": None if null else {"z": x, "n": f"base_{level // 100:04}"}, "flat": x}
            if payload:
                row["blob"] = self.random.randbytes(8) * (payload // 8)
            out.append(row)
        return out

    def where(self, rows):
        out = {}
        for path in self.random.sample(PATHS, self.random.choice([1, 1, 2])):
            row = self.random.choice(rows)
            value = row
            for step in path.replace("[?]", "").replace("[!]", "").replace("[0]", "").split("."):
                value = value and value[step]
            value = value[0] if isinstance(value, list) and value else value
            out[f"Own.{path}"] = self.condition(path, value)
        if self.random.random() < 0.1:
            return {self.random.choice(["$or", "$and"]): [out, self.where(rows)]}
        return {"$not": out} if self.random.random() < 0.05 else out

    def condition(self, path, value):
        roll = self.random.random()
        if roll < 0.1 or value is None or isinstance(value, list):
            return {self.random.choice(["$ex", "$nex"]): None}
        if isinstance(value, bool):
            return {self.random.choice(["$eq", "$neq"]): value}
        if isinstance(value, str):
            return {self.random.choice(["$eq", "$geq", "$lt", "$neq"]): value} if roll < 0.5 else {"$match": value[:-1] + "*"}
        if value != value or abs(value) == INFINITY:
            return {"$neq": 5} if roll < 0.5 else {self.random.choice(["$gt", "$lt"]): 1e6}
        op = self.random.choice(["$eq", "$eq", "$between", "$between", "$gt", "$leq", "$in", "$neq"])
        if op == "$between":
            return {op: [value - self.random.choice([0, 0.25, 3]), value + self.random.choice([0, 0.5, 9])]}
        return {op: [value, value + 7]} if op == "$in" else {op: value}


@pytest.fixture(scope="module")
def recorded(server):
    maker = Maker(SEED)
    small, large = maker.rows(24_000, 0), maker.rows(90, 300_000)
    with Client(server.location) as client:
        client.create_sequence("own")
        session = client.create_session("own")
        for name, rows, schema, step in [("small", small, SMALL, 1500), ("large", large, LARGE, 7)]:
            # The second half arrives in the wrong order: its row groups overlap, and readers merge them.
            parts = [rows[at:at + step] for at in range(0, len(rows), step)]
            parts = parts[: len(parts) // 2] + parts[len(parts) // 2:][::-1]
            batches = [pa.RecordBatch.from_pylist(part, schema) for part in parts]
            client.record(session, f"own/{name}", batches, tag="Own", schema=schema)
        client.finalize(session)
    return {"own/small": small, "own/large": large}


def plain(value):
    """NaN equals itself here."""
    if isinstance(value, float) and value != value:
        return "NaN"
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def chosen(row, columns):
    if columns is None:
        return plain(row)
    names = [path for path in row if path == "timestamp_ns" or any(own.split(".")[0] == path for own in columns)]
    row = {name: row[name] for name in names}
    if "p.z" in columns:
        row["p"] = row["p"] and {"z": row["p"]["z"]}
    return plain(row)


def test_selections_bring_what_the_judge_finds(recorded, client):
    maker, hits, none = Maker(SEED + 1), 0, 0
    for n in range(QUERIES):
        locator = maker.random.choice(list(recorded))
        rows = recorded[locator]
        has = lambda columns: columns is None or all(own.split(".")[0] in rows[0] for own in columns)  # noqa: B023, E731
        where, columns = maker.where(rows), maker.random.choice([own for own in COLUMNS if has(own)])
        start = maker.random.choice([None, None, maker.random.randrange(len(rows) * 10)])
        more = {"where": where} if columns is None else {"where": where, "columns": columns}
        got = [plain(row) for row in client.select(locator, start=start, **more).to_pylist()]
        expected = [row for row in rows if row["timestamp_ns"] >= (start or 0) and oracle.predicate_holds(where, row)]
        told = f"selection {n} of {locator}: {json.dumps(more)} from {start}"
        assert [row["timestamp_ns"] for row in got] == [row["timestamp_ns"] for row in expected], told
        assert got == [chosen(row, columns) for row in expected], told
        hits, none = hits + len(expected), none + (not expected)
    assert hits > QUERIES and none < QUERIES // 2, "selections that find nothing prove nothing"
