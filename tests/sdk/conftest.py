"""The daemon as this SDK generation needs it, and a connected client. Files that test what a generation does not have are
not collected for it: nothing here is skipped."""

import os

import pytest

from harness import sdk
from harness.server import Server

SINCE = {"test_lidar_model.py": (0, 4), "test_compression.py": (0, 5), "test_size_limit.py": (0, 7), "test_mcap_bridge.py": (0, 7),
         "test_unmodeled.py": (0, 6), "test_all_at_once.py": (0, 7)}

collect_ignore = [name for name, version in SINCE.items() if sdk.VERSION < version]


def pytest_report_header():
    wanted = os.environ.get("TESSERA_SDK")
    found = ".".join(map(str, sdk.VERSION))
    assert wanted in (None, found), f"this environment holds SDK {found}, not {wanted}"
    return f"mosaicolabs {found}"


@pytest.fixture(scope="module")
def server(request):
    running = Server(request.module.__name__.rsplit(".", 1)[-1], config=sdk.CONFIG)
    try:
        yield running.start()
        running.stop()
    finally:
        running.remove()


@pytest.fixture
def client(server):
    with sdk.connect(server) as connected:
        yield connected
