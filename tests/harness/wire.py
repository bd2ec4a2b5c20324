"""Flight messages by hand, over plain gRPC: for what pyarrow would never send."""

import json

import grpc
import pyarrow as pa

SERVICE = "/arrow.flight.protocol.FlightService/"


def varint(number):
    out = b""
    while True:
        out += bytes([number & 0x7F | (0x80 if number > 0x7F else 0)])
        number >>= 7
        if not number:
            return out


def field(number, content):
    """A length-delimited protobuf field, or a varint one for an int."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def descriptor(command):
    text = command if isinstance(command, bytes) else json.dumps(command).encode()
    return field(1, 2) + field(2, text)


def flight_data(header=b"", body=b"", command=None):
    """One FlightData message of a DoPut."""
    out = field(1, descriptor(command)) if command is not None else b""
    return out + (field(2, header) if header else b"") + (field(1000, body) if body else b"")


def schema_header(schema):
    """The IPC schema message without its length prefix, as Flight carries it."""
    return pa.ipc.read_message(schema.serialize()).metadata.to_pybytes()


def batch_parts(batch, options=None):
    """IPC header and body of one record batch."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    reader = pa.ipc.MessageReader.open_stream(sink.getvalue())
    messages = list(reader)
    (message,) = [message for message in messages if message.type == "record batch"]
    return message.metadata.to_pybytes(), message.body.to_pybytes()


class Wire:
    """A gRPC channel that sends the bytes it is given."""

    def __init__(self, server, options=()):
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1), *options]
        self.channel = grpc.insecure_channel(f"127.0.0.1:{server.port}", options=options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def unary(self, method, request, timeout=30):
        return self.channel.unary_unary(SERVICE + method)(request, timeout=timeout)

    def stream(self, method, request, timeout=30):
        return list(self.channel.unary_stream(SERVICE + method)(request, timeout=timeout))

    def action(self, kind, body=b"{}", timeout=30):
        return self.stream("DoAction", field(1, kind.encode()) + field(2, body), timeout)

    def put(self, messages, timeout=60):
        """A DoPut of these messages, up to its status."""
        return list(self.channel.stream_stream(SERVICE + "DoPut")(iter(messages), timeout=timeout))

    def code(self, call):
        """Name of the code a call ends with."""
        try:
            call()
        except grpc.RpcError as error:
            return error.code().name
        return "OK"
