"""What a query means, row by row and value by value, in plain Python: slow, and written from the protocol, not from the
server. Python compares integers and floats exactly, which is what makes it a judge of numbers."""

import math
import re


def number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def same_kind(a, b):
    return (number(a) and number(b)) or (type(a) is type(b) and isinstance(a, (str, bool)))


def order(text):
    return text.encode() if isinstance(text, str) else text


def glob(pattern):
    out, at = "", 0
    while at < len(pattern):
        c = pattern[at]
        if c == "*":
            out += ".*"
        elif c == "?":
            out += "."
        elif c == "#":
            out += "[0-9]"
        elif c == "[":
            end = pattern.index("]", at + 1)
            inside = pattern[at + 1:end].replace("\\", "\\\\").replace("[", "\\[")
            if inside.startswith("!"):
                inside = "^" + inside[1:]
            out += f"[{inside}]"
            at = end
        else:
            out += re.escape(c)
        at += 1
    return re.compile(f"(?s:{out})\\Z")


def holds(op, operand, value):
    """Whether one value, not a list, satisfies `{op: operand}`; null is None."""
    if op in ("$ex", "$nex"):
        wanted = (op == "$ex") == (operand is not False)
        return (value is not None) == wanted
    if value is None:
        return False
    if op == "$in":
        return any(holds("$eq", item, value) for item in operand)
    if op in ("$between", "$outside"):
        low, high = operand
        if not same_kind(low, value) or isinstance(value, bool):
            return False
        if number(value) and math.isnan(value):
            return False
        low, high, value = order(low), order(high), order(value)
        return low <= value <= high if op == "$between" else value < low or value > high
    if op == "$match":
        return isinstance(value, str) and glob(operand).match(value) is not None
    if not same_kind(operand, value):
        return False
    if op == "$neq":
        return operand != value
    if op == "$eq":
        return operand == value
    a, b = order(value), order(operand)
    return {"$lt": a < b, "$leq": a <= b, "$gt": a > b, "$geq": a >= b}[op]


def row_holds(path, condition, row):
    """Whether the value at `path` (without the tag) of a row, which is a dict of dicts and lists, satisfies the condition."""
    (op, operand), = condition.items()
    if op == "$or":
        return any(row_holds(path, part, row) for part in operand)
    if op == "$and":
        return all(row_holds(path, part, row) for part in operand)
    if op == "$not":
        return not row_holds(path, operand, row)

    def walk(value, steps):
        if not steps:
            if isinstance(operand, list) and op in ("$eq", "$neq"):
                if not isinstance(value, list):
                    return False
                same = len(value) == len(operand) and all(holds("$eq", b, a) for a, b in zip(value, operand))
                return same == (op == "$eq")
            if isinstance(value, (list, dict)) and op not in ("$ex", "$nex"):
                return False
            return holds(op, operand, value)
        name, item = re.fullmatch(r"([^\[]+)(?:\[(.+)\])?", steps[0]).groups()
        if value is None:
            return holds(op, operand, None)
        inner = value[name]
        if item is None:
            return walk(inner, steps[1:])
        if inner is None:
            return holds(op, operand, None)
        if item == "?":
            return any(walk(element, steps[1:]) for element in inner)
        if item == "!":
            return all(walk(element, steps[1:]) for element in inner)
        return walk(inner[int(item)], steps[1:]) if int(item) < len(inner) else holds(op, operand, None)

    return walk(row, path.split("."))


def predicate_holds(ontology, row):
    """Whether one row satisfies an ontology scope of a single tag."""
    for key, value in ontology.items():
        if key == "$or":
            ok = any(predicate_holds(part, row) for part in value)
        elif key == "$and":
            ok = all(predicate_holds(part, row) for part in value)
        elif key == "$not":
            ok = not predicate_holds(value, row)
        else:
            ok = row_holds(key.split(".", 1)[1], value, row)
        if not ok:
            return False
    return True


def tags_of(ontology):
    tags = set()
    for key, value in ontology.items():
        if key in ("$or", "$and"):
            for part in value:
                tags |= tags_of(part)
        elif key == "$not":
            tags |= tags_of(value)
        else:
            tags.add(key.split(".", 1)[0])
    return tags


def search(ontology, sequences):
    """`{sequence: {path: (tag, rows)}}` to the set of `sequence/path` that an ontology scope finds."""
    found = set()
    tags = tags_of(ontology)
    for name, topics in sequences.items():
        hits = {}
        for tag in tags:
            own = {key: value for key, value in ontology.items() if tags_of({key: value}) == {tag}}
            hits[tag] = {f"{name}/{path}" for path, (its, rows) in topics.items()
                         if its == tag and any(predicate_holds(own, row) for row in rows)}
        if tags and all(hits.values()):
            found |= set().union(*hits.values())
    return found


# Windows


def clusters(times, gap):
    out = []
    for time in sorted(times):
        if out and (gap == 0 or time - out[-1][1] <= gap):
            out[-1][1] = time
        else:
            out.append([time, time])
    return [tuple(window) for window in out]


def intersection(topics, tolerance):
    """Of the windows of several topics."""
    streams = [iter(windows) for windows in topics]
    current, out = [], []
    for stream in streams:
        window = next(stream, None)
        if window is None:
            return []
        current.append(window)
    while True:
        start, end = max(w[0] for w in current), min(w[1] for w in current)
        if start <= end:
            out.append((start, end))
        elif start <= end + tolerance:
            half = tolerance // 2
            out.append((start - half, end + tolerance - half))
        first = min(range(len(current)), key=lambda n: current[n][1])
        window = next(streams[first], None)
        if window is None:
            return out
        current[first] = window
