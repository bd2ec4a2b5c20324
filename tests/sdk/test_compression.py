"""The SDK may compress its requests; the daemon reads them like any other."""

import pytest

from harness import sdk
from mosaicolabs import GRPCCompressionAlgorithm, MosaicoClient

ALGORITHMS = [algorithm for algorithm in GRPCCompressionAlgorithm if algorithm.name[0] != "_" and algorithm.name != "Null"]


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda algorithm: algorithm.name)
def test_a_compressed_recording_comes_back_equal(server, name, algorithm):
    with MosaicoClient.connect("127.0.0.1", server.port, compression=algorithm) as client:
        messages = sdk.imu_messages(300)
        sdk.record(client, name, {"imu": (sdk.IMU, messages), "camera": (sdk.Image, sdk.raw_image_messages())})
        sdk.check_same(messages, sdk.read(client, name, "imu"))
        sdk.check_same(sdk.raw_image_messages(), sdk.read(client, name, "camera"))
