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


class Wire:
    """A way to the CQL server that can be cut and mended, while the server goes on for everybody else."""

    def __init__(self):
        self.ends, self.whole = set(), True
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
            for way in (here, there), (there, here):
                threading.Thread(target=self._carry, args=way, daemon=True).start()

    def _carry(self, source, target):
        try:
            while data := source.recv(1 << 16):
                target.sendall(data)
        except OSError:
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
