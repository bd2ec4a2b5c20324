"""Data directories that go away, come back or are taken for others, and a catalog that is made again meanwhile: nothing that
was acknowledged is lost in silence, and nothing that was deleted returns."""

import json
import shutil
import time

import pyarrow as pa
import pytest

from harness import rows
from harness.cli import tessera
from harness.flight import Client
from harness.server import Server
from harness.waiting import until

MIB = 1 << 20
TOPICS = 4


@pytest.fixture
def house():
    """A server with two data directories, the catalog in the first."""
    server = Server("lost-disks")
    server.options = ["--data-dir", server.directory / "B"]
    yield server
    server.remove()


def away(server):
    """The second data directory is not there any more."""
    (server.directory / "B").rename(server.directory / "B.away")


def back(server):
    (server.directory / "B.away").rename(server.directory / "B")


def rebuild(*places, more=()):
    return tessera("catalog", "rebuild", *(word for place in places for word in ("--data-dir", place)), *more)


def record_open(server, sequence):
    with Client(server.location) as client:
        client.create_sequence(sequence)
        session = client.create_session(sequence)
        for n in range(TOPICS):
            client.record(session, f"{sequence}/t{n}", [rows.counters(range(10 + n))])
        return session


def read_all(client, sequence):
    return [client.read(f"{sequence}/t{n}").num_rows for n in range(TOPICS)]


def test_a_rebuild_without_one_of_the_directories_is_refused(house):
    house.start()
    record_open(house, "drive")
    house.stop()
    away(house)
    shutil.rmtree(house.data / "catalog")
    refused = rebuild(house.data)
    assert refused.returncode == 1 and "data directory number" in refused.stderr and "--without-missing" in refused.stderr
    back(house)
    assert rebuild(house.data, house.directory / "B").returncode == 0
    house.start()
    assert tessera("finalize", "drive", "--data-dir", house.data, "--server", house.location).returncode == 0
    with Client(house.location) as client:
        assert read_all(client, "drive") == [10 + n for n in range(TOPICS)]


def test_what_was_deleted_while_a_disk_was_away_stays_deleted(house):
    house.start()
    record_open(house, "gone")
    house.stop()
    away(house)
    house.options = []
    house.start()
    with Client(house.location) as client:
        client.action("sequence_delete", {"locator": "gone"})
    house.stop()
    shutil.rmtree(house.data / "catalog")
    assert rebuild(house.data).returncode == 1
    assert rebuild(house.data, more=["--without-missing"]).returncode == 0
    back(house)
    house.options = ["--data-dir", house.directory / "B"]
    house.start()
    with Client(house.location) as client, pytest.raises(pa.ArrowKeyError):
        client.sequence("gone")
    house.stop()
    shutil.rmtree(house.data / "catalog")
    assert rebuild(house.data, house.directory / "B").returncode == 0
    house.start()
    with Client(house.location) as client, pytest.raises(pa.ArrowKeyError):
        client.sequence("gone")
    assert not list((house.directory / "B" / "chunks").rglob("*.parquet"))


def test_a_new_disk_never_gets_the_number_of_a_lost_one(house):
    other = house.directory / "C"
    house.start()
    with Client(house.location) as client:
        client.record_sequence("one", {f"t{n}": [rows.counters(range(10 + n))] for n in range(TOPICS)})
    house.stop()
    away(house)
    shutil.rmtree(house.data / "catalog")
    assert rebuild(house.data, more=["--without-missing"]).returncode in (0, 3)
    house.options = ["--data-dir", other]
    house.launch()
    assert house.process.wait(30) == 1 and "storage.replace_missing" in house.log()
    house.environment = {"TESSERA_STORAGE_REPLACE_MISSING": "true"}
    house.start()
    with Client(house.location) as client:
        client.record_sequence("two", {f"t{n}": [rows.counters(range(20 + n))] for n in range(TOPICS)})
    house.stop()
    back(house)
    places = [house.data, other, house.directory / "B"]
    house.options = [word for place in places[1:] for word in ("--data-dir", place)]
    for again in (False, True):
        if again:
            shutil.rmtree(house.data / "catalog")
            assert rebuild(*places).returncode == 0
        house.start()
        with Client(house.location) as client:
            assert read_all(client, "two") == [20 + n for n in range(TOPICS)]
            if again:
                assert read_all(client, "one") == [10 + n for n in range(TOPICS)]
        house.stop()


@pytest.mark.parametrize("told", ["DEVICES", "nothing"])
def test_the_number_of_a_lost_disk_is_kept_whatever_tells_it(house, told):
    """As the test above, where no file DEVICES names the lost disk: it was made by a version that wrote none."""
    other, second = house.directory / "C", house.directory / "B"
    house.start()
    with Client(house.location) as client:
        client.record_sequence("one", {f"t{n}": [rows.counters(range(10 + n))] for n in range(TOPICS)})
    house.stop()
    for place in (house.data, second):
        (place / "DEVICES").unlink()
    away(house)
    shutil.rmtree(house.data / "catalog")
    assert rebuild(house.data, more=["--without-missing"]).returncode == 3
    # The rebuild itself names them all.
    assert len((house.data / "DEVICES").read_text().splitlines()) == 3
    if told == "nothing":
        (house.data / "DEVICES").unlink()
    house.options = ["--data-dir", other]
    house.environment = {"TESSERA_STORAGE_REPLACE_MISSING": "true"}
    house.start()
    with Client(house.location) as client:
        client.record_sequence("two", {f"t{n}": [rows.counters(range(20 + n))] for n in range(TOPICS)})
    house.stop()
    back(house)
    house.options = ["--data-dir", other, "--data-dir", second]
    house.launch()
    assert house.process.wait(30) == 1 and "tessera catalog rebuild" in house.log()
    assert rebuild(house.data, other, second).returncode == 0
    house.start()
    with Client(house.location) as client:
        assert read_all(client, "one") == [10 + n for n in range(TOPICS)]
        assert read_all(client, "two") == [20 + n for n in range(TOPICS)]

def test_an_empty_mount_point_is_not_taken_for_the_disk(house):
    house.start()
    record_open(house, "drive")
    house.stop()
    away(house)
    house.launch()
    assert house.process.wait(30) == 1
    assert "was never used" in house.log() and "is its disk mounted?" in house.log()
    assert not (house.directory / "B" / "DEVICE").exists()


def test_status_tells_of_a_directory_that_is_left_out(house):
    house.start()
    record_open(house, "drive")
    house.stop()
    told = lambda *places: json.loads(tessera("status", *(word for place in places for word in ("--data-dir", place))).stdout)  # noqa: E731
    assert told(house.data, house.directory / "B")["left_out"] == []
    (left,) = told(house.data)["left_out"]
    assert left["device"] == (house.directory / "B" / "DEVICE").read_text().strip()
    away(house)
    both = told(house.data, house.directory / "B")
    assert both["left_out"] == [left] and both["not_found"] == [str(house.directory / "B")], both


@pytest.mark.parametrize("backend", ["auto", "threads"])
def test_rows_whose_file_was_removed_are_not_acknowledged(backend):
    server = Server("removed", environment={"TESSERA_STORAGE_BACKEND": backend})
    try:
        server.start()
        with Client(server.location) as client:
            client.create_sequence("drive")
            session = client.create_session("drive")
            writer = client.begin_put("drive/a", client.create_topic(session, "drive/a"), rows.BLOB)
            for n in range(8):
                writer.write_batch(rows.blobs([n], MIB))
            until(lambda: server.files("*.part"), "a chunk being written")
            for directory in (server.data / "chunks").iterdir():
                shutil.rmtree(directory)
            with pytest.raises(pa.ArrowException, match="removed the file|No such file"):
                writer.done_writing()
                writer.close()
    finally:
        server.remove()


def as_if_killed_before_the_rename(server):
    """An acknowledged chunk keeps its first name when the rename behind its commit fails, and a kill leaves it so."""
    parts = []
    for file in sorted(server.files(), key=lambda file: file.stat().st_mtime_ns):
        file.rename(file.with_suffix(".part"))
        parts.append(file.with_suffix(".part"))
    return parts


@pytest.mark.parametrize("damage", ["end", "body", "first"])
def test_chunks_that_a_rebuild_cannot_use_are_kept(damage):
    server = Server("kept", config="[chunk]\nrows_max = 10\n")
    try:
        server.start()
        with Client(server.location) as client:
            client.create_sequence("drive")
            client.record(client.create_session("drive"), "drive/a", [rows.counters(range(n, n + 10)) for n in (0, 10, 20)])
        until(lambda: len(server.files()) == 3, "the last names of all chunks")
        server.kill()
        first, second, third = as_if_killed_before_the_rename(server)
        if damage == "first":
            first.unlink()
        else:
            held = bytearray(first.read_bytes())
            held[-60 if damage == "end" else 8] ^= 1
            first.write_bytes(held)
        shutil.rmtree(server.data / "catalog")
        told = rebuild(server.data)
        assert told.returncode == 3, told.stderr
        server.start()
        wanted = {second.stem, third.stem} | (set() if damage == "first" else {first.stem})
        kept = lambda: {file.stem for file in (server.data / "lost").iterdir()}  # noqa: E731
        until(lambda: kept() == wanted, "every file in lost/")
        assert all(chunk in told.stdout for chunk in wanted)
    finally:
        server.remove()


def test_a_damaged_manifest_is_kept_and_an_unknown_one_is_not_judged():
    server = Server("manifests")
    try:
        server.start()
        with Client(server.location) as client:
            client.record_sequence("drive", {"a": [rows.counters(range(10))]})
        server.stop()
        [manifest] = (server.data / "manifests").glob("*.json")
        whole = manifest.read_bytes()
        shutil.rmtree(server.data / "catalog")
        manifest.unlink()
        manifest.mkdir()
        refused = rebuild(server.data)
        assert refused.returncode == 1 and manifest.name in refused.stderr, "what cannot be read says nothing"
        manifest.rmdir()
        manifest.write_bytes(whole.replace(b"drive", b"drove"))
        assert rebuild(server.data).returncode == 3
        assert (server.data / "lost" / manifest.name).exists() and not manifest.exists()
    finally:
        server.remove()


def test_files_of_sessions_that_an_older_catalog_does_not_know_stay():
    server = Server("older")
    try:
        server.start()
        with Client(server.location) as client:
            client.record_sequence("one", {"a": [rows.counters(range(10))]})
        server.stop()
        shutil.copytree(server.data / "catalog", server.directory / "copy")
        server.start()
        with Client(server.location) as client:
            client.record_sequence("two", {"a": [rows.counters(range(20))]})
        server.stop()
        files = {file.name for file in server.files()}
        shutil.rmtree(server.data / "catalog")
        shutil.copytree(server.directory / "copy", server.data / "catalog")
        # As a version leaves it that does not name its starts.
        (server.data / "START").unlink()
        server.start()
        until(lambda: "tessera catalog rebuild" in server.log(), "word of the older catalog")
        server.stop()
        assert {file.name for file in server.files()} == files
        assert rebuild(server.data).returncode == 0
        server.start()
        with Client(server.location) as client:
            assert client.read("one/a").num_rows == 10 and client.read("two/a").num_rows == 20
    finally:
        server.remove()


def names(*places):
    """Everything in these data directories but what their locks and catalogs hold."""
    files = (path for place in places for path in place.rglob("*") if path.is_file() and "catalog" not in path.parts)
    return {path: path.read_bytes() for path in files if path.name != "LOCK"}


def refused_as(server, word):
    server.launch()
    assert server.process.wait(30) == 1 and word in server.log() and "tessera catalog rebuild" in server.log(), server.log()


@pytest.mark.parametrize("back", ["newest", "rebuilt"])
@pytest.mark.parametrize("name", [".part", ".parquet"])
def test_an_older_catalog_is_refused_before_it_removes_anything(name, back):
    server = Server("older-open")
    try:
        server.start()
        server.stop()
        shutil.copytree(server.data / "catalog", server.directory / "copy")
        server.start()
        with Client(server.location) as client:
            client.create_sequence("two")
            client.record(client.create_session("two"), "two/a", [rows.counters(range(20))])
        until(server.files, "the last name of the chunk, which it gets behind the answer")
        server.kill()
        if name == ".part":
            as_if_killed_before_the_rename(server)
        (server.data / "catalog").rename(server.directory / "newest")
        shutil.copytree(server.directory / "copy", server.data / "catalog")
        before = names(server.data)
        refused_as(server, "is older than the files")
        assert names(server.data) == before and any(path.suffix == name for path in before)
        shutil.rmtree(server.data / "catalog")
        if back == "newest":
            (server.directory / "newest").rename(server.data / "catalog")
        else:
            assert rebuild(server.data).returncode == 0
        server.start()
        assert tessera("finalize", "two", "--data-dir", server.data, "--server", server.location).returncode == 0
        with Client(server.location) as client:
            assert client.read("two/a").num_rows == 20
        server.stop()
        if back == "rebuilt":
            # Made anew, it counts on: the older one is older still.
            shutil.rmtree(server.data / "catalog")
            shutil.copytree(server.directory / "copy", server.data / "catalog")
            refused_as(server, "is older than the files")
    finally:
        server.remove()


@pytest.mark.parametrize("back", ["newest", "rebuilt"])
@pytest.mark.parametrize("end", ["stop", "kill", "a moment later"])
def test_a_catalog_that_was_copied_while_the_server_ran_is_refused(end, back):
    server = Server("older-hot")
    try:
        server.start()
        with Client(server.location) as client:
            client.create_sequence("two")
            session = client.create_session("two")
            client.record(session, "two/a", [rows.counters(range(10))])
            shutil.copytree(server.data / "catalog", server.directory / "copy")
            client.record(session, "two/b", [rows.counters(range(20))])
            client.finalize(session)
        if end == "a moment later":
            until(lambda: server.moment() > 1, "a moment of this start")
        server.stop() if end == "stop" else server.kill()
        (server.data / "catalog").rename(server.directory / "newest")
        shutil.copytree(server.directory / "copy", server.data / "catalog")
        before = names(server.data)
        # Killed within a moment, what was made final since tells it.
        refused_as(server, "two has a session open there which" if end == "kill" else "was copied while start 1 ran")
        assert names(server.data) == before
        shutil.rmtree(server.data / "catalog")
        if back == "newest":
            (server.directory / "newest").rename(server.data / "catalog")
        else:
            assert rebuild(server.data).returncode == 0
        server.start()
        with Client(server.location) as client:
            assert client.read("two/a").num_rows == 10 and client.read("two/b").num_rows == 20
    finally:
        server.remove()


@pytest.mark.parametrize("starts", [0, 1], ids=["an older one", "one with as many starts"])
def test_a_copy_that_was_used_is_told_from_its_original(house, starts):
    original, copy, second = house.data, house.directory / "copy", house.directory / "B"
    house.start()
    house.stop()
    shutil.copytree(original, copy)
    house.data = copy
    house.start()
    with Client(house.location) as client:
        client.record_sequence("two", {f"t{n}": [rows.counters(range(10 + n))] for n in range(TOPICS)})
    house.stop()
    house.data = original
    for _ in range(starts):
        # It alone, without the second directory.
        house.options = []
        house.start()
        house.stop()
    house.options = ["--data-dir", second]
    before = names(original, second)
    refused_as(house, "One of them is a copy" if starts else "is older than the files")
    assert names(original, second) == before
    house.data = copy
    house.start()
    with Client(house.location) as client:
        assert read_all(client, "two") == [10 + n for n in range(TOPICS)]


def test_a_directory_that_was_away_or_missed_a_start_comes_back(house):
    house.start()
    with Client(house.location) as client:
        client.record_sequence("one", {f"t{n}": [rows.counters(range(10 + n))] for n in range(TOPICS)})
    house.stop()
    first = {place: (place / "START").read_bytes() for place in (house.data, house.directory / "B")}
    assert len(set(first.values())) == 1
    both, house.options = house.options, []
    for _ in range(2):
        house.start()
        house.stop()
    # A start that ended between the catalog and the file of the first directory.
    (house.data / "START").write_bytes(first[house.data])
    house.options = both
    house.start()
    with Client(house.location) as client:
        assert read_all(client, "one") == [10 + n for n in range(TOPICS)]
    house.stop()
    (house.directory / "B" / "START").write_text("tessera")
    house.launch()
    assert house.process.wait(30) == 1 and "START file is damaged" in house.log()


def test_a_single_disk_that_is_not_mounted_is_not_begun_anew():
    server = Server("must-exist", environment={"TESSERA_STORAGE_MUST_EXIST": "true"})
    try:
        for made in (False, True):
            if made:
                server.data.mkdir(parents=True, exist_ok=True)
            server.launch()
            assert server.process.wait(30) == 1 and "is its disk mounted?" in server.log()
            assert not server.data.exists() or not list(server.data.iterdir())
        server.environment = {}
        server.start()
        server.stop()
        server.environment = {"TESSERA_STORAGE_MUST_EXIST": "true"}
        server.start()
    finally:
        server.remove()


@pytest.mark.parametrize("names", [("a", "a"), ("a", "a/b"), ("a/b", "a")])
def test_directories_in_one_another_are_refused_by_check_and_start_alike(tmp_path, names):
    places = [word for name in names for word in ("--data-dir", tmp_path / name)]
    for command in (("config", "check"), ("serve", "--listen", "127.0.0.1:0")):
        told = tessera(*command, *places)
        assert told.returncode != 0 and ("name each once" in told.stderr or "name one of them" in told.stderr), told
        assert not list(tmp_path.iterdir()), "nothing is left of it"
