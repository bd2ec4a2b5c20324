"""What clients write ends up in answers and in the log. It never becomes a log line, a header or a command to a terminal."""

import contextlib
import json
import os
import pty
import re
import subprocess

import pyarrow as pa
import pyarrow.flight as fl
import pytest

from harness import frames
from harness import rows
from harness import wire
from harness.codes import ERRORS
from harness.codes import code
from harness.codes import refused
from harness.server import Server
from harness.server import binary
from harness.watch import unharmed

EVIL = [
    "a\nb 2026-01-01T00:00:00Z ERROR all is lost", "a\r\nb", '\n{"level":"ERROR","message":"made up"}', "\x1b[2J\x1b[31m", "\x1b]0;title\x07",
    "a\x00b", "\x9b2J", "\u202egnp.exe", "\u2066x\u2069", "\u2028", "\ufeff", "\x7f", "\x08\x08\x08", "%0a%0d", "a" * 100_000, "\U000e0041",
]
FORBIDDEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\u2028\u2029]")
LOCATORS = [
    "..", "../..", "/../../etc/passwd", "a/../b", "a/./b", "a/..", "./a", "a//b", "//", "~", "~root/x", "%2e%2e/%2e%2e", "a%2fb", "..%c0%af",
    "a\\..\\b", "C:\\x", "a\0b", "a/b\0.parquet", "\u2025/x", "a/\u202e/b", "\uff0e\uff0e/x", "e\u0301/x", "\u00e9/x", "a b/c", "a/b ",
    "a/b\n", "a/b\t", "-rf", "a:b", "a:" + "0" * 31, "a:" + "0" * 33, ":", "a/b:c", "a?x=1", "a#b", "*", "$HOME/x", "`id`/x", "x" * 256,
    "a/" + "x" * 1025, "a/" + "b/" * 600, "a" * 100_000, "/" * 5000, "CON", "nul", ".", ".hidden", "a/.hidden", "LOCK", "catalog",
]
HARMLESS = {"~", "-rf", "CON", "nul", "LOCK", "catalog", "~root/x", "a#b", "a?x=1", "`id`/x"}
ACTIONS = ["sequence_create", "sequence_delete", "session_create", "session_delete", "session_finalize", "topic_create", "topic_delete",
           "sequence_notification_list", "topic_notification_list", "topic_notification_purge", "sequence_system_info"]


@pytest.fixture(scope="module", params=["plain", "json"])
def server(request):
    """One that says all it can say."""
    running = Server("injection", config=f'[log]\nlevel = "info,tessera=debug"\nformat = "{request.param}"\n')
    running.log_format = request.param
    try:
        yield running.start()
        running.stop()
        check_log(running)
    finally:
        running.remove()


def check_log(server):
    """Every line is one of ours, whole, and nothing in it moves a cursor."""
    lines = server.log().split("\n")
    assert len(lines) > 2
    for line in filter(None, lines):
        assert not FORBIDDEN.search(line), ascii(line[:300])
        assert len(line) < 8000, ascii(line[:300])
        if line.startswith("tessera 0."):
            continue  # the line a start ends with
        if server.log_format == "json":
            assert set(json.loads(line)) >= {"timestamp", "level", "target"}, line[:300]
        else:
            assert re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z +(ERROR|WARN|INFO|DEBUG|TRACE) [a-z0-9_:]+:", line), ascii(line[:300])


@pytest.fixture(autouse=True)
def watched(server):
    with unharmed(server):
        yield
    check_log(server)


@pytest.mark.parametrize("text", EVIL, ids=range(len(EVIL)))
def test_names_tags_keys_and_messages(server, client, name, text):
    """Wherever a client may write a text."""
    for action in ACTIONS:
        for body in ({"locator": text}, {"locator": f"{name}/{text}"}, {"locator": name, "session_uuid": text}, {text: text},
                     {"locator": name, "session_uuid": "x", "ontology_tag": text, "serialization_format": text}):
            answered(client, action, body)
    answered(client, text, {})
    client.create_sequence(name, {"text": text, "list": [text] * 3} if len(text) < 60_000 else {})
    if not re.fullmatch("[A-Za-z0-9 _-]+", text):
        with refused("INVALID_ARGUMENT"):
            client.create_sequence(name + "_key", {text: 1})
    session = client.create_session(name)
    streams(client, name, session, text)
    for locator, kind in ((name, "sequence"), (f"{name}/a", "topic")):
        message = {"locator": locator, "notification_type": "error", "notification_message": text, "message": text}
        answered(client, f"{kind}_notification_create", message)
        client.notifications(locator)
    stored = client.sequence(name)["user_metadata"]
    assert stored == ({"text": text, "list": [text] * 3} if len(text) < 60_000 else {})


def answered(client, action, body):
    """Done or refused, but with a code of the client's fault and a short text."""
    try:
        client.action(action, body)
    except ERRORS as error:
        assert code(error) in ("INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "RESOURCE_EXHAUSTED", "UNIMPLEMENTED"), error
        assert len(str(error)) < 4000 and not FORBIDDEN.search(str(error).replace("\n", " ")), ascii(str(error))


def streams(client, name, session, text):
    """Column names, schema metadata and values of a topic's stream."""
    token = client.create_topic(session, f"{name}/a")
    short = text[:1000].replace("\0", "")
    schema = pa.schema([rows.TIME, pa.field(short, pa.utf8(), metadata={short: short})], metadata={short: short})
    with contextlib.suppress(*ERRORS):
        client.put(f"{name}/a", token, schema, [pa.record_batch([pa.array([1]), pa.array([text])], schema=schema)])
    broken = client.create_topic(session, f"{name}/b")
    wrong = pa.schema([pa.field("timestamp_ns", pa.utf8()), pa.field(short, pa.utf8())])
    with refused("INVALID_ARGUMENT"):
        client.put(f"{name}/b", broken, wrong)


@pytest.mark.parametrize("text", LOCATORS, ids=lambda text: ascii(text[:20]))
def test_locators(server, client, text):
    """None of them is a path. What is accepted is a name like any other, and files are named by us."""
    harmless = text in HARMLESS
    codes = ("NOT_FOUND",) if harmless else ("INVALID_ARGUMENT",)
    for action in ("session_create", "sequence_delete", "topic_delete", "topic_notification_list", "sequence_notification_list"):
        with refused("NOT_FOUND", "INVALID_ARGUMENT"):
            client.action(action, {"locator": text})
    ask = {"resource_locator": text}
    for call in (client.flight.get_flight_info, client.flight.get_schema):
        with refused("NOT_FOUND", "INVALID_ARGUMENT"):
            call(fl.FlightDescriptor.for_command(json.dumps(ask)))
        with refused("NOT_FOUND", "INVALID_ARGUMENT"):
            call(fl.FlightDescriptor.for_path(text.encode("utf-8", "surrogatepass")))
    with refused("NOT_FOUND", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"):
        client.batches(fl.Ticket(text.encode()))
    if harmless and "/" not in text:
        client.create_sequence(text)
        client.delete_sequence(text)
    elif not harmless:
        with refused(*codes):
            client.action("sequence_create", {"locator": text})
    names = [str(path.relative_to(server.data)) for path in server.files("*")]
    assert all(re.fullmatch(r"[a-zA-Z0-9._/-]+", name) and ".." not in name for name in names), names


@pytest.mark.parametrize("raw", [b"\xc0\xaf", b"\xed\xa0\x80", b"\xff", b"a\xe2\x80", b"\xf4\x90\x80\x80"])
def test_bytes_that_are_no_text(server, client, raw):
    """Overlong, surrogate, cut: in JSON, in a path, in an action's name."""
    with refused("INVALID_ARGUMENT"):
        client.results("sequence_create", b'{"locator":"' + raw + b'"}')
    with wire.Wire(server) as channel:
        for method, message in (("DoAction", wire.field(1, raw) + wire.field(2, b"{}")), ("GetFlightInfo", wire.field(1, 1) + wire.field(3, raw)),
                                ("ListFlights", wire.field(1, raw)), ("DoGet", wire.field(1, raw))):
            found = channel.code(lambda: channel.stream(method, message))
            assert found in ("INVALID_ARGUMENT", "INTERNAL", "UNIMPLEMENTED", "NOT_FOUND"), (method, found)


def test_headers_and_paths_of_a_call(server):
    """Bytes HTTP/2 allows in a header and a terminal should not see."""
    for value in (b"\xff\xfe", b"\x1b[2J", b"\xe2\x80\xae", b"a\x80\x9b"):
        with frames.Http2(server) as raw:
            raw.acknowledge()
            extra = [("user-agent", value), ("authorization", value), ("grpc-encoding", value), ("x-request-id", value)]
            raw.open("DoPut", frames.grpc(b""), extra=extra, end=True)
            raw.open("DoAction", frames.grpc(wire.field(1, b"info")), extra=extra[:2], end=True)
            raw.open("/arrow.flight.protocol.FlightService/\x1b[2J", extra=extra, end=True)
            raw.socket.settimeout(2)
            try:
                for _ in zip(range(20), raw.frames()):
                    pass
            except TimeoutError:
                pass


def test_what_the_command_line_shows(server, client, name):
    """On a terminal, and on a pipe as one JSON object a line."""
    evil = "\u202egnp\u2066\u2028x"
    metadata = {"key": "\x9b2J\x1b]0;x\x07\n" + evil}
    client.create_sequence(name, metadata)
    session = client.create_session(name)
    client.record(session, f"{name}/a", [rows.counters([1])], tag=evil, metadata=metadata)
    client.finalize(session)
    for command in (["ls"], ["ls", name], ["info", name], ["info", f"{name}/a"], ["ls", "no\x1b[2J"], ["info", "x\u202e"]):
        arguments = [str(binary()), *command, "--server", server.location]
        shown = on_a_terminal(arguments)
        assert not re.search("\x1b|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029]", shown), ascii(shown)
        piped = subprocess.run(arguments, capture_output=True, timeout=60).stdout.decode()
        for line in filter(None, piped.split("\n")):
            json.loads(line)
        assert not re.search("[\x00-\x09\x0b-\x1f]", piped)


def on_a_terminal(arguments):
    master, slave = pty.openpty()
    process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=slave, stderr=slave)
    os.close(slave)
    text = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:
            break
        if not piece:
            break
        text += piece
    process.wait(60)
    os.close(master)
    return text.decode()
