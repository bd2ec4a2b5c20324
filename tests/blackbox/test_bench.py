"""`tessera bench` run small: what it prints, what it leaves behind, and that the sink is a sink."""

import json
import pathlib
import signal
import subprocess
import sys

import pyarrow as pa
import pyarrow.flight as fl
import pytest

from harness.server import ROOT
from harness.server import below
from harness.server import binary
from harness.server import scratch
from harness.waiting import until

SMALL = ("--bytes", "20MB", "--repeats", "1")


def bench(*arguments, code=0):
    directory = scratch("bench")
    ended = subprocess.run(
        [str(binary()), "bench", *arguments, "--directory", str(directory)], capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == code, ended.stderr
    assert list(directory.iterdir()) == [], "the run removes what it made"
    directory.rmdir()
    return ended


def rows(ended):
    machine, *found = [json.loads(line) for line in ended.stdout.splitlines()]
    assert machine["measure"] == "machine" and machine["machine"]["cores"] > 0
    return found


@pytest.mark.parametrize("transport", ["tcp", "unix"])
def test_put_says_speed_floor_cost_and_memory(transport):
    unix = ["--unix"] if transport == "unix" else []
    found = rows(bench("put", "--workload", "blobs,imu100", "--streams", "1,3", *SMALL, *unix))
    assert [(row["workload"], row["streams"]) for row in found] == [
        ("blobs", 1), ("blobs", 3), ("imu100", 1), ("imu100", 3),
    ]  # fmt: skip
    for row in found:
        assert row["transport"] == transport and row["measure"] == "put"
        assert row["bytes"] >= 20_000_000 * 0.99
        for number in ("mb_s", "rows_s", "sink_mb_s", "device_mb_s", "ratio"):
            assert row[number] > 0, (number, row)
        # Ticks of 10 ms: so few bytes may cost none.
        assert row["server_s_gb"] >= 0 and row["sink_s_gb"] >= 0 and row["client_s_gb"] >= 0
        assert row["peak_rss"] >= row["anonymous_rss"] > 1 << 20
        assert 0 < row["p50_ms"] <= row["p99_ms"] <= row["p999_ms"] <= row["max_ms"]


def test_what_is_read_back_is_all_there():
    found = rows(bench("get", "--workload", "lidar", "--streams", "2", *SMALL))
    assert found[0]["measure"] == "get" and found[0]["mb_s"] > 0 and found[0]["p99_ms"] > 0


def test_a_range_reads_less_than_its_topic():
    (found,) = rows(bench("range", "--workload", "imu10k", *SMALL))
    assert found["repeats"] == 100
    assert 0 < found["more"]["bytes_read_for_a_range"] < found["bytes"] / 4


def test_close_restart_and_shard_run():
    closes = rows(bench("close", "--workload", "blobs", *SMALL))
    assert [row["bytes"] // 1_000_000 for row in closes] == [4, 20]
    assert all(row["more"]["allowed_ms"] > 100 for row in closes)
    (restart,) = rows(bench("restart", "--chunks", "30", "--repeats", "1"))
    assert restart["more"]["chunks"] >= 30 and restart["p50_ms"] > 0
    (shard,) = rows(bench("shard", "--workload", "imu10k", *SMALL))
    assert shard["mb_s"] > 0 and shard["device_mb_s"] > 0 and shard["sink_mb_s"] is None


def test_the_mix_keeps_its_rate():
    found = rows(bench("mix", "--seconds", "1", *SMALL))
    assert [row["workload"] for row in found] == ["camera", "lidar", "imu", "all"]
    total = found[-1]
    assert total["streams"] == 14 and total["p999_ms"] >= total["p50_ms"] > 0
    # 4 × 30 × 1 MB and 2 × 20 × 2.08 MB in a second: no sooner than they are due.
    assert total["bytes"] > 190_000_000 and total["mb_s"] < 220


def test_without_a_subcommand_everything_is_shown():
    found = rows(bench("--quick", "--bytes", "20MB"))
    assert {row["measure"] for row in found} == {"put", "get", "range", "mix"}
    assert {row["workload"] for row in found if row["measure"] == "put"} == {"blobs", "lidar", "4k-image", "imu10k"}


def test_a_file_for_results_that_cannot_be_made_is_refused_before_anything_is_measured():
    ended = bench("put", "--json", "/nowhere/at/all.json", code=2)
    assert "--json /nowhere/at/all.json" in ended.stderr, ended.stderr


def test_results_go_into_a_file_and_into_a_report():
    out = scratch("results") / "results.json"
    bench("put", "--workload", "blobs", "--streams", "1", *SMALL, "--json", str(out))
    results = json.loads(out.read_text())
    assert results["machine"]["kernel"] and len(results["rows"]) == 1

    def compare(change):
        changed = json.loads(out.read_text())
        change(changed["rows"][0])
        other = out.with_name("other.json")
        other.write_text(json.dumps(changed))
        command = [sys.executable, str(ROOT / "perf" / "report.py"), "compare", str(out), str(other)]
        return subprocess.run(command, capture_output=True, text=True)

    assert compare(lambda row: None).returncode == 0
    slower = compare(lambda row: row.update(ratio=row["ratio"] / 2))
    assert slower.returncode == 3 and "ratio" in slower.stdout
    dearer = compare(lambda row: row.update(added_s_gb=row["added_s_gb"] + 1))
    assert dearer.returncode == 3 and "added_s_gb" in dearer.stdout


@pytest.mark.parametrize("wrong", [["put", "--workload", "mp3"], ["put", "--bytes", "many"], ["nothing"]])
def test_wrong_usage_is_told_as_such(wrong):
    ended = subprocess.run([str(binary()), "bench", *wrong], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2 and ended.stdout == ""


@pytest.fixture
def sink(tmp_path):
    process = subprocess.Popen(
        [str(binary()), "bench", "sink"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path
    )
    location = process.stdout.readline().split()[-1]
    yield location, tmp_path
    # It ends with whoever started it.
    process.stdin.close()
    assert process.wait(timeout=60) == 0


def test_the_sink_takes_everything_and_stores_nothing(sink):
    location, directory = sink
    batch = pa.record_batch([pa.array(range(1000), pa.int64()), pa.array([b"x" * 1000] * 1000)], names=["timestamp_ns", "data"])
    with fl.connect(location) as client:
        for name in ("anything", "anything"):
            writer, _ = client.do_put(fl.FlightDescriptor.for_command(name.encode()), batch.schema)
            for _ in range(20):
                writer.write_batch(batch)
            writer.close()
        with pytest.raises(pa.ArrowException, match="only DoPut and DoGet"):
            list(client.do_action(fl.Action("info", b"{}")))
        with pytest.raises(pa.ArrowException, match="nothing is kept"):
            client.do_get(fl.Ticket(b"1")).read_all()
        # What is not Arrow is refused: the receive path is the daemon's.
        writer, _ = client.do_put(fl.FlightDescriptor.for_command(b"keep"), batch.schema)
        writer.write_batch(batch)
        writer.close()
        assert client.do_get(fl.Ticket(b"3")).read_all() == pa.Table.from_batches([batch] * 3)
    assert list(pathlib.Path(directory).iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_nothing(number):
    place = scratch("bench") / "made"
    command = [str(binary()), "bench", "put", "--workload", "blobs", "--streams", "2", "--bytes", "20GB", "--directory", str(place)]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    until(lambda: below(place, "*.part"), "it records", 60)
    running.send_signal(number)
    # It may end by the signal, or by the loss of the server that the signal took away.
    assert running.wait(30) in (128 + number, 1), running.stderr.read()
    assert not place.exists(), list(place.rglob("*"))
    place.parent.rmdir()
