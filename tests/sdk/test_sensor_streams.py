"""Real sensor streams go in by the SDK and come back equal: values, types, order, model class."""

import pytest

from harness import sdk

STREAMS = {
    "JPEG frames": (sdk.CompressedImage, sdk.jpeg_messages),
    "raw frames": (sdk.Image, sdk.raw_image_messages),
    "lidar sweeps as point clouds": (sdk.PointCloud2, sdk.point_cloud_messages),
    "IMU at 248 Hz": (sdk.IMU, sdk.imu_messages),
    "GPS": (sdk.GPS, sdk.gps_messages),
    "radar values with NaN": (sdk.mosaicolabs.Floating64, sdk.radar_messages),
}


@pytest.mark.parametrize("stream", STREAMS)
def test_a_stream_comes_back_equal(client, name, stream):
    model, make = STREAMS[stream]
    messages = make()
    sdk.record(client, name, {"sensor/front": (model, messages)})
    sdk.check_same(messages, sdk.read(client, name, "sensor/front"))


def test_a_whole_robot_comes_back_equal(client, name):
    """All sensors in one sequence, their puts open at once."""
    topics = {f"robot/{n}": (model, make()[:300]) for n, (model, make) in enumerate(STREAMS.values())}
    sdk.record(client, name, topics, {"robot": "r1", "nested": {"list": [1, 2.5, None, "x"]}})
    for path, (_, messages) in topics.items():
        sdk.check_same(messages, sdk.read(client, name, path))


def test_it_survives_a_crash(server, client, name):
    messages = sdk.imu_messages(500)
    sdk.record(client, name, {"imu": (sdk.IMU, messages), "camera": (sdk.CompressedImage, sdk.jpeg_messages())})
    server.crash()
    with sdk.connect(server) as again:
        sdk.check_same(messages, sdk.read(again, name, "imu"))
        sdk.check_same(sdk.jpeg_messages(), sdk.read(again, name, "camera"))


def test_out_of_order_messages_come_back_sorted(client, name):
    messages = sdk.imu_messages(400)
    shuffled = [messages[(n * 7) % 400] for n in range(400)]
    sdk.record(client, name, {"imu": (sdk.IMU, shuffled)})
    sdk.check_same(messages, sdk.read(client, name, "imu"))


@pytest.mark.parametrize("stream", STREAMS)
def test_a_window_of_a_stream(client, name, stream):
    model, make = STREAMS[stream]
    messages = make()
    sdk.record(client, name, {"a": (model, messages)})
    times = sorted({message.timestamp_ns for message in messages})
    start, end = times[len(times) // 4], times[len(times) * 3 // 4]
    inside = [message for message in messages if start <= message.timestamp_ns < end]
    sdk.check_same(inside, sdk.read(client, name, "a", start, end))
