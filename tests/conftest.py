"""Fixtures of all suites. A test that fails shows the daemon's log."""

import uuid

import pytest

from harness.flight import Client
from harness.server import Server
from harness.volume import MACHINE


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for value in item.funcargs.values():
            if isinstance(value, Server):
                report.sections.append((f"log of {value.directory}", value.log()[-6000:]))


def pytest_sessionfinish(session, exitstatus):
    """In CI nothing may be skipped, but what the machine cannot do: that is told in red."""
    import os

    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    unable = [report for report in skipped if MACHINE in str(report.longrepr)]
    if unable:
        reporter.write_line(f"{len(unable)} NOT RUN, this machine cannot: {unable[0].longrepr[-1]}", red=True)
    skipped = [report for report in skipped if report not in unable]
    if os.environ.get("CI") == "true" and skipped and exitstatus == 0:
        reporter.write_line(f"{len(skipped)} skipped: in CI nothing may be skipped", red=True)
        session.exitstatus = 1


@pytest.fixture(scope="module")
def server(request):
    """A daemon for all tests of one file. A file may set CONFIG to start it with a config file. `Server.shared` is one for all."""
    config = getattr(request.module, "CONFIG", None)
    if Server.shared is not None:
        assert Server.shared.has(config), f"the server for all has another configuration than {request.module.__name__} wants"
        yield Server.shared
        return
    running = Server(request.module.__name__.rsplit(".", 1)[-1], config=config)
    try:
        yield running.start()
        running.stop()
    finally:
        running.remove()


@pytest.fixture
def own_server(request):
    """A daemon for one test, which may kill and restart it."""
    running = Server(request.node.name.split("[")[0], config=getattr(request.module, "CONFIG", None))
    try:
        yield running.start()
        running.stop()
    finally:
        running.remove()


@pytest.fixture
def client(server):
    with Client(server.location) as raw:
        yield raw


@pytest.fixture
def name():
    """A sequence name nobody used."""
    return f"s_{uuid.uuid4().hex[:12]}"
