"""Memory does not depend on how long a topic is."""

import pytest

from harness import rows
from harness.flight import Client

MIB = 1 << 20


@pytest.mark.parametrize("environment", [{}, {"MOSAICOD_MAX_CHUNK_SIZE_IN_BYTES": "0"}], ids=["default", "unlimited chunk"])
def test_a_long_topic_needs_what_a_short_one_needs(environment):
    from harness.server import Server

    server = Server("memory", environment=environment)
    try:
        server.start()
        with Client(server.location) as client:
            client.create_sequence("drive")
            session = client.create_session("drive")
            token = client.create_topic(session, "drive/camera")
            writer = client.begin_put("drive/camera", token, rows.BLOB)
            peaks = []
            for turn in range(32):
                for n in range(8):
                    writer.write_batch(rows.blobs(range(turn * 64 + n * 8, turn * 64 + n * 8 + 8), MIB))
                    peaks.append(server.memory())
            writer.done_writing()
            writer.close()
            client.finalize(session)
            # Queues and buffers fill up by and by, on a busy machine over hundreds of megabytes.
            short, long = max(peaks[:128]), max(peaks)
            assert long - short < 64 * MIB, f"{short >> 20} MiB after 1 GB, {long >> 20} MiB after 2 GB"
            assert client.topic("drive/camera")["data_info"]["total_row_count"] == 2048
            assert client.read("drive/camera", 500, 501).column("data").to_pylist() == [rows.blob(500, MIB)]
        server.stop()
    finally:
        server.remove()
