"""Arrow IPC messages that claim more than they are, written byte by byte: no writer would make them."""

import struct


class FlatBuffer:
    """Written back to front, as FlatBuffers are; positions count from the end."""

    def __init__(self):
        self.bytes = b""

    def push(self, data):
        """Puts `data` before everything else, its start aligned to 4. Returns its position."""
        padding = -(len(self.bytes) + len(data)) % 4
        self.bytes = data + bytes(padding) + self.bytes
        return len(self.bytes)

    def table(self, fields):
        """`fields`: number -> bytes (a value in place) or an int (position of something pushed before)."""
        count = max(fields, default=-1) + 1
        inline, places = b"", {}
        ordered = sorted(fields.items(), key=lambda item: -len(item[1]) if isinstance(item[1], bytes) else -4)
        at = 4
        for number, value in ordered:
            width = len(value) if isinstance(value, bytes) else 4
            at += -at % min(width, 8)
            places[number] = at
            at += width
        at += -at % 8
        body = bytearray(at)
        start = len(self.bytes) + at
        start += -start % 8
        self.bytes = bytes(start - at - len(self.bytes)) + self.bytes
        for number, value in fields.items():
            place = places[number]
            if isinstance(value, bytes):
                body[place : place + len(value)] = value
            else:
                body[place : place + 4] = struct.pack("<I", start - place - value)
        vtable = struct.pack("<HH", 4 + 2 * count, at) + b"".join(struct.pack("<H", places.get(n, 0)) for n in range(count))
        vtable += bytes(-len(vtable) % 8)
        body[0:4] = struct.pack("<i", len(vtable))
        self.bytes = vtable + bytes(body) + self.bytes
        return start

    def text(self, value):
        data = struct.pack("<I", len(value)) + value + b"\0"
        return self.push(data + bytes(-len(data) % 4))

    def tables(self, targets):
        """A vector of offsets."""
        start = len(self.bytes) + 4 + 4 * len(targets)
        data = struct.pack("<I", len(targets))
        for n, target in enumerate(targets):
            data += struct.pack("<I", start - 4 - 4 * n - target)
        return self.push(data)

    def structs(self, items, count=None):
        """A vector of structs of 64-bit numbers; `count` lies about them."""
        data = b"".join(struct.pack("<" + "q" * len(item), *item) for item in items)
        size = len(self.bytes) + len(data)
        self.bytes = data + bytes(-size % 8) + self.bytes
        return self.push(struct.pack("<I", len(items) if count is None else count))

    def finish(self, root):
        size = len(self.bytes) + 4
        padding = -size % 8
        self.bytes = bytes(padding) + self.bytes
        return struct.pack("<I", len(self.bytes) + 4 - root) + self.bytes


V5 = struct.pack("<h", 4)
SCHEMA, RECORD_BATCH = b"\1", b"\3"
INT, STRUCT, UTF8, NULL, LIST = b"\2", b"\x0d", b"\5", b"\1", b"\x0c"


def message(buffer, kind, header, body=0):
    return buffer.finish(buffer.table({0: V5, 1: kind, 2: header, 3: struct.pack("<q", body)}))


def int_type(buffer, bits=64):
    return buffer.table({0: struct.pack("<i", bits), 1: b"\1"})


def field(buffer, name, kind, type_, children=()):
    fields = {0: name, 2: kind, 3: type_}
    if children:
        fields[5] = buffer.tables(children)
    return buffer.table(fields)


def schema(buffer, fields):
    return message(buffer, SCHEMA, buffer.table({1: buffer.tables(fields)}))


def time_field(buffer):
    return field(buffer, buffer.text(b"timestamp_ns"), INT, int_type(buffer))


def deep_schema(levels):
    """A struct in a struct in a struct."""
    buffer = FlatBuffer()
    name, struct_type = buffer.text(b"x"), buffer.table({})
    inner = field(buffer, name, INT, int_type(buffer))
    for _ in range(levels):
        inner = field(buffer, name, STRUCT, struct_type, [inner])
    return schema(buffer, [time_field(buffer), inner])


def doubling_schema(levels, each=2):
    """Every level names the next one `each` times: few bytes, each ** levels fields."""
    buffer = FlatBuffer()
    name, struct_type = buffer.text(b"x"), buffer.table({})
    inner = field(buffer, name, INT, int_type(buffer))
    for _ in range(levels):
        inner = field(buffer, name, STRUCT, struct_type, [inner] * each)
    return schema(buffer, [time_field(buffer), inner])


def wide_schema(count):
    """One field, named by `count` columns."""
    buffer = FlatBuffer()
    inner = field(buffer, buffer.text(b"x"), INT, int_type(buffer))
    return schema(buffer, [time_field(buffer)] + [inner] * count)


def batch(rows, nodes, buffers, body=0, node_count=None, buffer_count=None, views=None):
    """A record batch header of any numbers. `*_count` are what its vectors claim to hold."""
    buffer = FlatBuffer()
    fields = {0: struct.pack("<q", rows), 1: buffer.structs(nodes, node_count), 2: buffer.structs(buffers, buffer_count)}
    if views is not None:
        fields[4] = buffer.structs([(view,) for view in views])
    return message(buffer, RECORD_BATCH, buffer.table(fields), body)
