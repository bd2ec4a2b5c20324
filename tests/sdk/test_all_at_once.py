"""One daemon for SDK 0.7.0, 0.6.3 and 0.5.0 at the same time: each records and reads back beside the others."""

import os
import pathlib
import subprocess

import pytest

from harness import sdk
from harness.server import ROOT

VENVS = pathlib.Path(os.environ.get("TESSERA_VENVS", ROOT / "target" / "venv"))
NEIGHBOURS = ["0.6.3", "0.5.0"]

SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
from harness import sdk
class Server: port = {port}
topics = {{"imu": (sdk.IMU, sdk.imu_messages(500)), "camera": (sdk.CompressedImage, sdk.jpeg_messages()),
          "gps": (sdk.GPS, sdk.gps_messages()), "cloud": (sdk.PointCloud2, sdk.point_cloud_messages())}}
with sdk.connect(Server) as client:
    sdk.record(client, {name!r}, topics, {{"sdk": {version!r}}})
    for path, (_, messages) in topics.items():
        sdk.check_same(messages, sdk.read(client, {name!r}, path))
    print("equal")
"""


@pytest.fixture
def neighbours(server, name):
    running = []
    for version in NEIGHBOURS:
        python = VENVS / version / "bin" / "python"
        assert python.exists(), f"no {python}: run `tests/run sdk {version}` first"
        script = SCRIPT.format(tests=str(ROOT / "tests"), port=server.port, version=version,
                               name=f"{name}_{version.replace('.', '-')}")
        running.append(subprocess.Popen([str(python), "-c", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
    yield running
    for process in running:
        process.kill()
        process.wait()


def test_three_generations_at_once(server, client, name, neighbours):
    messages = sdk.imu_messages(1000)
    sdk.record(client, name, {"imu": (sdk.IMU, messages), "image": (sdk.Image, sdk.raw_image_messages())})
    sdk.check_same(messages, sdk.read(client, name, "imu"))
    for version, process in zip(NEIGHBOURS, neighbours):
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0 and "equal" in output, f"SDK {version}:\n{output[-3000:]}"
    assert len([sequence for sequence in client.list_sequences() if sequence.startswith(name)]) == 3
    for sequence in client.list_sequences():
        handler = client.sequence_handler(sequence)
        assert handler is not None and all(client.topic_handler(sequence, topic) for topic in handler.topics)
