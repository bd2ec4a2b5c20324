"""Two servers on one shared catalog: each gives the rows of the other as its own, or says which server is missing."""

import json
import os
import pathlib
import signal
import socket
import threading

import pyarrow as pa
import pyarrow.flight as fl
import pytest

from harness import cql, rows, sdk
from harness.cli import tessera
from harness.codes import ERRORS, code, refused, tried
from harness.flight import Client
from harness.server import Server, free_port
from harness.waiting import until

if not cql.address():
    assert os.environ.get("CI") != "true", "in CI nothing is skipped: set TESSERA_TEST_CQL"
    pytest.skip("no CQL server: TESSERA_TEST_CQL is not set (tests/run sets it)", allow_module_level=True)

MIB = 1 << 20


class Fleet:
    """Servers on one new keyspace."""

    def __init__(self):
        self.url, self.servers = cql.keyspace(), []

    def server(self, name, url=None, config=None):
        running = Server(name, options=["--catalog", url or self.url], config=config)
        self.servers.append(running)
        return running.start()


@pytest.fixture
def fleet():
    made = Fleet()
    try:
        yield made
        for running in made.servers:
            running.stop()
    finally:
        for running in made.servers:
            if running.process and running.process.poll() is None:
                running.process.send_signal(signal.SIGCONT)
            running.remove()
        cql.drop(made.url)


def node(server):
    """What the fleet knows it by."""
    return (server.data / "DEVICE").read_text().strip()


def test_rows_of_another_server_are_as_its_own(fleet):
    one, two = fleet.server("one"), fleet.server("two")
    with Client(one.location) as a, Client(two.location) as b:
        a.record_sequence("drive", {"imu": [rows.imu(range(n, n + 100)) for n in range(0, 1000, 100)], "none": [rows.counters([])]})
        session = b.create_session("drive")
        b.record(session, "drive/camera", [rows.blobs(range(n, n + 4), 300_000) for n in range(0, 40, 4)], "Camera")
        b.record(session, "drive/labels", [rows.counters(range(500))], "Counter")
        b.finalize(session)
        b.record_sequence("other", {"imu": [rows.imu(range(50))]})
        for locator in "drive/imu", "drive/none", "drive/camera", "drive/labels", "other/imu":
            for start, end in (None, None), (10, 30), (990, None), (None, 5), (5000, None):
                ours, theirs = (client.read(locator, start, end) for client in (a, b))
                assert ours.equals(theirs) and ours.schema.metadata == theirs.schema.metadata, (locator, start, end)
                assert a.topic(locator, start, end) == b.topic(locator, start, end)
        assert a.read("drive/labels", 10, 30).num_rows == 20
        wanted = {"columns": ["value"], "where": {"Counter.value": {"$gt": 490}}}
        picked = [client.select("drive/labels", 100, **wanted) for client in (a, b)]
        assert picked[0].equals(picked[1]) and picked[0].num_rows == 9
        for bad in {"columns": ["nothing"]}, {"where": {"IMU.acceleration.x": {"$gt": 0}}}:
            with refused("INVALID_ARGUMENT"):
                a.select("drive/labels", **bad)
        # Where the rows are stands behind the topic's own location, and the tickets of one are good at the other.
        for client in a, b:
            for endpoint in client.flight_info("drive").endpoints:
                topic, place = (location.uri.decode() for location in endpoint.locations)
                owner = one if topic in ("mosaico:drive/imu", "mosaico:drive/none") else two
                assert topic.startswith("mosaico:drive/") and place == owner.location, (topic, place)
                for reader in a, b:
                    reader.batches(endpoint.ticket)
        b.delete_sequence("drive")
        with refused("NOT_FOUND"):
            a.read("drive/camera")


def test_the_sdk_records_to_both_and_reads_everything_from_either(fleet):
    one, two = fleet.server("one"), fleet.server("two")
    sent = {
        ("drive_one", "imu"): (sdk.IMU, sdk.imu_messages(500)),
        ("drive_one", "camera"): (sdk.CompressedImage, sdk.jpeg_messages()),
        ("drive_two", "gps"): (sdk.GPS, sdk.gps_messages()),
        ("drive_two", "cloud"): (sdk.PointCloud2, sdk.point_cloud_messages()),
    }
    with sdk.connect(one) as a, sdk.connect(two) as b:
        for client, name in (a, "drive_one"), (b, "drive_two"):
            sdk.record(client, name, {path: topic for (own, path), topic in sent.items() if own == name}, {"by": name})
        for client in a, b:
            assert sorted(client.list_sequences()) == ["drive_one", "drive_two"]
            for (name, path), (_, messages) in sent.items():
                sdk.check_same(messages, sdk.read(client, name, path))
            # Those of a sequence merged by time, from wherever they are.
            stream = client.sequence_handler("drive_two").get_data_streamer()
            times = [message.timestamp_ns for _, message in stream]
            stream.close()
            assert times == sorted(times) and len(times) == sum(len(topic[1]) for (name, _), topic in sent.items() if name == "drive_two")
        two.kill()
        with pytest.raises(Exception, match=node(two)):
            sdk.read(a, "drive_two", "gps")
        sdk.check_same(sent["drive_one", "imu"][1], sdk.read(a, "drive_one", "imu"))
        two.start()

        def again():
            try:
                return sdk.read(a, "drive_two", "gps")
            except ConnectionError as error:
                assert "unavailable" in str(error), error

        sdk.check_same(sent["drive_two", "gps"][1], until(again, "the node to be seen again"))


def record_for_queries(here, there):
    """A sequence with topics of both servers, and one of the second alone."""
    here.create_sequence("drive", {"driver": "Ada"})
    session = here.create_session("drive")
    here.record(session, "drive/a", [rows.counters(range(n, n + 1000), n) for n in range(0, 20_000, 1000)], "A")
    here.finalize(session)
    session = there.create_session("drive")
    there.record(session, "drive/b", [rows.counters(range(n, n + 1000), n) for n in range(10_000, 30_000, 1000)], "B")
    there.record(session, "drive/none", [rows.counters([])], "B")
    there.finalize(session)
    there.create_sequence("other", {})
    session = there.create_session("other")
    there.record(session, "other/b", [rows.counters(range(100))], "B")
    there.finalize(session)


def window(path, condition, gap=0, **more):
    return {"locator": f"drive/{path}", "clustering_dt_ns": gap, "ontology": {f"{path.upper()}.{condition[0]}": condition[1]}, **more}


ABOVE = {"ontology": {"B.value": {"$gt": 29_000}}}
QUESTIONS = [
    ("query", ABOVE),
    ("query", {"ontology": {"B.value": {"$lt": 5}}}),
    ("query", {"ontology": {"B.text": {"$match": "row 1*7"}}}),
    ("query", {"ontology": {"B.value": {"$gt": 29_000}, "include_timestamp_range": True}}),
    ("query", {"ontology": {"A.value": {"$gt": 100}, "B.value": {"$between": [11_000, 11_010]}}}),
    ("query", {"ontology": {"A.value": {"$lt": 0}, "B.value": {"$gt": 0}}}),
    ("query", {"ontology": {"B.value": {"$gt": 10**9}}}),
    ("query", {"topic": {"ontology_tag": {"$eq": "B"}}, "$not": {"ontology": {"B.value": {"$gt": 1000}}}}),
    ("query", {"$or": [ABOVE, {"ontology": {"A.value": {"$eq": 7}}}], "sequence": {"name": {"$eq": "drive"}}}),
    ("topic_filter_clusterize", window("a", ("value", {"$between": [5, 50]}))),
    ("topic_filter_clusterize", window("b", ("value", {"$between": [10_500, 11_500]}))),
    ("topic_filter_clusterize", window("b", ("text", {"$match": "row *99"}), 1)),
    ("topic_filter_clusterize", window("b", ("value", {"$gt": 0}), timestamp_range={"start_ns": 15_000, "end_ns": 15_007})),
    ("topic_filter_clusterize", window("b", ("value", {"$gt": 10**9}))),
    ("topic_filter_intersect", {"intersect_dt_ns": 0, "topics": [window("a", ("value", {"$gt": 12_000})), window("b", ("value", {"$lt": 13_000}))]}),
    ("topic_filter_intersect", {"intersect_dt_ns": 2, "topics": [
        window("a", ("text", {"$match": "row *5"}), 1), window("b", ("text", {"$match": "row *7"}), 1)]}),
]


def test_queries_and_windows_are_those_of_one_server(fleet):
    """Goal: where rows lie changes no answer. Method: a server that has all of them by itself is asked the same."""
    one, two, alone = fleet.server("one"), fleet.server("two"), Server("alone")
    try:
        with Client(one.location) as a, Client(two.location) as b, Client(alone.start().location) as c:
            record_for_queries(a, b)
            record_for_queries(c, c)
            found = 0
            for kind, question in QUESTIONS:
                expected = c.results(kind, question)
                found += len(expected)
                for client in a, b:
                    assert client.results(kind, question) == expected, (kind, question)
            assert found > 400
            with refused("INVALID_ARGUMENT"):
                a.results("topic_filter_clusterize", {**window("b", ("value", {"$gt": 0})), "ontology": {"A.value": {"$gt": 0}}})
            two.kill()
            for kind, question in QUESTIONS[0], QUESTIONS[10], QUESTIONS[14]:
                with refused("UNAVAILABLE") as error:
                    a.results(kind, question)
                assert node(two) in error.text and two.location in error.text, error.text
            # What is known of the values tells here that no row has to be looked at.
            assert json.loads(a.results("query", QUESTIONS[6][1])[0])["response"] == {"items": []}
            assert [topic["locator"] for item in a.action("query", {"ontology": {"A.value": {"$eq": 7}}})["items"] for topic in item["topics"]] == ["drive/a"]
            two.start()
            until(lambda: tried(lambda: a.results(*QUESTIONS[0])), "the node to be seen again")
        alone.stop()
    finally:
        alone.remove()


def test_a_search_for_windows_that_nobody_takes_is_held_by_its_owner(fleet):
    one, two = fleet.server("one"), fleet.server("two")
    with Client(one.location) as a, Client(two.location) as b:
        b.create_sequence("drive")
        session = b.create_session("drive")
        b.record(session, "drive/b", [rows.counters(range(n, n + 100_000), n) for n in range(0, 600_000, 100_000)], "B")
        b.finalize(session)
        # Each of two hundred thousand rows is a window of its own.
        asked = {**window("b", ("text", {"$match": "row *[02468]"})), "clustering_dt_ns": 1}
        before = one.memory()
        hanging = [a.flight.do_action(fl.Action("topic_filter_clusterize", json.dumps(asked).encode())) for _ in range(4)]
        for results in hanging:
            next(iter(results))
        assert b.read("drive/b", 0, 10).num_rows == a.read("drive/b", 0, 10).num_rows == 10
        assert one.memory() - before < 48 * MIB, f"{(one.memory() - before) / MIB:.0f} MiB"


def test_a_node_that_is_away_is_named_and_nothing_else_suffers(fleet):
    one, two = fleet.server("one"), fleet.server("two")
    with Client(one.location) as a, Client(two.location) as b:
        a.record_sequence("here", {"imu": [rows.imu(range(100))]})
        b.record_sequence("there", {"imu": [rows.imu(range(70))], "camera": [rows.blobs(range(n, n + 8), MIB) for n in range(0, 96, 8)]})
        expected = a.read("there/imu")
        assert expected.num_rows == 70
        reader = a.flight.do_get(a.ticket("there/camera"))
        assert reader.read_chunk().data.num_rows > 0
        two.kill()
        # A stream that was under way: never a shorter one.
        with refused("UNAVAILABLE") as error:
            for _ in reader:
                pass
        assert node(two) in error.text, error.text
        for call in (lambda: a.read("there/imu"), lambda: a.read("there/camera", 10, 20), lambda: a.topic("there/camera", 10, 20)):
            with refused("UNAVAILABLE") as error:
                call()
            assert node(two) in error.text and two.location in error.text, error.text
        assert a.read("here/imu").num_rows == 100 and sorted(a.sequence("there")["topics"]) == ["there/camera", "there/imu"]
        a.record_sequence("meanwhile", {"imu": [rows.imu(range(5))]})
        two.start()
        until(lambda: tried(lambda: a.read("there/imu")), "the node to be seen again")
        assert a.read("there/imu").equals(expected) and a.read("there/camera").num_rows == 96
        # Somewhere else with the same data: those who know the old address learn the new one.
        two.stop()
        two.port = free_port()
        two.start()
        until(lambda: tried(lambda: a.read("there/imu")), "the node to be found at its new address")
        assert a.read("there/imu").equals(expected)


def test_a_node_that_hangs_is_not_waited_for(fleet):
    one, two = fleet.server("one"), fleet.server("two")
    with Client(one.location) as a, Client(two.location) as b:
        b.record_sequence("there", {"imu": [rows.imu(range(70))], "camera": [rows.blobs(range(n, n + 8), MIB) for n in range(0, 96, 8)]})
        reader = a.flight.do_get(a.ticket("there/camera"))
        reader.read_chunk()
        os.kill(two.pid, signal.SIGSTOP)
        limit = fl.FlightCallOptions(timeout=30)
        with refused("UNAVAILABLE") as error:
            for _ in reader:
                pass
        assert node(two) in error.text, error.text
        ticket = a.ticket("there/imu")
        with refused("UNAVAILABLE") as error:
            list(a.flight.do_get(ticket, limit))
        assert node(two) in error.text, error.text
        os.kill(two.pid, signal.SIGCONT)
        until(lambda: tried(lambda: a.read("there/imu")), "the node to be seen again")
        assert a.read("there/camera").num_rows == 96


def test_slow_readers_slow_the_owner_and_cost_little(fleet):
    one, two = fleet.server("one"), fleet.server("two")
    size, count = 256, 256
    with Client(one.location) as a, Client(two.location) as b:
        b.record_sequence("there", {"camera": [rows.blobs(range(n, n + 8), MIB) for n in range(0, count, 8)], "imu": [rows.imu(range(70))]})
        assert a.read("there/camera").num_rows == count
        before = [server.memory() for server in (one, two)]
        readers = [a.flight.do_get(a.ticket("there/camera")) for _ in range(16)]
        for reader in readers:
            reader.read_chunk()
        # While they stand still, others are served over the same connection.
        for _ in range(10):
            assert a.read("there/imu").num_rows == 70
        grown = [server.memory() - was for server, was in zip((one, two), before)]
        assert grown[0] < 16 * 2 * MIB, f"16 streams of {size} MiB stand still and hold {grown[0] / MIB:.0f} MiB"
        assert grown[1] < 16 * 64 * MIB, f"{grown[1] / MIB:.0f} MiB"
        times = [time for chunk in readers[0] for time in chunk.data.column("timestamp_ns").to_pylist()]
        assert times[-1] == count - 1
        for reader in readers[1:]:
            reader.cancel()
        # What was cancelled here is cancelled there.
        until(lambda: two.memory() - before[1] < 200 * MIB, "the owner to let go of the reads")


def test_readers_that_come_and_go_leave_others_alone(fleet):
    one, two = fleet.server("one"), fleet.server("two")
    with Client(one.location) as a, Client(two.location) as b:
        b.record_sequence("there", {"camera": [rows.blobs(range(n, n + 8), MIB) for n in range(0, 96, 8)]})
        ticket = a.ticket("there/camera")
        slow = a.flight.do_get(ticket)
        times = slow.read_chunk().data.column("timestamp_ns").to_pylist()

        def come_and_go():
            with Client(one.location, generic_options=[("grpc.use_local_subchannel_pool", 1)]) as own:
                for _ in range(40):
                    readers = [own.flight.do_get(ticket) for _ in range(4)]
                    readers[0].read_chunk()
                    for reader in readers:
                        reader.cancel()

        threads = [threading.Thread(target=come_and_go) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for chunk in slow:
            times += chunk.data.column("timestamp_ns").to_pylist()
        assert times == list(range(96))
        assert len(connections(one, two)) == 1, "all of it over one connection"


def connections(source, target):
    """Of one server to another, as the kernel knows them."""
    own = {os.readlink(path) for path in pathlib.Path(f"/proc/{source.pid}/fd").iterdir() if os.path.islink(path)}
    found = []
    for line in pathlib.Path(f"/proc/{source.pid}/net/tcp").read_text().splitlines()[1:]:
        _, _, remote, state, *rest = line.split()
        if state == "01" and int(remote.split(":")[1], 16) == target.port and f"socket:[{rest[5]}]" in own:
            found.append(remote)
    return found


def test_clients_that_take_nothing_give_their_places_up(fleet):
    one = fleet.server("one", config="[fleet]\nrelay_bytes_max = 524288\n[memory]\nread_stall_ms = 200\n")
    two = fleet.server("two")
    with Client(one.location) as a, Client(two.location) as b:
        b.record_sequence("there", {"camera": [rows.blobs(range(n, n + 8), MIB) for n in range(0, 96, 8)], "imu": [rows.imu(range(70))]})
        hanging = [a.flight.do_get(a.ticket("there/camera")) for _ in range(2)]
        for reader in hanging:
            reader.read_chunk()
        assert a.read("there/imu").num_rows == 70
        ended = 0
        for reader in hanging:
            try:
                assert sum(chunk.data.num_rows for chunk in reader) < 96
            except ERRORS as error:
                assert code(error) == "RESOURCE_EXHAUSTED", error
                ended += 1
        assert ended == 1


class Tap:
    """A way to a server that remembers what went over it, by connection."""

    def __init__(self, port):
        self.port, self.talks = port, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.location = "grpc://127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                here, _ = self.listener.accept()
            except OSError:
                return
            there = socket.create_connection(("127.0.0.1", self.port))
            asked, answered = bytearray(), bytearray()
            self.talks.append((asked, answered))
            for source, target, heard in (here, there, asked), (there, here, answered):
                threading.Thread(target=self._carry, args=(source, target, heard), daemon=True).start()

    @staticmethod
    def _carry(source, target, heard):
        try:
            while data := source.recv(1 << 16):
                heard += data
                target.sendall(data)
        except OSError:
            pass
        for end in source, target:
            end.close()


def answer_to(port, said, enough):
    """What a server answers to these bytes, until that is enough or it has nothing to add."""
    with socket.create_connection(("127.0.0.1", port)) as end:
        end.sendall(said)
        end.settimeout(5)
        heard = b""
        try:
            while not enough(heard) and (data := end.recv(1 << 16)):
                heard += data
        except TimeoutError:
            pass
        return heard


def test_nobody_without_the_secret_uses_the_door_between_servers(fleet):
    one, two = fleet.server("one"), Server("two", options=["--catalog", fleet.url])
    tap = Tap(two.port)
    two.options += ["--fleet-address", tap.location]
    fleet.servers.append(two.start())
    mark = b"ROWS THAT ARE SEEN ON THE WIRE"
    with Client(one.location) as a, Client(two.location) as b:
        batch = pa.record_batch([pa.array([1], pa.int64()), pa.array([mark * 10], pa.binary())], schema=rows.BLOB)
        b.record_sequence("there", {"blob": [batch]})
        ticket = a.ticket("there/blob")
        assert a.batches(ticket)[1][0].column("data")[0].as_py() == mark * 10
        # Heard and said again, to the same start of the server: no pass is good twice.
        (asked, answered), = tap.talks
        assert mark in bytes(answered)
        again = answer_to(two.port, bytes(asked), lambda heard: mark in heard)
        assert again and mark not in again
        # Made up, for what any ticket and question there is.
        question = json.dumps({"topic": "0" * 32}).encode()
        for server in one, two:
            with Client(server.location) as client:
                for made_up in b"", b"00", b"0" * 114, b"f" * 114, b"01" + b"0" * 112, b"x" * 5000:
                    options = fl.FlightCallOptions(headers=[(b"tessera-fleet-pass", made_up)], timeout=20)
                    with refused("PERMISSION_DENIED"):
                        list(client.flight.do_get(ticket, options))
                    with refused("PERMISSION_DENIED"):
                        list(client.flight.do_action(fl.Action("tessera_fleet_window", question), options))
                with refused("PERMISSION_DENIED"):
                    client.results("tessera_fleet_window", question)
                for greeting in b"", b"\x01" * 49, b"\x01" + os.urandom(48):
                    with refused("PERMISSION_DENIED"):
                        client.results("tessera_fleet_greet", greeting)
                told = {action.type for action in client.flight.list_actions()}
                assert not [name for name in told if "fleet" in name]
        assert a.read("there/blob").num_rows == 1


def test_a_server_that_is_somewhere_else_than_it_says(fleet):
    one, foreign = fleet.server("one"), fleet.server("foreign", url=cql.keyspace())
    two = Server("two", options=["--catalog", fleet.url])
    fleet.servers.append(two)
    with socket.create_server(("127.0.0.1", 0)) as silent, Client(one.location) as a:
        places = {
            foreign.location: "no server of this fleet",
            one.location: "looked for it",
            "grpc://127.0.0.1:%d" % silent.getsockname()[1]: "does not answer",
            "grpc://127.0.0.1:%d" % free_port(): "does not answer",
            "grpc://nowhere.invalid:6726": "does not answer",
        }
        for nth, (place, told) in enumerate(places.items()):
            two.options = ["--catalog", fleet.url, "--fleet-address", place]
            two.start()
            with Client(two.location) as b:
                b.record_sequence(f"there_{nth}", {"imu": [rows.imu(range(7))]})
                assert b.read(f"there_{nth}/imu").num_rows == 7

            def said():
                with refused("UNAVAILABLE") as error:
                    a.read(f"there_{nth}/imu")
                assert node(two) in error.text, error.text
                return told in error.text and place in error.text

            until(said, f"{told} of {place}")
            two.stop()
        two.options = ["--catalog", fleet.url]
        two.start()
        until(lambda: tried(lambda: a.read("there_0/imu")), "the node to be found where it is")


def test_a_server_says_where_it_is_or_does_not_start():
    def serve(*options):
        return tessera("config", "check", "--catalog", "scylla://db1/fleet", *options)

    exposed = {**os.environ, "TESSERA_SERVER_INSECURE": "true"}
    ended = tessera("config", "check", "--catalog", "scylla://db1/fleet", "--listen", "0.0.0.0:6726", env=exposed)
    assert ended.returncode != 0 and "--fleet-address" in ended.stderr, ended.stderr
    for wrong in "recorder", "unix:/run/x", "grpc://recorder:0", "grpc+tls://recorder:1":
        ended = serve("--fleet-address", wrong)
        assert ended.returncode != 0 and "grpc://HOST:PORT" in ended.stderr, ended.stderr
    shown = tessera("config", "explain", "--fleet-address", "grpc://recorder").stdout
    assert "fleet.address" in shown and "--fleet-address" in shown, shown
