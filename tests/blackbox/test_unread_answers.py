"""Answers that nobody takes: they may wait, and hold no more than their part."""

import json

import pyarrow as pa

from harness import frames
from harness import rows
from harness import wire
from harness.frames import Http2
from harness.waiting import until
from harness.watch import unharmed

TEXT = 60_000


def test_infos_nobody_reads(server, client, name):
    """300 MB of GetFlightInfo, by a client without a window."""
    client.create_sequence(name)
    session = client.create_session(name)
    for n in range(20):
        client.record(session, f"{name}/t{n}", [rows.counters([1])], metadata={"note": "x" * TEXT})
    client.finalize(session)
    request = frames.grpc(wire.descriptor(json.dumps({"resource_locator": name}).encode()))
    with unharmed(server, mib=512, cpu=60, slowest=15):
        with Http2(server, {frames.INITIAL_WINDOW: 0}) as attacker:
            attacker.acknowledge()
            streams = [attacker.open("GetFlightInfo", request, end=True) for _ in range(250)]
            refused = 0
            while refused < 130:
                kind, flags, _, payload = attacker.read()
                refused += bool(kind == frames.HEADERS and flags & frames.END_STREAM and frames.status([(kind, flags, payload)]) == 8)
            for stream in streams:
                attacker.send(attacker.reset(stream))

            def answered():
                # The resets are on another connection: they may be read later than this.
                try:
                    return len(client.sequence(name)["topics"]) == 20
                except pa.ArrowInvalid as error:
                    assert "try again" in str(error), error
                    return False

            until(answered, "an answer, with the others gone")
