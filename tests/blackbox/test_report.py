"""What `perf/` makes of numbers: verdicts, the report, and what got worse. No daemon runs here."""

import copy

import goals
import instructions
import pytest
import report

MACHINE = {"version": "1", "processor": "P", "cores": 2, "memory": 8 << 30, "kernel": "6", "file_system": "ext4",
           "device": "/dev/vda", "backend": "io_uring"}  # fmt: skip


def row(measure, workload, streams=1, **numbers):
    keys = ["mb_s", "rows_s", "sink_mb_s", "device_mb_s", "ratio", "server_s_gb", "sink_s_gb", "added_s_gb", "client_s_gb",
            "peak_rss", "p50_ms", "p99_ms", "p999_ms"]  # fmt: skip
    made = dict.fromkeys(keys) | {"measure": measure, "workload": workload, "streams": streams, "transport": "tcp", "repeats": 5}
    return made | {"bytes": 10**9, "latency_of": "something", "more": {}} | numbers


def results(*rows):
    return {"machine": MACHINE, "when": "today", "commit": "abc", "command": "perf/report.py run", "rows": list(rows)}


def blobs(streams=1, **numbers):
    measured = {"mb_s": 1500, "rows_s": 1500, "sink_mb_s": 2000, "device_mb_s": 1800, "ratio": 0.83, "server_s_gb": 0.35,
                "sink_s_gb": 0.25, "added_s_gb": 0.1, "peak_rss": 500 << 20}  # fmt: skip
    return row("put", "blobs", streams, **measured | numbers)


def kept(*rows):
    return {one.what: one.kept for one in goals.verdicts(results(*rows))}


def test_a_put_is_held_to_its_floors():
    assert set(kept(blobs()).values()) == {True}
    assert not kept(blobs(ratio=0.74))["of min(sink, device)"]
    assert not kept(blobs(added_s_gb=0.151))["CPU added over the sink, s/GB"]
    assert not kept(blobs(ratio=None))["of min(sink, device)"], "what was not measured is not kept"
    # 2 cores take 2000 / 0.35 = 5714 MB/s, more than the device; with 2 s/GB they take 1000 of its 1800.
    alone = "without the client on its cores ¹"
    assert kept(blobs())[alone] and not kept(blobs(server_s_gb=2.0))[alone]


def test_memory_follows_the_published_formula():
    keys = {"receive_bytes": 100, "idle_buffer_bytes_max": 20, "held_bytes_max": 1000, "read_bytes": 3, "dictionary_bytes": 7}
    config = "".join(f"{key} = {value}\n" for key, value in (keys | {"blocks_per_shard": 15}).items())
    assert goals.budget("put", 2, config) == 1127 + (2 * 32 << 20) + 300_000_000
    assert goals.budget("get", 2, config) == goals.budget("put", 2, config) + 3
    assert 1 << 30 < goals.budget("put", 2) < goals.budget("get", 2) < 3 << 30
    assert not kept(blobs(), blobs(4, peak_rss=goals.budget("put", 2) + 1), blobs(8))["largest peak RSS, MiB"]


def test_64_streams_are_held_to_8():
    what = "MB/s of what 8 streams reach"
    assert kept(blobs(8), blobs(64, mb_s=1350))[what]
    assert not kept(blobs(8), blobs(64, mb_s=1349))[what]
    assert what not in kept(blobs(64))


@pytest.mark.parametrize("made, what, wrong", [
    (row("range", "imu10k", p99_ms=9, more={"stored_bytes_of_a_range": 1 << 20, "bytes_read_for_a_range": 2_900_000}),
     "KiB read for a range", {"more": {"stored_bytes_of_a_range": 1 << 20, "bytes_read_for_a_range": 3_100_000}}),
    (row("close", "blobs", p99_ms=120, more={"fdatasync_p99_ms": 10, "allowed_ms": 130}), "last byte to OK, p99 ms of 5", {"p99_ms": 131}),
    (row("restart", "imu100", p99_ms=400, more={"chunks": 100_000}), "chunks it started with", {"more": {"chunks": 99_999}}),
    (row("mix", "all", p999_ms=140, more={"device_block_p999_ms": 50, "sink_p999_ms": 3}), "lateness at 70 %, p99.9 ms", {"p999_ms": 151}),
    (row("get", "blobs", ratio=0.9, p99_ms=5), "first batch, p99 ms", {"p99_ms": 10.1}),
    (row("put", "imu100", rows_s=5e6, mb_s=300, sink_mb_s=400), "rows/s", {"rows_s": 3.9e6}),
    (row("shard", "lidar", ratio=0.95, server_s_gb=0.1), "of the device", {"ratio": 0.89}),
])  # fmt: skip
def test_every_measure_has_a_goal_that_can_fall_short(made, what, wrong):
    assert set(kept(made).values()) == {True}, kept(made)
    assert not kept(made | wrong)[what]


def test_the_report_shows_what_falls_short_and_what_was_not_measured():
    text = report.rendered(results(blobs(), blobs(4, ratio=0.5)))
    assert "Goals: 6 of 7 kept" in text and text.count("**short**") == 2, text
    assert "| put blobs × 4, 1 GB | of min(sink, device) | 0.50 | ≥ 0.75 | 1500 of sink 2000, device 1800 MB/s | **short** |" in text
    assert "* close of 10 GB" in text and "* put lidar × 64" in text and "pyarrow" in text
    assert "2 × P, 8 GiB" in text and "ext4 on /dev/vda" in text and "commit abc" in text


def test_what_got_worse_is_told_by_ratios_not_by_times(capsys):
    old = report.ratios(results(blobs(), blobs(4)))
    faster_day = report.ratios(results(blobs(mb_s=300, sink_mb_s=400, device_mb_s=360), blobs(4)))
    assert not report.compare(old, faster_day)
    assert "nothing worse in 2 runs" in capsys.readouterr().out
    worse = copy.deepcopy(old)
    worse["put/blobs/4/tcp/1000000000"] |= {"ratio": 0.7, "added_s_gb": 0.2}
    assert report.compare(old, worse)
    out = capsys.readouterr().out
    assert "ratio 0.83 → 0.70" in out and "added_s_gb 0.100 → 0.200" in out
    with pytest.raises(SystemExit):
        report.compare(old, {})


def test_every_run_of_the_report_can_be_made_small():
    for run in report.RUNS:
        small = report.quickened(run)
        assert small[1] == run[0] and small.count("--bytes") == 1 and "10GB" not in small
    # What is compared is measured in one run.
    assert any(options(run).get("--streams") == "8,64" for run in report.RUNS)
    measured = {(run[0], workload) for run in report.RUNS for workload in options(run).get("--workload", "all").split(",")}
    for measure, workload, _ in goals.WANTED:
        assert (measure, workload) in measured or (measure, "all") in measured, (measure, workload)
    assert {options(run).get("--bytes", "1GB") for run in report.RUNS if run[0] == "close"} == {"1GB", "10GB"}
    assert {options(run).get("--bytes", "1GB") for run in report.RUNS if run[0] == "range"} == {"2GB"}


def options(run):
    return dict(zip(run[1::2], run[2::2]))


def test_instructions_are_worse_from_a_twentieth_on():
    def case(each):
        return {"each": each, "unit": "bytes", "amount": 1, "instructions": 1}

    worse, better = instructions.compare({"a": case(100), "b": case(100), "c": case(100)}, {"a": case(105.1), "b": case(94), "d": case(1)})
    assert [line.split(":")[0] for line in worse] == ["a", "c"] and [line.split(":")[0] for line in better] == ["b", "d"]
    assert instructions.compare({"a": case(100), "c": case(1)}, {"a": case(104.9)}, whole=False) == ([], [])
    assert instructions.collected("==7== Collected : 1234\n") == 1234
    assert instructions.collected("nothing") == 0
