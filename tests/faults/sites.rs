//! Every line of ours that asks a device, a file or the host for something, as the source has it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use tessera::io::CallSite;

use crate::scenario::files;

/// What is asked of a variable of this name, or of a member or a type.
const ASKED: [(&str, &[&str]); 6] = [
    (
        "device",
        &[
            "create",
            "open",
            "rename",
            "unlink",
            "make_directory",
            "remove_directory",
            "list",
            "names",
            "sync_directory",
            "read_small",
            "write_small",
            "space",
        ],
    ),
    ("file", &["write_at", "read_at", "allocate", "truncate", "sync"]),
    (
        "host",
        &[
            "resolve",
            "is_directory",
            "exists",
            "names",
            "has_entries",
            "make_directory",
            "sync_directory",
            "read_small",
            "write_small",
            "lock",
            "probe",
            "seed",
        ],
    ),
    ("lock", &["is_in_place"]),
    ("KnownFile", &["look"]),
    // Of the catalog's disk.
    ("reserve", &["keep", "has_room", "make_room"]),
];

/// Places that a running server does not pass, each with the test that makes it fail.
const ELSEWHERE: [(&str, &str); 8] = [
    ("cli/", "tools that read a stopped server's directories"),
    ("bench/", "measures the machine beside the server"),
    ("daemon/rebuild", "makes a stopped server's catalog again: tests/control/rebuilding.rs"),
    (
        "daemon/frozen",
        "looks at a stopped server's directories on a read-only disk: tests/blackbox/test_rebuild_places.py",
    ),
    ("daemon/moments", "what a start notes while it serves: its own test, and tests/blackbox/test_lost_disks.py"),
    ("daemon/shared/mark", "made at the first start with a shared catalog: tests/blackbox/test_shared_catalog.py"),
    ("store/described", "what a rebuild reads of the chunks"),
    ("store/reader/longer", "what `tessera verify` reads beside them: tests/blackbox/test_restart.py"),
];

pub fn in_source() -> BTreeSet<CallSite> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sites = BTreeSet::new();
    for path in files(&root) {
        let file = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        let elsewhere = ELSEWHERE.iter().any(|(place, _)| file.starts_with(place));
        if file.starts_with("io/") || elsewhere || file.ends_with("tests.rs") || !file.ends_with(".rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for (receiver, methods) in ASKED {
            for (at, _) in code.match_indices(receiver) {
                let is_word = |c: char| c.is_alphanumeric() || c == '_';
                let line_start = code[..at].rfind('\n').map_or(0, |end| end + 1);
                if code[..at].ends_with(is_word) || code[line_start..at].trim_start().starts_with("//") {
                    continue;
                }
                let rest = &code[at + receiver.len()..];
                let rest = rest.trim_start();
                let Some(call) = rest.strip_prefix('.').or_else(|| rest.strip_prefix("::")) else { continue };
                let word: String = call.chars().take_while(|c| is_word(*c)).collect();
                if methods.contains(&word.as_str()) && call[word.len()..].starts_with('(') {
                    let line = code[..code.len() - call.len()].matches('\n').count() + 1;
                    sites.insert(CallSite { file: file.clone(), line: line as u32 });
                }
            }
        }
    }
    sites
}
