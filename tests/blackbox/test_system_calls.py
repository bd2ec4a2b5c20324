"""What the server asks of the system, as `strace` sees it: files have names of its own making alone, and each name is durable
before anything depends on it.

io_uring's own operations are invisible to it, so the thread back end is used; the order is that of the code above both."""

import contextlib
import os
import re
import shutil
import subprocess

import pytest

from harness import rows
from harness.flight import Client
from harness.server import Server
from harness.volume import MACHINE
from harness.waiting import until

CONFIG = """
[storage]
backend = "threads"
[chunk]
rows_max = 40
[shards]
count = 1
"""
CALLS = "openat,open,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,symlinkat,unlink,unlinkat,rmdir,fsync,fdatasync,ftruncate,pwrite64"
LINE = re.compile(r"^(?P<at>\d+\.\d+) (?P<call>\w+)\((?P<arguments>.*)\)\s+= (?P<result>-?\d+|\?).*<(?P<lasted>\d+\.\d+)>$")
WORD = r"[0-9a-f]{32}|[0-9a-f-]{36}"
OURS = re.compile(rf"^(({WORD})(\.[a-z]+)*|LOCK|(DEVICES?|START)(\.tmp)?|[a-z]+([.-][a-z]+)*)$")


class Call:
    def __init__(self, found, data):
        self.name, self.arguments = found["call"], found["arguments"]
        self.failed = found["result"].startswith("-")
        self.begun = float(found["at"])
        self.ended = self.begun + float(found["lasted"])
        # Descriptors are shown with their paths; names relative to one follow it.
        base, self.paths = "", []
        for descriptor, name in re.findall(r'(?:\d+|AT_FDCWD)<([^>]*)>|"((?:[^"\\]|\\.)*)"', self.arguments):
            if descriptor:
                base = descriptor
                self.paths.append(descriptor)
            elif self.name != "pwrite64":
                self.paths.append(os.path.normpath(os.path.join(base, name)))
        self.paths = [os.path.relpath(path, data) for path in self.paths if path.startswith(str(data) + "/")]

    def __repr__(self):
        return f"{self.begun:.6f} {self.name}({self.arguments})"


@pytest.fixture(scope="module")
def calls():
    """Everything that a server did that recorded two sessions under odd names, and deleted one."""
    if not shutil.which("strace") or subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True).returncode != 0:
        pytest.skip(f"{MACHINE}no strace, or nothing may be traced")
    server = Server("calls", config=CONFIG)
    traces = server.directory / "traces"
    traces.mkdir()
    server.under = ["strace", "-D", "-ff", "-y", "-ttt", "-T", "-s", "4096", "-e", f"trace={CALLS}", "-o", str(traces / "t")]
    try:
        server.start()
        odd = ["client_chosen", "client_chosen.part", "client_chosen.parquet", "client_chosen-lost"]
        with Client(server.location) as client:
            for bad in ("../client_chosen", "client_chosen/../..", "/etc/client_chosen", "client_chosen\0", "client_chosen%2e%2e", "client_chosen\\"):
                with contextlib.suppress(Exception):  # what is a name and what is not is asked elsewhere
                    client.create_sequence(bad)
            accepted = []
            for sequence in odd:
                try:
                    client.create_sequence(sequence)
                    accepted.append(sequence)
                except Exception:  # noqa: BLE001: which of them are names is not asked here
                    continue
                session = client.create_session(sequence)
                client.record(session, f"{sequence}/client_chosen/a-b", [rows.counters(range(n, n + 40)) for n in (0, 40, 80)])
                client.finalize(session)
            assert len(accepted) >= 2, accepted
            client.delete_sequence(accepted[-1])
        server.stop()
        until(lambda: all("+++" in path.read_text(errors="replace")[-200:] for path in traces.iterdir()), "the end of the traces")
        found = [LINE.match(line) for path in traces.iterdir() for line in path.read_text(errors="replace").splitlines()]
        made = [Call(one, server.data) for one in found if one]
        yield sorted((call for call in made if call.paths and not call.failed), key=lambda call: call.begun)
    finally:
        server.remove()


def test_names_of_clients_never_reach_the_file_system(calls):
    assert len(calls) > 50
    for call in calls:
        for path in call.paths:
            assert "client_chosen" not in path, call
            assert all(OURS.match(part) for part in path.split("/")), (path, call)


def first(calls, what, after=0.0):
    """The first call that begins after `after` and of which `what` is true."""
    return next((call for call in calls if call.begun >= after and what(call)), None)


def test_every_name_is_durable_before_anything_depends_on_it(calls):
    syncs = [call for call in calls if call.name in ("fsync", "fdatasync")]
    is_made = lambda call: call.name == "openat" and "O_CREAT" in call.arguments and call.paths[-1].endswith(".part")  # noqa: E731
    files = [call for call in calls if is_made(call) and call.paths[-1].startswith("chunks/")]
    assert len(files) >= 6, "three chunks of each topic"
    for made in files:
        path = made.paths[-1]
        directory = os.path.dirname(path)
        mkdir = first(calls, lambda call: call.name.startswith("mkdir") and call.paths[-1] == directory)
        parent = first(syncs, lambda call: call.paths[-1] == os.path.dirname(directory), mkdir.ended)
        assert parent and parent.ended <= made.begun, f"{path} was made in a directory whose name was not durable"
        of_file = [call for call in calls if call.paths[-1] == path]
        written = max(call.ended for call in of_file if call.name == "pwrite64")
        data = first(syncs, lambda call: call.paths[-1] == path, written)
        named = first(syncs, lambda call: call.paths[-1] == directory, made.ended)
        renamed = first(calls, lambda call: call.name.startswith("rename") and path in call.paths, made.ended)
        assert data and named and renamed, (path, data, named, renamed)
        cut = [call for call in of_file if call.name == "ftruncate"]
        assert all(call.ended <= data.begun for call in cut) and cut, f"{path} was truncated behind its sync"
        durable = max(data.ended, named.ended)
        commit = first(syncs, lambda call: call.paths[-1] == "catalog/catalog.db-wal", durable)
        assert commit and commit.ended <= renamed.begun, f"{path} got its last name before the catalog knew it, or was not durable before"


def test_manifests_are_durable_before_the_catalog_shows_their_session(calls):
    syncs = [call for call in calls if call.name in ("fsync", "fdatasync")]
    named = [call for call in calls if call.name.startswith("rename") and call.paths[-1].startswith("manifests/") and call.paths[-1].endswith(".json")]
    assert len(named) >= 2, [call for call in calls if "manifests" in str(call)]
    for call in named:
        content = [sync for sync in syncs if sync.paths[-1] == call.paths[0] and sync.ended <= call.begun]
        assert content, f"{call.paths[-1]} got its name before its content was durable"
        directory = first(syncs, lambda sync: sync.paths[-1] == "manifests", call.ended)
        assert directory and first(syncs, lambda sync: sync.paths[-1] == "catalog/catalog.db-wal", directory.ended)
