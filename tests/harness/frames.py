"""HTTP/2 by hand: frames that no library would send, at the pace of a socket."""

import contextlib
import socket
import struct
import time

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS = 1, 1, 4
HEADER_TABLE_SIZE, MAX_STREAMS, INITIAL_WINDOW, MAX_FRAME = 1, 3, 4, 5
PROTOCOL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED, FRAME_SIZE_ERROR = 1, 3, 4, 5, 6
REFUSED_STREAM, COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 7, 9, 11


def frame(kind, stream=0, payload=b"", flags=0, length=None):
    """`length` lies about the payload."""
    length = len(payload) if length is None else length
    return length.to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def settings(values):
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", *pair) for pair in values.items()))


def literal(name, value):
    """A header as HPACK literal that is not indexed, without Huffman coding."""
    name, value = (text.encode() if isinstance(text, str) else text for text in (name, value))
    assert len(name) < 127 and len(value) < 127
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def request(method, extra=()):
    """The header block of a gRPC call."""
    path = method if method.startswith("/") else f"/arrow.flight.protocol.FlightService/{method}"
    pairs = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost"),
             ("content-type", "application/grpc"), ("te", "trailers"), *extra]
    return b"".join(literal(*pair) for pair in pairs)


def status(found):
    """The gRPC status that ends a stream's frames, as [`Http2.until`] gives them. h2 sends the name Huffman-coded, and the value of
    one or two digits perhaps."""
    name = bytes.fromhex("9acac8b21234da8f")
    # A reset may follow: the client need not send the rest.
    block = next((payload for kind, _, payload in reversed(found) if kind == HEADERS), b"")
    assert name in block, found
    value = block[block.index(name) + len(name) :]
    length, text = value[0] & 0x7F, value[1:]
    if not value[0] & 0x80:
        return int(text[:length])
    codes = {f"{n:05b}": n for n in range(3)} | {f"{n + 22:06b}": n for n in range(3, 10)}
    bits, number = "".join(f"{byte:08b}" for byte in text[:length]), 0
    while code := next((code for code in codes if bits.startswith(code)), None):
        number, bits = number * 10 + codes[code], bits[len(code) :]
    return number


def grpc(message):
    return b"\0" + struct.pack(">I", len(message)) + message


class Http2:
    """One connection. Reads nothing by itself."""

    def __init__(self, server, announce=None, greet=True, timeout=20):
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=timeout)
        self.received = b""
        self.next_stream = 1
        self.kept = {}
        if greet:
            # Without a table of headers every one of the server's comes whole.
            self.send(PREFACE + settings({HEADER_TABLE_SIZE: 0, **(announce or {})}))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def try_send(self, data):
        """Whether the server still takes bytes. A full socket counts as a no: the server does not read on."""
        try:
            self.socket.sendall(data)
            return True
        except OSError:
            return False

    def acknowledge(self):
        """Waits for the server's SETTINGS and for its connection window, and takes them: both hold from here on."""
        missing = {SETTINGS, WINDOW_UPDATE}
        while (got := self.read()) is not None:
            if not got[1] & ACK:
                missing.discard(got[0])
            if not missing:
                return self.send(frame(SETTINGS, flags=ACK))
        raise AssertionError("the connection ended without a greeting")

    def open(self, method, *bodies, extra=(), end=False):
        """Begins a call and sends these bytes as its DATA. Returns the stream."""
        stream, self.next_stream = self.next_stream, self.next_stream + 2
        ends = END_STREAM if end and not bodies else 0
        out = frame(HEADERS, stream, request(method, extra), END_HEADERS | ends)
        for n, body in enumerate(bodies):
            out += frame(DATA, stream, body, END_STREAM if end and n + 1 == len(bodies) else 0)
        self.send(out)
        return stream

    def reset(self, stream, code=8):
        return frame(RST_STREAM, stream, code.to_bytes(4, "big"))

    def read(self):
        """The next frame as (kind, flags, stream, payload); None at the end of the connection."""
        while len(self.received) < 9 or len(self.received) < 9 + int.from_bytes(self.received[:3], "big"):
            try:
                piece = self.socket.recv(1 << 16)
            except (ConnectionError, BrokenPipeError):
                piece = b""
            if not piece:
                return None
            self.received += piece
        end = 9 + int.from_bytes(self.received[:3], "big")
        head, payload, self.received = self.received[:9], self.received[9:end], self.received[end:]
        return head[3], head[4], int.from_bytes(head[5:9], "big") & 0x7FFFFFFF, payload

    def frames(self):
        """All frames until the server closes."""
        while (found := self.read()) is not None:
            yield found

    def goaway(self):
        """The error code the server says farewell with; None when it closes without a word."""
        code = None
        with contextlib.suppress(TimeoutError):
            for kind, _, _, payload in self.frames():
                if kind == GOAWAY:
                    code = int.from_bytes(payload[4:8], "big")
            return code
        raise AssertionError("the server neither closes nor says why")

    def until(self, stream, seconds=30):
        """Frames of one stream up to its end, those of others kept, pings and settings answered."""
        deadline = time.monotonic() + seconds
        while True:
            found = self.kept.setdefault(stream, [])
            if found and (found[-1][0] == RST_STREAM or found[-1][1] & END_STREAM):
                return found
            assert time.monotonic() < deadline, f"stream {stream} has not ended after {seconds} s: {found}"
            got = self.read()
            assert got is not None, f"the connection ended while stream {stream} was waited for"
            kind, flags, number, payload = got
            if kind == SETTINGS and not flags & ACK:
                self.send(frame(SETTINGS, flags=ACK))
            elif kind == PING and not flags & ACK:
                self.send(frame(PING, payload=payload, flags=ACK))
            elif kind == GOAWAY:
                raise AssertionError(f"GOAWAY {int.from_bytes(payload[4:8], 'big')}")
            elif kind in (DATA, HEADERS, RST_STREAM):
                self.kept.setdefault(number, []).append((kind, flags, payload))
