#!/usr/bin/env python3
"""Counts the instructions of the hot paths under callgrind: what got dearer, where timing is too noisy to say.

    perf/instructions.py                    counts every case of `benches/rooms` and compares with perf/instructions.json;
                                            exit code 3 when one needs over 5 % more, or is gone
    perf/instructions.py --write            makes what was counted the committed standard
    perf/instructions.py --cases ipc,frame  only cases that begin so
    perf/instructions.py --keep DIR         leaves callgrind.out files there, for callgrind_annotate

Needs valgrind (Debian: apt-get install valgrind). The number is instructions per byte, row or message of the case's second
run, its preparation left out. Instructions are not time: a cache miss costs as much as a hundred of them. They move with the
code and with the compiler only, so a change of 5 % is a change.

What valgrind runs is a processor with AVX2 and without AVX-512. XXH3 takes its AVX2 path there, as on any server without
AVX-512 in `twox-hash`. The C library would copy with `rep movsb`, which valgrind counts by the byte, and switch to streaming
stores by the size of the host's cache: both are turned off, so a copy costs about 1/10 instruction a byte here, wherever it
is counted. A host without AVX2 counts other paths, so nothing is compared there. The build is that of `cargo bench`
without LTO and in one codegen unit: which crate's function is inlined where should not change the count.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
STANDARD = HERE / "instructions.json"

SLACK = 0.05
BUILD = {"CARGO_PROFILE_BENCH_LTO": "off", "CARGO_PROFILE_BENCH_CODEGEN_UNITS": "1"}
# The least of these wins over the machine's own cache sizes and features.
TUNABLES = ":".join([
    "glibc.cpu.hwcaps=-ERMS,-FSRM",
    "glibc.cpu.x86_non_temporal_threshold=0x10000000",
    "glibc.cpu.x86_rep_movsb_threshold=0x10000000",
])  # fmt: skip
# Their number of wake-ups is the scheduler's.
THREADED = {"mailbox/two-threads"}


def built():
    """The benches' program, made by cargo."""
    command = ["cargo", "bench", "--locked", "--no-run", "--bench", "rooms", "--message-format", "json"]
    done = subprocess.run(command, cwd=HERE.parent, env=os.environ | BUILD, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit("the benches do not build")
    made = [json.loads(line).get("executable") for line in done.stdout.splitlines() if line.startswith("{")]
    return next(path for path in reversed(made) if path)


def words(*command):
    """The first line a program prints."""
    return subprocess.run(command, capture_output=True, text=True).stdout.partition("\n")[0].strip()


def surroundings():
    """What may move a number beside the code."""
    flags = pathlib.Path("/proc/cpuinfo").read_text()
    return {
        "rustc": words("rustc", "--version"),
        "valgrind": words("valgrind", "--version"),
        "libc": words("getconf", "GNU_LIBC_VERSION"),
        "avx2": re.search(r"^flags\b.*\bavx2\b", flags, re.MULTILINE) is not None,
        "build": BUILD,
        "tunables": TUNABLES,
    }


def collected(text):
    """The instructions in what callgrind says at its end."""
    found = re.search(r"Collected : (\d+)", text)
    return int(found[1]) if found else 0


def count(binary, case, keep):
    """One case: its amount, the unit of that, and its instructions."""
    out = pathlib.Path(keep) / f"callgrind.out.{case.replace('/', '-')}"
    command = ["valgrind", "--tool=callgrind", "--toggle-collect=*rooms::case::counted*", f"--callgrind-out-file={out}"]
    env = os.environ | {"GLIBC_TUNABLES": TUNABLES}
    done = subprocess.run([*command, binary, "--case", case], env=env, capture_output=True, text=True)
    instructions = collected(done.stderr)
    if done.returncode != 0 or instructions == 0:
        sys.exit(f"{case} cannot be counted:\n{done.stderr[-3000:]}")
    amount, unit = done.stdout.split()
    return {"amount": int(amount), "unit": unit, "instructions": instructions, "each": each(instructions, int(amount))}


def each(instructions, amount):
    return float(f"{instructions / amount:.4g}")


def compare(standard, found, whole=True):
    """What is worse than the standard and what is better, as lines; `whole` when every case was counted."""
    worse, better = [], []
    for case, now in sorted(found.items()):
        before = standard.get(case)
        if before is None:
            better.append(f"{case}: {now['each']:g}, not counted before")
            continue
        change = now["each"] / before["each"] - 1
        line = f"{case}: {before['each']:g} → {now['each']:g} instructions per {now['unit'][:-1]}, {change:+.1%}"
        if now["unit"] != before["unit"] or change > SLACK:
            worse.append(line)
        elif change < -SLACK:
            better.append(line)
    if whole:
        worse += [f"{case}: not counted any more" for case in sorted(standard.keys() - found.keys())]
    return worse, better


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", help="the benches' program, when it is built")
    parser.add_argument("--cases", default="", help="beginnings of names, with commas between")
    parser.add_argument("--keep", metavar="DIR", help="where callgrind's files go")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    if not shutil.which("valgrind"):
        sys.exit("valgrind is not installed (Debian: apt-get install valgrind)")
    binary = arguments.binary or built()
    wanted = tuple(arguments.cases.split(","))
    names = subprocess.run([binary, "--list"], capture_output=True, text=True, check=True).stdout.split()
    names = [name for name in names if name.startswith(wanted) and name not in THREADED]
    with tempfile.TemporaryDirectory() as scratch, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        keep = arguments.keep or scratch
        pathlib.Path(keep).mkdir(parents=True, exist_ok=True)
        found = dict(zip(names, pool.map(lambda name: count(binary, name, keep), names)))
    for name, one in found.items():
        print(f"{name:28} {one['each']:>10g} instructions per {one['unit'][:-1]}")
    now, standard = surroundings(), json.loads(STANDARD.read_text()) if STANDARD.exists() else {"with": {}, "cases": {}}
    if arguments.write:
        cases = standard["cases"] | found if arguments.cases else found
        STANDARD.write_text(json.dumps({"with": now, "cases": cases}, indent=1, sort_keys=True) + "\n")
        return
    for what in sorted(key for key in now if now[key] != standard["with"].get(key)):
        print(f"another {what} than the standard's: {now[what]}, was {standard['with'].get(what)}")
    if not now["avx2"]:
        print("no AVX2 here: other paths were counted, nothing is compared")
        return
    worse, better = compare(standard["cases"], found, whole=not arguments.cases)
    for line in better:
        print("better:", line)
    for line in worse:
        print("WORSE:", line)
    print(f"{len(worse)} worse and {len(better)} better of {len(found)}")
    sys.exit(3 if worse else 0)


if __name__ == "__main__":
    main()
