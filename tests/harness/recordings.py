"""Real recordings: the excerpts in tests/data, and more of the same when a shared data folder lies beside the checkout."""

import csv
import hashlib
import os
import pathlib
import re

from harness.server import ROOT

DATA = ROOT / "tests" / "data"
NS = 1_000_000_000


def shared():
    """The folder of larger recordings, or None. Nothing may need it."""
    path = pathlib.Path(os.environ.get("TESSERA_DATA", ROOT.parent / "shared" / "data"))
    return path if path.is_dir() else None


def listed():
    """`(path, bytes, sha256)` of every row of the README."""
    for line in (DATA / "README.md").read_text().splitlines():
        row = re.match(r"\| `([^`]+)` \| (\d+) \|.*`([0-9a-f]{64})` \|$", line)
        if row:
            yield DATA / row[1], int(row[2]), row[3]


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def jpeg_frames():
    """`(ns, jpeg bytes)` of a road camera, 25 frames a second."""
    with (DATA / "camera" / "frames.csv").open() as table:
        rows = list(csv.DictReader(table))
    return [(int(row["pts_ns"]), (DATA / "camera" / f"{int(row['index']):04}.jpg").read_bytes()) for row in rows]


def imu():
    """`(ns, gyro xyz in rad/s, acceleration xyz in m/s²)` of a flight controller, 248 a second."""
    import numpy

    times = numpy.load(DATA / "imu_gps" / "px4_imu_248hz_t_us.npy") * 1000
    values = numpy.load(DATA / "imu_gps" / "px4_imu_248hz_gyro_accel.npy").astype(float)
    return [(int(time), row[:3].tolist(), row[3:].tolist()) for time, row in zip(times, values)]


def gnss():
    """`(ns, latitude, longitude, altitude, speed)` of a car, ten a second."""
    import numpy

    times = numpy.load(DATA / "imu_gps" / "car_gnss_10hz_t.npy")
    values = numpy.load(DATA / "imu_gps" / "car_gnss_10hz_value.npy")
    return [(round(time * NS), *map(float, (row[0], row[1], row[4], row[2]))) for time, row in zip(times, values)]


def radar():
    """`(ns, seven floats)` of a car radar: stamps repeat, two columns are NaN."""
    import numpy

    times = numpy.load(DATA / "imu_gps" / "car_radar_t.npy")
    values = numpy.load(DATA / "imu_gps" / "car_radar_value.npy")
    return [(round(time * NS), row.tolist()) for time, row in zip(times, values)]


def lidar_sweep():
    """`[points, 4]` float32 of one lidar sweep: x, y, z in m, reflectivity."""
    import numpy

    return numpy.fromfile(DATA / "lidar" / "OS-0-128_sweep1.xyzi.bin", "<f4").reshape(-1, 4)
