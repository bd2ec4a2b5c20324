"""ROS bags through the SDK's own bridge: what it reads from the bag is what comes back. Files that are no bag leave nothing
behind. Every generation has this bridge; 0.6 brought models for message types it does not know."""

import collections

import pytest
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore

from harness import recordings, sdk

if sdk.VERSION >= (0, 7):
    from mosaicolabs.bridges.ros import ROSInjectionConfig, RosbagInjector
else:
    from mosaicolabs.ros_bridge import ROSInjectionConfig, RosbagInjector

BAGS = recordings.DATA / "bags"
ODD = recordings.DATA / "odd"
ROS1, ROS2 = Stores.ROS1_NOETIC, Stores.ROS2_HUMBLE
SHARED = sorted(recordings.shared().glob("bags_ros1/mustang*.bag")) if recordings.shared() else []


def inject(server, name, path, store):
    config = ROSInjectionConfig(file_path=path, sequence_name=name, metadata={"file": path.name}, host="127.0.0.1",
                                port=server.port, log_level="CRITICAL", ros_distro=store)
    RosbagInjector(config).run()


def in_the_bag(path, store):
    """`{topic: [(record time, message), ...]}` as the bag itself says."""
    topics = collections.defaultdict(list)
    with AnyReader([path], default_typestore=get_typestore(store)) as reader:
        for connection, time, raw in reader.messages():
            topics["/" + connection.topic.strip("/")].append((time, reader.deserialize(raw, connection.msgtype)))
    return topics


def stamp(time, message):
    """The time the bridge records under: header stamps up to 0.5, record times after."""
    if sdk.VERSION < (0, 6) and hasattr(message, "header"):
        return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
    return time


def test_a_husky_drive_comes_back_equal(server, client, name):
    """IMU, odometry and GPS of 395 seconds, 16 806 messages."""
    path = BAGS / "husky_imu_odom_gps_2015.bag"
    inject(server, name, path, ROS1)
    bag = in_the_bag(path, ROS1)
    handler = client.sequence_handler(name)
    assert sorted(handler.topics) == sorted(bag)
    assert handler.user_metadata["file"] == path.name
    for topic, messages in bag.items():
        back = sdk.read(client, name, topic)
        assert [message.timestamp_ns for message in back] == sorted(stamp(*message) for message in messages)
    imu = sorted(((stamp(time, m), m) for time, m in bag["/imu/data"]), key=lambda pair: pair[0])
    for message, (_, m) in zip(sdk.read(client, name, "/imu/data"), imu):
        assert isinstance(message.data, sdk.IMU)
        a, g = message.data.acceleration, message.data.angular_velocity
        assert (a.x, a.y, a.z) == (m.linear_acceleration.x, m.linear_acceleration.y, m.linear_acceleration.z)
        assert (g.x, g.y, g.z) == (m.angular_velocity.x, m.angular_velocity.y, m.angular_velocity.z)
    fixes = sorted(((stamp(time, m), m) for time, m in bag["/fix"]), key=lambda pair: pair[0])
    for message, (_, m) in zip(sdk.read(client, name, "/fix"), fixes):
        assert isinstance(message.data, sdk.GPS)
        assert (message.data.position.x, message.data.position.y) == (m.latitude, m.longitude)


@pytest.mark.parametrize("path, store", [
    (BAGS / "ouster_512x10_raw.bag", ROS1),
    (recordings.DATA / "mcap" / "talker_empty_topic.mcap", ROS2),
    (ODD / "unsorted_chunks.bag", ROS1),
    *((path, ROS1) for path in SHARED),
], ids=lambda value: getattr(value, "name", None))
def test_other_bags_come_back_whole(server, client, name, path, store):
    inject(server, name, path, store)
    bag = in_the_bag(path, store)
    topics = client.sequence_handler(name).topics
    if sdk.VERSION >= (0, 6):
        assert sorted(topics) == sorted(bag)
    assert topics
    for topic in topics:
        back = sdk.read(client, name, topic)
        assert [message.timestamp_ns for message in back] == sorted(stamp(*message) for message in bag[topic])


@pytest.mark.parametrize("path", sorted(ODD.glob("*.bag")) + sorted(ODD.glob("*.mcap")), ids=lambda path: path.name)
def test_odd_files_do_no_harm(server, client, name, path):
    """Whatever the bridge makes of them: the daemon answers, and what it lists can be read."""
    try:
        inject(server, name, path, ROS1 if path.suffix == ".bag" else ROS2)
    except Exception as error:
        print("the bridge says:", error)
    handler = client.sequence_handler(name)
    for topic in handler.topics if handler else []:
        if client.topic_handler(name, topic).timestamp_ns_min is not None:
            assert sdk.read(client, name, topic)
