"""`tessera export --format mcap`, read back by others: the file by the package mcap, its messages by rosbags, which takes nothing
but the definitions in the file."""

import json
import math
import struct

import pyarrow as pa
import pytest
from mcap.reader import make_reader
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from harness import cli
from harness.flight import Client

CONFIG = "[chunk]\nrows_max = 40\n"
START = 1_772_366_400_000_000_000

TIME = pa.struct([pa.field("seconds", pa.int32(), nullable=False), pa.field("nanoseconds", pa.uint32(), nullable=False)])
HEADER = pa.struct([("timestamp", TIME), ("frame_id", pa.utf8()), ("sample_counter", pa.uint64())])


def vector(*names):
    return pa.struct([("header", HEADER), ("covariance", pa.list_(pa.float64())), ("covariance_type", pa.int16()),
                      *[(name, pa.float64()) for name in names]])


def schema(*fields):
    return pa.schema([pa.field("timestamp_ns", pa.int64(), nullable=False), ("header", HEADER), *fields])


XYZ, XYZW = vector("x", "y", "z"), vector("x", "y", "z", "w")
TRANSFORM = pa.struct([("header", HEADER), ("translation", XYZ), ("rotation", XYZW), ("target_frame_id", pa.utf8())])
STATUS = pa.struct([("status", pa.int8()), ("service", pa.uint16())])
ROI = pa.struct([("offset", vector("x", "y")), ("height", pa.uint32()), ("width", pa.uint32()), ("do_rectify", pa.bool_())])
FLOATS = pa.list_(pa.float32())
SCHEMAS = {
    "IMU": schema(("acceleration", XYZ), ("angular_velocity", XYZ), ("orientation", XYZW)),
    "GPS": schema(("position", XYZ), ("velocity", XYZ), ("status", STATUS)),
    "Lidar": schema(("x", FLOATS), ("y", FLOATS), ("z", FLOATS), ("intensity", FLOATS), ("beam_id", pa.list_(pa.uint16()))),
    "Image": schema(("data", pa.binary()), ("format", pa.utf8()), ("width", pa.int32()), ("height", pa.int32()), ("stride", pa.int32()),
                    ("encoding", pa.utf8()), ("is_bigendian", pa.bool_())),
    "FrameTransform": pa.schema([pa.field("timestamp_ns", pa.int64(), nullable=False), ("transforms", pa.list_(TRANSFORM))]),
    "MultiEchoLaserScan": schema(("angle_min", pa.float32()), ("ranges", pa.list_(FLOATS))),
    "CameraInfo": schema(("height", pa.uint32()), ("width", pa.uint32()), ("distortion_model", pa.utf8()),
                         ("distortion_parameters", pa.list_(pa.float64())), ("intrinsic_parameters", pa.list_(pa.float64(), 9)), ("roi", ROI)),
    "Odd": pa.schema([pa.field("timestamp_ns", pa.int64(), nullable=False), ("text", pa.utf8()), ("n", pa.uint64()), ("blob", pa.binary()),
                      ("list", pa.list_(pa.struct([("a", pa.float64())])))]),
    # A user's own model under the name of a built-in one.
    "Pressure": schema(("hectopascal", pa.float64())),
    "Temperature": schema(("value", pa.float64()), ("variance", pa.float64())),
}


def xyz(*values, covariance=None):
    return {**dict(zip("xyzw", values)), "covariance": covariance}


def at(n, frame="base"):
    seconds, rest = divmod(START + n, 10**9)
    return {"timestamp": {"seconds": seconds - 1, "nanoseconds": rest}, "frame_id": frame, "sample_counter": n}


def rows():
    """By path: tag and rows. Topics interleave, each with its own rate; times of two topics meet."""
    times = lambda count, step: [START + n * step for n in range(count)]  # noqa: E731
    imu = [{"header": at(n) if n % 3 else None, "acceleration": xyz(n, 0.5, -9.81), "angular_velocity": xyz(1, 2, 3, covariance=[.25] * 9),
            "orientation": xyz(0, 0, 1, 0) if n % 2 else None} for n in range(200)]
    gps = [{"header": at(n), "position": xyz(48.1, 11.5, 520.0, covariance=[float(k) for k in range(9)]),
            "status": {"status": -1, "service": 3} if n else None} for n in range(20)]
    lidar = [{"header": at(n, "lidar"), "x": [n + k for k in range(n)], "y": [0.5] * n, "z": [math.nan] * n, "beam_id": list(range(n)),
              "intensity": None if n % 2 else [7.0] * n} for n in range(11)]
    image = [{"header": at(n, "cam"), "data": bytes([n]) * 12, "format": "png" if n == 3 else "raw", "width": 2, "height": 2, "stride": 6,
              "encoding": "rgb8", "is_bigendian": False} for n in range(5)]
    pose = {"header": at(7, "map"), "translation": xyz(1, 2, 3), "rotation": None, "target_frame_id": "base"}
    info = {"header": at(1), "height": 4, "width": 5, "distortion_model": "plumb_bob", "distortion_parameters": [1.0, 2.0],
            "intrinsic_parameters": [float(k) for k in range(9)], "roi": {"offset": xyz(3, 4), "height": 1, "width": 2, "do_rectify": True}}
    odd = [{"text": 'line\n"two" é', "n": 2**64 - 1, "blob": b"\x00\xff", "list": [{"a": 1.5}, {"a": None}]}, {"text": None, "n": 0}] * 100
    all_rows = {
        "imu": ("IMU", imu, 10_000_000), "sensors/gps": ("GPS", gps, 100_000_000), "lidar": ("Lidar", lidar, 150_000_000),
        "cam": ("Image", image, 200_000_001), "tf": ("FrameTransform", [{"transforms": [pose, pose]}, {"transforms": None}], 10**9),
        "echo": ("MultiEchoLaserScan", [{"header": at(0), "angle_min": 0.5, "ranges": [[1.0, 2.0], [], [3.0]]}], 1),
        "info": ("CameraInfo", [info, {**info, "roi": None}], 5), "odd": ("Odd", odd, 3_000_000),
        "own": ("Pressure", [{"hectopascal": 1013.0}], 1), "empty": ("Temperature", [], 1),
    }
    return {path: (tag, [{"timestamp_ns": time, **row} for time, row in zip(times(len(own), step), own)])
            for path, (tag, own, step) in all_rows.items()}


@pytest.fixture(scope="module")
def recorded(server):
    with Client(server.location) as client:
        client.create_sequence("drive", {"vehicle": "red"})
        session = client.create_session("drive")
        for path, (tag, own) in rows().items():
            batches = [pa.RecordBatch.from_pylist(own[first:first + 40], SCHEMAS[tag]) for first in range(0, len(own), 40)]
            client.record(session, f"drive/{path}", batches, tag=tag, schema=SCHEMAS[tag], metadata={"of": path})
        client.finalize(session)
        client.create_sequence("early")
        session = client.create_session("early")
        client.record(session, "early/t", [pa.RecordBatch.from_pylist(
            [{"timestamp_ns": n, "value": 20.0} for n in (-5, 5)], SCHEMAS["Temperature"])], tag="Temperature", schema=SCHEMAS["Temperature"])
        client.finalize(session)
    return server


def export(server, *arguments):
    return cli.tessera("export", *arguments, "--format", "mcap", "--server", server.location)


def read(path):
    """Channels by topic, and (topic, time, message) in the file's order; messages of ROS as its definitions say."""
    with open(path, "rb") as file:
        reader = make_reader(file, validate_crcs=True)
        summary = reader.get_summary()
        found, types = [], {}
        for schema, channel, message in reader.iter_messages(log_time_order=False):
            if schema.encoding == "ros2msg":
                if schema.name not in types:
                    store = get_typestore(Stores.EMPTY)
                    store.register(get_types_from_msg(schema.data.decode(), schema.name))
                    types[schema.name] = store
                content = types[schema.name].deserialize_cdr(message.data, schema.name)
                again = bytes(types[schema.name].serialize_cdr(content, schema.name))
                assert again[4:] == message.data[4:], f"{schema.name}: not as others would write it"
            else:
                content = json.loads(message.data)
            found.append((channel.topic, message.log_time, content))
        metadata = {own.name: own.metadata for own in reader.iter_metadata()}
    return summary, found, metadata


@pytest.fixture(scope="module")
def exported(recorded, tmp_path_factory):
    to = tmp_path_factory.mktemp("export")
    run = export(recorded, "drive", "--to", to)
    (said,) = cli.lines(run)
    count = sum(len(own) for _, own in rows().values())
    assert said["file"] == str(to / "drive.mcap") and (said["topics"], said["messages"]) == (9, count), run.stderr
    assert sorted(path.name for path in to.iterdir()) == ["drive.mcap"] and said["size"] == (to / "drive.mcap").stat().st_size
    return read(to / "drive.mcap")


def of(exported, topic):
    return [content for name, _, content in exported[1] if name == topic]


def test_all_rows_come_in_the_order_of_time(exported):
    summary, found, metadata = exported
    times = [time for _, time, _ in found]
    assert times == sorted(times)
    assert summary.statistics.message_count == len(found) and summary.statistics.chunk_count == len(summary.chunk_indexes) > 0
    for path, (tag, own) in rows().items():
        got = [time for name, time, _ in found if name in (f"/{path}", f"/{path}/compressed")]
        assert got == [row["timestamp_ns"] for row in own], path
        channel = next(channel for channel in summary.channels.values() if channel.topic == f"/{path}")
        assert channel.metadata["ontology_tag"] == tag and json.loads(channel.metadata["user_metadata"]) == {"of": path}
    assert metadata["tessera"]["locator"] == "drive" and json.loads(metadata["tessera"]["user_metadata"]) == {"vehicle": "red"}
    names = {channel.topic: summary.schemas[channel.schema_id].name for channel in summary.channels.values()}
    assert names == {"/imu": "sensor_msgs/msg/Imu", "/sensors/gps": "sensor_msgs/msg/NavSatFix", "/lidar": "sensor_msgs/msg/PointCloud2",
                     "/cam": "sensor_msgs/msg/Image", "/cam/compressed": "sensor_msgs/msg/CompressedImage", "/tf": "tf2_msgs/msg/TFMessage",
                     "/echo": "sensor_msgs/msg/MultiEchoLaserScan", "/info": "sensor_msgs/msg/CameraInfo", "/odd": "Odd", "/own": "Pressure",
                     "/empty": "sensor_msgs/msg/Temperature"}


def test_an_imu_is_an_imu(exported):
    for n, message in enumerate(of(exported, "/imu")):
        stamp = START + n * 10_000_000
        header = at(n)["timestamp"] if n % 3 else {"seconds": stamp // 10**9, "nanoseconds": stamp % 10**9}
        assert (message.header.stamp.sec, message.header.stamp.nanosec) == (header["seconds"], header["nanoseconds"])
        assert message.header.frame_id == ("base" if n % 3 else "")
        assert message.linear_acceleration.x == n and message.linear_acceleration.z == -9.81
        assert list(message.angular_velocity_covariance) == [.25] * 9 and list(message.linear_acceleration_covariance) == [0] * 9
        turned = message.orientation
        assert (turned.z, turned.w) == ((1, 0) if n % 2 else (0, 1))
        assert message.orientation_covariance[0] == (0 if n % 2 else -1), "-1 says that there is no orientation"


def test_the_other_models_are_what_they_are(exported):
    first, second = of(exported, "/sensors/gps")[:2]
    assert (first.latitude, first.longitude, first.altitude) == (48.1, 11.5, 520.0)
    assert list(first.position_covariance) == list(range(9)) and (first.status.status, second.status.status, second.status.service) == (0, -1, 3)

    images = of(exported, "/cam")
    assert [bytes(image.data) for image in images] == [bytes([n]) * 12 for n in (0, 1, 2, 4)]
    assert (images[0].step, images[0].encoding, images[0].width, images[0].header.frame_id) == (6, "rgb8", 2, "cam")
    (compressed,) = of(exported, "/cam/compressed")
    assert (compressed.format, bytes(compressed.data)) == ("png", bytes([3]) * 12)

    both, none = of(exported, "/tf")
    assert len(both.transforms) == 2 and len(none.transforms) == 0
    pose = both.transforms[1]
    assert (pose.header.frame_id, pose.child_frame_id, pose.transform.translation.z, pose.transform.rotation.w) == ("map", "base", 3, 1)

    (echo,) = of(exported, "/echo")
    assert [list(own.echoes) for own in echo.ranges] == [[1, 2], [], [3]] and echo.angle_min == .5

    first, second = of(exported, "/info")
    assert list(first.k) == list(range(9)) and list(first.d) == [1, 2] and list(first.r) == [0] * 9
    assert (first.roi.x_offset, first.roi.y_offset, first.roi.do_rectify, second.roi.x_offset) == (3, 4, True, 0)


def test_lists_of_points_become_clouds(exported):
    clouds = of(exported, "/lidar")
    for n, cloud in enumerate(clouds):
        fields = {field.name: (field.offset, field.datatype) for field in cloud.fields}
        lists = {"x": (0, 7), "y": (4, 7), "z": (8, 7)}
        lists |= {"beam_id": (12, 4)} if n % 2 else {"intensity": (12, 7), "beam_id": (16, 4)}
        assert fields == lists and (cloud.height, cloud.width, cloud.point_step) == (1, n, 14 if n % 2 else 18)
        assert len(cloud.data) == cloud.row_step == n * cloud.point_step
        for k in range(n):
            x, y, z = struct.unpack_from("<fff", bytes(cloud.data), k * cloud.point_step)
            (beam,) = struct.unpack_from("<H", bytes(cloud.data), k * cloud.point_step + fields["beam_id"][0])
            assert (x, y, beam) == (n + k, .5, k) and math.isnan(z)


def test_other_models_are_json_with_a_schema(exported):
    summary, _, _ = exported
    first, second = of(exported, "/odd")[:2]
    assert first == {"timestamp_ns": START, "text": 'line\n"two" é', "n": 2**64 - 1, "blob": "00ff", "list": [{"a": 1.5}, {}]}
    assert second == {"timestamp_ns": START + 3_000_000, "n": 0} and len(of(exported, "/odd")) == 200
    schemas = {schema.name: json.loads(schema.data) for schema in summary.schemas.values() if schema.encoding == "jsonschema"}
    assert schemas["Odd"]["properties"]["list"]["items"]["properties"]["a"]["type"] == "number"
    assert of(exported, "/own") == [{"timestamp_ns": START, "hectopascal": 1013.0}], "no message fits it"


def test_rows_and_times_are_chosen(recorded, tmp_path):
    run = export(recorded, "drive", "--to", tmp_path, "--where", "IMU.acceleration.x between 10 and 19", "--start", START + 150_000_000)
    assert [row["messages"] for row in cli.lines(run)] == [5] and "9 topics with another tag than IMU left out" in run.stderr
    _, found, _ = read(tmp_path / "drive.mcap")
    assert [message.linear_acceleration.x for _, _, message in found] == list(range(15, 20))
    run = export(recorded, "drive/sensors/gps", "--to", tmp_path, "--end", START + 1)
    assert [row["file"] for row in cli.lines(run)] == [str(tmp_path / "drive" / "sensors" / "gps.mcap")]
    assert len(read(tmp_path / "drive" / "sensors" / "gps.mcap")[1]) == 1


def test_what_cannot_be_exported_is_said(recorded, tmp_path):
    file = tmp_path / "drive.mcap"
    file.write_text("mine")
    run = export(recorded, "drive", "--to", tmp_path)
    assert run.returncode == 1 and "drive.mcap is there already" in run.stderr and file.read_text() == "mine"
    run = export(recorded, "drive", "--to", file)
    assert run.returncode == 1 and str(file) in run.stderr, run.stderr
    run = export(recorded, "early", "--to", tmp_path)
    assert run.returncode == 1 and "early/t ends after 0 messages: a row at -5 ns" in run.stderr and "--start 0" in run.stderr, run.stderr
    assert len(cli.lines(export(recorded, "early", "--to", tmp_path / "later", "--start", 0))) == 1
    for code, *arguments in ((1, "nobody"), (2, "drive", "--column", "x"), (2, "drive", "--where", "topic.tag = 'IMU'"),
                             (1, "drive", "--where", "IMU.acceleration.x like '['")):
        assert export(recorded, *arguments, "--to", tmp_path / "none").returncode == code, arguments
    run = export(recorded, "drive", "--to", tmp_path / "none", "--where", "IMU.acceleration.x > 1000")
    assert run.returncode == 0 and run.stdout == "" and "there is no row to write" in run.stderr, run.stderr
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["drive.mcap", "early.mcap"]


def test_a_topic_that_has_no_form_costs_itself_alone(recorded, tmp_path):
    """Rows before 1970 have no time in MCAP; those of other topics have."""
    shape = SCHEMAS["Temperature"]
    with Client(recorded.location) as client:
        client.create_sequence("mixed")
        session = client.create_session("mixed")
        for path, first in (("a", 1), ("b", -3), ("c", 2)):
            rows = [{"timestamp_ns": n, "value": 20.0} for n in range(first, first + 10)]
            client.record(session, f"mixed/{path}", [pa.RecordBatch.from_pylist(rows, shape)], tag="Temperature", schema=shape)
        client.finalize(session)
    run = export(recorded, "mixed", "--to", tmp_path)
    assert run.returncode == 1 and "mixed/b ends after 0 messages: a row at -3 ns" in run.stderr, run.stderr
    assert run.stderr.splitlines()[-1].endswith("mixed/b; everything else is"), run.stderr
    assert [topic for topic, _, _ in read(tmp_path / "mixed.mcap")[1]].count("/c") == 10


def test_topics_that_wait_for_their_turn_hold_up_nobody(recorded, tmp_path):
    """Goal: what the merge does not read yet cannot keep it from what it reads. Six topics, one behind the other, each of them
    more than a stream may have under way and all together more than the connection may."""
    shape = schema(("data", pa.binary()), ("format", pa.utf8()))
    with Client(recorded.location) as client:
        client.create_sequence("six")
        session = client.create_session("six")
        for topic in range(6):
            part = [pa.RecordBatch.from_pylist([{"timestamp_ns": topic * 1000 + n, "data": bytes([topic]) * 1_000_000, "format": "jpeg"}], shape)
                    for n in range(18)]
            client.record(session, f"six/cam{topic}", part, tag="CompressedImage", schema=shape)
        client.finalize(session)
    assert [row["messages"] for row in cli.lines(export(recorded, "six", "--to", tmp_path))] == [108]
    _, found, _ = read(tmp_path / "six.mcap")
    assert [topic for topic, _, _ in found] == [f"/cam{topic}" for topic in range(6) for _ in range(18)]
    assert all(len(message.data) == 1_000_000 for _, _, message in found)
