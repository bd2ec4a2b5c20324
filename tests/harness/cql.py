"""A keyspace of a CQL server for one test. TESSERA_TEST_CQL says where the server is; `tests/run` starts one."""

import os
import socket
import threading
import uuid

from harness.cli import tessera


def address():
    """Where the server is; None without one."""
    return os.environ.get("TESSERA_TEST_CQL")


def keyspace():
    """The URL of a new catalog."""
    url = f"scylla://{address()}/test_{uuid.uuid4().hex}"
    made = tessera("catalog", "init", "--catalog", url)
    assert made.returncode == 0, made.stderr
    return url


# Of the CQL protocol, version 4: nine bytes before each body.
STARTUP, QUERY, PREPARE, EXECUTE, RESULT, PREPARED = 1, 7, 9, 10, 8, 4


def drop(url):
    """Removes a catalog: a server has room for some hundred tables."""
    host, port = address().split(",")[0].rsplit(":", 1)
    with socket.create_connection((host, int(port)), 60) as connection, connection.makefile("rb") as answers:
        def ask(opcode, body):
            connection.sendall(bytes([4, 0, 0, 0, opcode]) + len(body).to_bytes(4, "big") + body)
            head = answers.read(9)
            answers.read(int.from_bytes(head[5:9], "big"))

        version = [b"CQL_VERSION", b"3.0.0"]
        ask(STARTUP, b"\0\1" + b"".join(len(text).to_bytes(2, "big") + text for text in version))
        statement = f"DROP KEYSPACE IF EXISTS {url.rsplit('/', 1)[1]}".encode()
        ask(QUERY, len(statement).to_bytes(4, "big") + statement + b"\0\4\0")


class Wire:
    """A way to the CQL server that can be cut and mended, while the server goes on for everybody else.

    fatal: a piece of a statement. The wire can be told to be cut when that one is asked for (`cut_at_it`), before the server has it.
    """

    def __init__(self, fatal=None):
        self.ends, self.whole = set(), True
        self.fatal, self.cut_at_it, self.known = fatal and fatal.encode(), False, set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                here, _ = self.listener.accept()
            except OSError:
                return
            if not self.whole:
                here.close()
                continue
            host, port = address().split(",")[0].rsplit(":", 1)
            there = socket.create_connection((host, int(port)))
            self.ends |= {here, there}
            asked = set()
            for way in (here, there, self._asks), (there, here, self._answers):
                threading.Thread(target=self._carry, args=(*way, asked), daemon=True).start()

    def _asks(self, frame, asked):
        if frame[4] == PREPARE and self.fatal and self.fatal in frame:
            asked.add(frame[2:4])
        if frame[4] == EXECUTE and self.cut_at_it and frame[11:11 + int.from_bytes(frame[9:11], "big")] in self.known:
            self.cut_at_it = False
            self.cut()

    def _answers(self, frame, asked):
        if frame[4] == RESULT and frame[2:4] in asked and int.from_bytes(frame[9:13], "big") == PREPARED:
            asked.discard(frame[2:4])
            self.known.add(frame[15:15 + int.from_bytes(frame[13:15], "big")])

    def _carry(self, source, target, look, asked):
        try:
            with source.makefile("rb") as stream:
                while len(frame := stream.read(9)) == 9:
                    frame += stream.read(int.from_bytes(frame[5:9], "big"))
                    look(frame, asked)
                    target.sendall(frame)
        except (OSError, ValueError):
            pass
        for end in source, target:
            end.close()

    def cut(self):
        """Ends every connection, and lets none through until it is mended."""
        self.whole = False
        ends, self.ends = self.ends, set()
        for end in ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def mend(self):
        self.whole = True

    def close(self):
        self.listener.close()
        self.cut()
