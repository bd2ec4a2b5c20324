"""The public SDK of whichever generation this virtual environment holds. Only the suites in `sdk/` import this, and tests of `blackbox/` of the
newest one."""

import importlib.metadata
import math
import warnings

warnings.simplefilter("ignore")

import mosaicolabs  # noqa: E402
from mosaicolabs import GPS, IMU, CompressedImage, Image, ImageFormat, Message, MosaicoClient, Point3d, Vector3d  # noqa: E402

from harness import recordings  # noqa: E402

VERSION = tuple(int(part) for part in importlib.metadata.version("mosaicolabs").split("."))

if VERSION >= (0, 7):
    from mosaicolabs.bridges.ros.data_ontology.point_cloud import PointCloud2, PointField, PointFieldDataType
else:
    from mosaicolabs.ros_bridge.data_ontology.point_cloud import PointCloud2, PointField, PointFieldDataType

CONFIG = '[compat]\nsession_answer = "uuid"\n' if VERSION < (0, 5) else None
"""Config file the daemon needs for this generation: up to 0.4 it wants only `uuid` back from `session_create`."""


def connect(server):
    return MosaicoClient.connect("127.0.0.1", server.port, timeout=30)


def registry():
    """Every model of the SDK by tag, without the abstract ones."""
    from mosaicolabs import Serializable

    models = {tag: Serializable._get_class_type(tag) for tag in Serializable._list_registered()}
    return {tag: model for tag, model in models.items() if len(model.__msco_pyarrow_struct__) > 0}


def message(time, data, **envelope):
    return Message(timestamp_ns=time, data=data, **envelope)


def record(client, name, topics, metadata=None):
    """A sequence of `{path: (model, messages)}`. All puts are open at once; messages go round robin, as sensors do."""
    with client.sequence_create(name, metadata or {}) as sequence:
        writers = {}
        for path, (model, _) in topics.items():
            writers[path] = sequence.topic_create(path, {"path": path}, model)
            assert writers[path] is not None, f"topic_create of {path} failed; the log says why"
        queues = {path: list(messages) for path, (_, messages) in topics.items()}
        while any(queues.values()):
            for path, queue in queues.items():
                if queue:
                    writers[path].push(queue.pop(0))


def read(client, name, path, start=None, end=None):
    """All messages of one topic."""
    handler = client.topic_handler(name, path)
    assert handler is not None, f"no handler for {name}/{path}"
    stream = handler.get_data_streamer(start_timestamp_ns=start, end_timestamp_ns=end)
    messages = list(stream)
    stream.close()
    return messages


def check_same(sent, back):
    """Equal in number, order, envelope, model class and every value."""
    assert len(back) == len(sent)
    for n, (a, b) in enumerate(zip(sent, back)):
        assert type(b.data) is type(a.data), f"message {n}: {type(b.data).__name__} came back for {type(a.data).__name__}"
        assert alike(values(a), values(b)), f"message {n}: sent {a!r:.600} back {b!r:.600}"


def values(message):
    """All values of a message; a struct without any value is no struct, as the SDK itself reads it."""
    envelope = {key: value for key, value in message.model_dump().items() if key != "data"}
    return settle({**envelope, "data": message.data.model_dump()})


def settle(value):
    if isinstance(value, dict):
        settled = {key: settle(inner) for key, inner in value.items()}
        return settled if any(inner is not None for inner in settled.values()) else None
    if isinstance(value, (list, tuple)):
        return [settle(inner) for inner in value]
    return value


def alike(a, b):
    """Equal, where NaN equals NaN and 1 does not equal True."""
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(alike(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, float) and math.isnan(a):
        return isinstance(b, float) and math.isnan(b)
    return a == b and isinstance(a, bool) == isinstance(b, bool)


# Messages from real recordings


def imu_messages(count=None):
    return [
        message(time, IMU(acceleration=Vector3d(x=a[0], y=a[1], z=a[2]), angular_velocity=Vector3d(x=g[0], y=g[1], z=g[2])))
        for time, g, a in recordings.imu()[:count]
    ]


def gps_messages():
    return [
        message(time, GPS(position=Point3d(x=latitude, y=longitude, z=altitude), velocity=Vector3d(x=speed, y=0.0, z=0.0)))
        for time, latitude, longitude, altitude, speed in recordings.gnss()
    ]


def jpeg_messages():
    return [message(time, CompressedImage(data=data, format=ImageFormat.JPEG)) for time, data in recordings.jpeg_frames()]


def raw_image_messages():
    """The same frames as uncompressed pixels, and a 16 bit depth image."""
    import io

    from PIL import Image as Picture

    out = []
    for time, data in recordings.jpeg_frames()[:4]:
        picture = Picture.open(io.BytesIO(data)).convert("RGB")
        out.append(message(time, raw_image(picture.tobytes(), *picture.size, 3, "rgb8")))
    depth = Picture.open(recordings.DATA / "camera" / "depth_1.png")
    pixels = depth.convert("I;16").tobytes() if depth.mode != "I" else b"".join(
        value.to_bytes(2, "little") for value in depth.getdata())
    out.append(message(10**9, raw_image(pixels, *depth.size, 2, "mono16")))
    return out


def raw_image(pixels, width, height, pixel_bytes, encoding):
    assert len(pixels) == width * height * pixel_bytes
    return Image(data=pixels, format=ImageFormat.RAW, width=width, height=height, stride=width * pixel_bytes,
                 encoding=encoding, is_bigendian=False)


def point_cloud_messages():
    """The sweep as the bytes a driver sends, whole and in part."""
    points = recordings.lidar_sweep()
    fields = [PointField(name=name, offset=4 * n, datatype=PointFieldDataType.FLOAT32, count=1)
              for n, name in enumerate(("x", "y", "z", "reflectivity"))]
    clouds = []
    for turn, part in enumerate((points, points[:1000], points[:0], points[500:])):
        clouds.append(message(turn * 100_000_000, PointCloud2(
            height=1, width=len(part), fields=fields, is_bigendian=False, point_step=16, row_step=16 * len(part),
            data=part.tobytes(), is_dense=True)))
    return clouds


def lidar_messages():
    """The sweep in columns, as the Lidar model of 0.4 and newer has it."""
    from mosaicolabs.models.futures import Lidar

    points = recordings.lidar_sweep()
    out = []
    for turn in range(3):
        part = points[turn * 10_000 : (turn + 1) * 10_000]
        out.append(message(turn * 100_000_000, Lidar(
            x=part[:, 0].tolist(), y=part[:, 1].tolist(), z=part[:, 2].tolist(),
            reflectivity=part[:, 3].astype(int).tolist())))
    return out


def radar_messages():
    """Floats with NaN in them, stamps that repeat."""
    from mosaicolabs import Floating64

    return [message(time, Floating64(data=row[n % 7])) for n, (time, row) in enumerate(recordings.radar())]


__all__ = [name for name in dir() if not name.startswith("_")] + ["mosaicolabs"]
