//! What the compiler cannot check: who may name whom, which room may name which vendor, and how files look.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// Rooms and their floors. A room names only rooms on lower floors.
const FLOORS: &[(&str, u8)] = &[
    ("cli", 9),
    ("daemon", 8),
    ("bench", 8),
    ("config", 7),
    ("flight", 6),
    ("session", 5),
    ("retrieval", 5),
    ("shard", 4),
    ("fleet", 4),
    ("store", 3),
    ("chunk", 2),
    ("catalog", 2),
    ("runtime", 2),
    ("query", 2),
    ("client", 2),
    ("io", 1),
    ("wire", 1),
    ("ontology", 1),
    ("auth", 1),
    ("model", 0),
];

/// Vendors that only some places may name. A place is the beginning of a path under `src`.
const FENCES: &[(&str, &[&str])] = &[
    ("glommio", &["io/dma", "io/buffer", "io/clock", "io/probe", "runtime/executor"]),
    ("rustix", &["io", "runtime"]),
    ("rustix::fs", &["io"]),
    ("h2", &["flight", "fleet", "client/error", "bench/connection", "bench/error"]),
    ("http", &["flight", "fleet", "bench/connection"]),
    ("tonic", &["flight", "client"]),
    ("prost", &["flight", "fleet", "client"]),
    ("arrow_flight", &["flight", "fleet", "client"]),
    ("parquet", &["chunk"]),
    ("rusqlite", &["catalog/embedded"]),
    ("scylla", &["catalog/scylla"]),
    (
        "tokio",
        &[
            "flight",
            "fleet",
            "session/sweep",
            "shard/handle",
            "shard/topic_sender",
            "retrieval",
            "catalog",
            "daemon",
            "client",
            "bench",
        ],
    ),
    ("crossbeam", &["runtime", "io"]),
    ("twox_hash", &["io/checksum"]),
    ("sha2", &["auth"]),
    ("hmac", &["auth"]),
    ("clap", &["cli", "main.rs"]),
    ("indicatif", &["cli"]),
    ("console", &["cli"]),
    ("zstd", &["cli/export"]),
    ("std::fs", &["io", "bench"]),
    ("SystemTime", &["io"]),
    ("getrandom", &["io"]),
    ("mimalloc", &["main.rs"]),
    ("hdrhistogram", &["bench/latency"]),
    ("regex", &["model/pattern"]),
];

/// Ways to the disk, the clock and randomness that only `io` takes, so that a test can make each of them fail. (`bench` measures
/// the machine beside the server, and is no part of it.)
const SEAM: &[&str] = &[
    "std::fs",
    "fs::read",
    "fs::write",
    "File::open",
    "File::create",
    "File::options",
    "OpenOptions",
    "tokio::fs",
    ".canonicalize()",
    ".exists()",
    ".try_exists()",
    ".is_dir()",
    ".is_file()",
    ".read_dir()",
    ".read_link()",
    ".symlink_metadata()",
    "Instant::now()",
    "SystemTime",
    "UNIX_EPOCH",
    "thread::sleep",
    "getrandom",
    "new_v4",
    "thread_rng",
    "from_os_rng",
];

const LINES_MAX: usize = 400;

struct Source {
    /// Path under `src`, with forward slashes.
    path: String,
    text: String,
}

impl Source {
    fn room(&self) -> &str {
        self.path.split('/').next().unwrap_or_default()
    }

    /// Lines of code with their numbers: no comments, no test modules at the end of the file.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(i, line)| (i + 1, line));
        lines
            .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
            .map(|(n, line)| (n, line.split("//").next().unwrap_or_default()))
    }

    fn is_test(&self) -> bool {
        self.path.ends_with("tests.rs") || self.path.contains("/tests/")
    }
}

fn sources() -> Vec<Source> {
    fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &mut found);
    let name = |path: &Path| path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
    found.iter().map(|path| Source { path: name(path), text: fs::read_to_string(path).unwrap() }).collect()
}

/// Whether `word` stands in `line` as a word of its own, followed by `::`, or at the end of a `use`.
fn names(line: &str, word: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = &line[at + word.len()..];
        let starts = before.is_none_or(|c| !is_word(c) && c != '.' && c != '"');
        // `crate::http::…` and `self::http` are ours.
        let foreign = !line[..at].ends_with("::") || word.contains("::");
        starts
            && foreign
            && (after.starts_with("::")
                || (["SystemTime", "std::fs", "rustix::fs"].contains(&word) && !after.starts_with(is_word)))
    })
}

fn fail_on(broken: Vec<String>) {
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn rooms_name_only_rooms_on_lower_floors() {
    let floors: BTreeMap<&str, u8> = FLOORS.iter().copied().collect();
    let mut broken = Vec::new();
    for source in sources() {
        if !source.path.contains('/') {
            continue;
        }
        let Some(own) = floors.get(source.room()) else {
            broken.push(format!("src/{}: the room {} has no floor", source.path, source.room()));
            continue;
        };
        for (number, line) in source.code() {
            for (at, _) in line.match_indices("crate::") {
                let room: String = line[at + 7..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if floors.get(room.as_str()).is_some_and(|floor| floor >= own) && room != source.room() {
                    broken.push(format!("src/{}:{number}: {} must not name {room}", source.path, source.room()));
                }
            }
        }
    }
    fail_on(broken);
}

#[test]
fn vendors_stay_behind_their_fences() {
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        for (vendor, places) in FENCES {
            if places.iter().any(|place| source.path.starts_with(place)) {
                continue;
            }
            let lines = source.code().filter(|(_, line)| names(line, vendor));
            broken.extend(lines.map(|(number, _)| format!("src/{}:{number}: names {vendor}", source.path)));
        }
    }
    fail_on(broken);
}

#[test]
fn disk_clock_and_randomness_are_asked_in_one_room() {
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        if ["io", "bench"].contains(&source.room()) {
            continue;
        }
        // Its clock is one that tests can stop.
        let tokio = source.text.contains("use tokio::time::Instant;");
        for (number, line) in source.code() {
            let found = SEAM.iter().filter(|way| line.contains(**way) && !(tokio && **way == "Instant::now()"));
            broken.extend(found.map(|way| format!("src/{}:{number}: {way} belongs into io", source.path)));
        }
    }
    fail_on(broken);
}

#[test]
fn every_use_of_a_room_has_a_line_of_its_own() {
    let mut broken = Vec::new();
    for source in sources() {
        let lines =
            source.code().filter(|(_, line)| line.trim_start().starts_with("use crate::") && line.contains('{'));
        broken.extend(lines.map(|(number, _)| format!("src/{}:{number}: one `use` per line", source.path)));
    }
    fail_on(broken);
}

#[test]
fn files_are_short_and_say_what_they_are_for() {
    let mut broken = Vec::new();
    for source in sources() {
        let lines = source.text.lines().count();
        if lines > LINES_MAX && !source.is_test() {
            broken.push(format!(
                "src/{}: {lines} lines, at most {LINES_MAX}: is there a second noun inside?",
                source.path
            ));
        }
        if !source.is_test() && !source.text.starts_with("//!") {
            broken.push(format!("src/{}: begins without saying what it is for", source.path));
        }
    }
    fail_on(broken);
}

#[test]
fn nothing_unfinished_is_left() {
    let marks = ["todo!(", "unimplemented!(", "FIXME", "dbg!("];
    let mut broken = Vec::new();
    for source in sources() {
        for (number, line) in source.text.lines().enumerate() {
            let found = marks.iter().filter(|mark| line.contains(**mark));
            broken.extend(found.map(|mark| format!("src/{}:{}: {mark}", source.path, number + 1)));
        }
    }
    fail_on(broken);
}

/// Goal: a mutant that can no longer be planted is seen where the source changes, and not half a year later by who plants them.
#[test]
fn every_mutant_fits_its_source() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let list: toml::Table = fs::read_to_string(root.join("tests/mutants/mutants.toml")).unwrap().parse().unwrap();
    let mutants = list.get("mutant").and_then(toml::Value::as_array).unwrap();
    assert!(!mutants.is_empty());
    let mut broken = Vec::new();
    for mutant in mutants {
        let text = |key: &str| mutant.get(key).and_then(toml::Value::as_str).unwrap();
        let found = fs::read_to_string(root.join(text("file"))).unwrap().matches(text("find")).count();
        if found != 1 {
            broken.push(format!("mutant {}: what it replaces stands {found} times in {}", text("name"), text("file")));
        }
    }
    fail_on(broken);
}

/// Goal: guided fuzzing builds. Its package has a lock of its own, which nothing else that is tested here reads.
#[test]
fn guided_fuzzing_is_locked_to_the_same_versions() {
    let read = |name: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
    let (ours, theirs) = (read("Cargo.lock"), read("tests/fuzz/coverage/Cargo.lock"));
    let (ours, theirs) = (locked(&ours), locked(&theirs));
    let manifest = read("Cargo.toml");
    let (_, direct) = manifest.split_once("\n[dependencies]\n").unwrap();
    let direct = direct.lines().take_while(|line| !line.starts_with('[')).filter_map(|line| line.split_once(" = "));
    let missing = direct.filter(|(name, _)| !theirs.contains_key(*name)).map(|(name, _)| format!("{name}: not locked"));
    let other = theirs.iter().filter_map(|(name, versions)| {
        let ours = ours.get(name)?;
        (!versions.iter().all(|version| ours.contains(version))).then(|| format!("{name}: {versions:?}, not {ours:?}"))
    });
    fail_on(missing.chain(other).collect());
}

/// Versions by package.
fn locked(lock: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut versions = BTreeMap::<_, Vec<_>>::new();
    for package in lock.split("[[package]]\n").skip(1) {
        let value = |key| package.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        versions.entry(value("name = ")).or_default().push(value("version = "));
    }
    versions.into_iter().map(|(name, versions)| (name.trim_matches('"'), versions)).collect()
}

/// Goal: the checks above see what they are for.
#[test]
fn a_name_is_seen_where_it_is_one_and_nowhere_else() {
    assert!(names("use glommio::io::DmaFile;", "glommio"));
    assert!(names("    let x = tokio::spawn(y);", "tokio"));
    assert!(!names("use hyper_tokio::x;", "tokio"));
    assert!(!names("use crate::http::x;", "http"));
    assert!(names("let now = SystemTime::now();", "SystemTime"));
    assert!(names("std::fs::read(path)", "std::fs"));
    assert!(names("use std::fs;", "std::fs"));
}
