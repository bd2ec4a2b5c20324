"""The analysis side of the SDK reads whole batches: an empty one would end it early."""

from harness import sdk
from mosaicolabs.ml import DataFrameExtractor


def test_a_recording_becomes_data_frames(client, name):
    messages, fixes = sdk.imu_messages(600), sdk.gps_messages()[:50]
    sdk.record(client, name, {"imu": (sdk.IMU, messages), "gps": (sdk.GPS, fixes)})
    frames = list(DataFrameExtractor(client.sequence_handler(name)).to_pandas_chunks())
    assert sum(len(frame) for frame in frames) == 650
    (column,) = {name for frame in frames for name in frame.columns if name.endswith(".acceleration.x")}
    values = [value for frame in frames if column in frame for value in frame[column].dropna().tolist()]
    assert sorted(values) == sorted(message.data.acceleration.x for message in messages)
