"""Lidar sweeps in the model of their own that SDK 0.4 brought."""

from harness import sdk


def test_lidar_sweeps_come_back_equal(client, name):
    from mosaicolabs.models.futures import Lidar

    messages = sdk.lidar_messages()
    sdk.record(client, name, {"lidar/top": (Lidar, messages)})
    sdk.check_same(messages, sdk.read(client, name, "lidar/top"))
