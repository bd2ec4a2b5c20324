"""SDK 0.7 fills its batches up to nine tenths of the announced limit, and drops what is larger with a notification."""

from harness import sdk

MIB = 1 << 20


def picture(megabytes, n):
    return sdk.message(n, sdk.raw_image(bytes([n]) * (megabytes * MIB), 1024, megabytes * 1024, 1, "mono8"))


def test_more_than_one_batch_comes_back_equal(client, name):
    messages = [picture(8, n) for n in range(14)]
    sdk.record(client, name, {"camera": (sdk.Image, messages)})
    sdk.check_same(messages, sdk.read(client, name, "camera"))


def test_a_record_beyond_the_limit_is_dropped_and_told(client, name):
    limit = client.info().config.grpc_max_decode_message_size // MIB
    kept = [picture(1, n) for n in range(3)]
    sdk.record(client, name, {"camera": (sdk.Image, kept + [picture(limit, 9)])})
    sdk.check_same(kept, sdk.read(client, name, "camera"))
    (note,) = client.list_topic_notifications(name, "camera")
    assert "exceeds" in note.message
