"""Plants each bug of `mutants.toml` and expects its harness to fail: a harness that does not is blind.

    tests/run mutants [--built] [NAME...]      --built: with what the last run built

All mutants are written into one copy of the source, each behind a question to the environment (`TESSERA_TEST_MUTANT`), so that one
build serves them all and the source itself has none of it. The copy lies in `target/mutants`, with a target directory of its
own: cargo tells two trees of one package apart by nothing but the times of their files. What it has built of other packages is
taken from `target`.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
COPY = TARGET / "mutants"
BUILT = COPY / "target"

ASKED = """
/// Planted by `tests/mutants`: whether the environment chose this mutant.
pub fn mutated(name: &str) -> bool {
    static CHOSEN: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    CHOSEN.get_or_init(|| std::env::var("TESSERA_TEST_MUTANT").unwrap_or_default()) == name
}
"""


def planted(mutant, find):
    """The source of a mutant beside what it replaces, in as many lines: tests name lines."""
    name, with_ = mutant["name"], mutant["with"].replace("\n", " ")
    chosen = f'crate::mutated("{name}")'
    if mutant.get("binds"):  # let x = a;  →  let x = if … { b } else { a };
        head, value = find.rstrip(";").split(" = ", 1)
        return f"{head} = if {chosen} {{ {with_.rstrip(';').split(' = ', 1)[1]} }} else {{ {value} }};"
    if mutant.get("opens"):  # if let Err(e) = a {  →  if let Err(e) = if … { b } else { a } {
        head, value = find.rstrip("{ ").split(" = ", 1)
        other = with_[: with_.rstrip().rfind("{")].split(" = ", 1)[1]
        return f"{head} = if {chosen} {{ {other.strip()} }} else {{ {value} }} {{"
    if find.endswith(";"):
        return f"if {chosen} {{ {with_} }} else {{ {find} }}"
    return f"(if {chosen} {{ {with_} }} else {{ {find} }})"


def plant(mutants):
    """Brings the copy up to date; what has not changed keeps its time, so that nothing is built twice."""
    tracked = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True,
                             text=True, check=True).stdout.splitlines()
    files = {name: (ROOT / name).read_bytes() for name in tracked if (ROOT / name).is_file()}
    by_place = {}
    for mutant in mutants:
        by_place.setdefault((mutant["file"], mutant["find"]), []).append(mutant)
    for (file, find), group in by_place.items():
        text = files[file].decode()
        assert text.count(find) == 1, f"{group[0]['name']}: {find!r} stands {text.count(find)} times in {file}"
        new = find
        for mutant in group:
            new = planted(mutant, find) if new == find else new.replace(f"else {{ {find} }}", f"else {{ {planted(mutant, find)} }}")
        files[file] = text.replace(find, new).encode()
    files["src/lib.rs"] += ASKED.encode()
    for path in (COPY / "src").rglob("*.rs"):
        if str(path.relative_to(COPY)) not in files:
            path.unlink()
    for name, content in files.items():
        path = COPY / name
        if not path.exists() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            shutil.copymode(ROOT / name, path)


def borrow():
    """The dependencies, as links: cargo replaces files, it does not write into them."""
    if (BUILT / "debug").exists() or not (TARGET / "debug/.fingerprint").exists():
        return
    for part in ("deps", "build", ".fingerprint"):
        (BUILT / "debug" / part).mkdir(parents=True)
        for entry in (TARGET / "debug" / part).iterdir():
            # Ours is built anew.
            if not re.match(r"(lib)?(tessera|faults)-", entry.name):
                subprocess.run(["cp", "--archive", "--link", entry, BUILT / "debug" / part], check=True)


def build():
    borrow()
    flags = {**os.environ, "CARGO_TARGET_DIR": str(BUILT)}
    command = ["cargo", *os.environ.get("TESSERA_CARGO", "--locked").split(), "test", "--test", "faults", "--no-run"]
    done = subprocess.run(command, cwd=COPY, env=flags, stderr=subprocess.PIPE, text=True)
    print(done.stderr[-3000:] if done.returncode else "", end="")
    assert done.returncode == 0, "the mutants do not build"
    [line] = [line for line in done.stderr.splitlines() if "Executable" in line]
    test = pathlib.Path(line[line.rindex("(") + 1 : -1])
    binary = COPY / "tessera"
    shutil.copy2(BUILT / "debug/tessera", binary)
    return (test if test.is_absolute() else COPY / test), binary


def command(harness, test):
    pytest = [sys.executable, "-m", "pytest", "-c", "tests/pytest.ini", "--rootdir", "tests", "-x", "-q", "--color=no"]
    return {
        "faults": [str(test), "--test-threads", "1"],
        "failpoints": [*pytest, "tests/killloop/test_failpoints.py"],
        "killloop": [*pytest, "tests/killloop/test_kill_loop.py"],
        "powercuts": [*pytest, "tests/powercuts"],
    }[harness]


def built():
    tests = [path for path in (BUILT / "debug/deps").glob("faults-*") if not path.suffix]
    return max(tests, key=lambda path: path.stat().st_mtime), COPY / "tessera"


def run(harness, narrowed, name, test, binary):
    """One run of a harness, and what it said."""
    environment = {**os.environ, **narrowed, "TESSERA_TEST_MUTANT": name, "TESSERA_BIN": str(binary)}
    if harness == "faults":
        environment |= {"TESSERA_FAULTS_LINES": "off", "TESSERA_FAULTS": environment.get("TESSERA_FAULTS", "0")}
    log = COPY / f"{name or harness}.log"
    with log.open("w") as out:
        done = subprocess.run(command(harness, test), cwd=COPY, env=environment, stdout=out, stderr=out)
    return done, log.read_text(errors="replace")


def unmutated(mutants, test, binary):
    """The first harness that fails although nothing is planted. A point that only a mutant has is none for it."""
    for harness in dict.fromkeys(mutant["harness"] for mutant in mutants):
        narrowed = {"failpoints": {"TESSERA_FAILPOINTS": "publish: put ended"}, "powercuts": {"TESSERA_CUTS": "10"}}
        if run(harness, narrowed.get(harness, {}), "", test, binary)[0].returncode != 0:
            return harness
    return None


def main(names):
    again = "--built" in names
    names = [name for name in names if name != "--built"]
    mutants = tomllib.loads((ROOT / "tests/mutants/mutants.toml").read_text())["mutant"]
    unknown = set(names) - {mutant["name"] for mutant in mutants}
    assert not unknown, f"no such mutant: {unknown}"
    COPY.mkdir(parents=True, exist_ok=True)
    if again:
        test, binary = built()
    else:
        plant(mutants)
        test, binary = build()
    if sick := unmutated([mutant for mutant in mutants if not names or mutant["name"] in names], test, binary):
        print(f"{sick}: fails without any mutant, so it proves nothing", flush=True)
        return 1
    blind, skipped = [], []
    chosen = list({mutant["name"]: mutant for mutant in mutants}.values())
    for mutant in chosen:
        if names and mutant["name"] not in names:
            continue
        began = time.monotonic()
        done, text = run(mutant["harness"], mutant.get("env", {}), mutant["name"], test, binary)
        if "SKIPPED" in text and done.returncode == 0:
            verdict = "not tried: the machine cannot"
            skipped.append(mutant["name"])
        elif done.returncode == 0:
            verdict = "NOT CAUGHT"
            blind.append(mutant["name"])
        else:
            verdict = "caught"
        why = next((line.strip() for line in text.splitlines() if "BROKEN" in line or line.startswith("E  ")), "")
        print(f"{mutant['name']:32} {verdict:12} by {mutant['harness']} in {time.monotonic() - began:.0f} s  {why[:160]}", flush=True)
    tried = len(names or chosen) - len(skipped)
    print(f"{tried - len(blind)} of {tried} mutants caught; not tried: {skipped or 'none'}")
    return 1 if blind else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
