"""Goal: a sync of the catalog that fails ends the process, and nothing is answered that it should have made durable.

Method: a library before the C library fails `fsync` and `fdatasync` of the catalog's files once a file says so. (SQLite calls
them through the C library; the server's own files go another way.)
"""

import os
import shutil
import subprocess

import pytest

from harness.codes import ERRORS, code
from harness.flight import Client
from harness.server import Server
from harness.waiting import until

EXIT_CATALOG = 74

SHIM = r"""
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int fails(int fd) {
    char link[64], path[4096];
    const char *when = getenv("FAIL_SYNC_WHEN");
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (!when || length < 0 || access(when, F_OK) != 0) return 0;
    path[length] = 0;
    return strstr(path, "/catalog/") != NULL;
}

int fsync(int fd) {
    if (fails(fd)) { errno = EIO; return -1; }
    return syscall(SYS_fsync, fd);
}

int fdatasync(int fd) {
    if (fails(fd)) { errno = EIO; return -1; }
    return syscall(SYS_fdatasync, fd);
}
"""


@pytest.fixture
def failing(request):
    server = Server("catalog-sync")
    request.addfinalizer(server.remove)
    source, library = server.directory / "sync.c", server.directory / "sync.so"
    source.write_text(SHIM)
    compiler = os.environ.get("CC") or shutil.which("cc") or "gcc"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    server.environment = {"LD_PRELOAD": str(library), "FAIL_SYNC_WHEN": str(server.directory / "now")}
    return server


def test_a_failed_sync_of_the_catalog_ends_the_process(failing):
    server = failing.start()
    with Client(server.location) as client:
        client.create_sequence("before")
        (server.directory / "now").touch()
        with pytest.raises(ERRORS) as told:
            client.create_sequence("during")
        assert code(told.value) == "UNAVAILABLE", told.value
    until(lambda: server.process.poll() is not None, "the end of the process")
    assert server.process.returncode == EXIT_CATALOG, server.log()[-2000:]
    (server.directory / "now").unlink()
    server.start()
    with Client(server.location) as client:
        listed = client.sequences()
        assert "before" in listed
        # In doubt is what was not answered: it is there or it can be made.
        if "during" not in listed:
            client.create_sequence("during")
    server.stop()
