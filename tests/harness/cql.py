"""A keyspace of a CQL server for one test. TESSERA_TEST_CQL says where the server is; `tests/run` starts one."""

import os
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
