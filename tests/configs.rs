//! The files in `configs/` load, and the reference one shows every key with its default.

use std::fs;
use std::path::Path;

use tessera::config::Config;
use tessera::config::Loaded;

fn directory() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("configs")
}

#[test]
fn every_file_loads() {
    let mut count = 0;
    for entry in fs::read_dir(directory()).unwrap() {
        let path = entry.unwrap().path();
        let loaded = Loaded::load(Some(&path), [], Vec::new());
        assert!(loaded.is_ok(), "{}: {}", path.display(), loaded.unwrap_err());
        count += 1;
    }
    assert!(count >= 3, "{count} files in configs/");
}

#[test]
fn the_reference_file_shows_every_key_with_its_default() {
    let path = directory().join("tessera.toml");
    let loaded = Loaded::load(Some(&path), [], Vec::new()).unwrap();
    assert_eq!(loaded.config, Config::default());
    let text = fs::read_to_string(&path).unwrap();
    for line in loaded.explain() {
        let (section, key) = line.key.split_once('.').unwrap();
        assert!(text.contains(&format!("[{section}]")), "section {section} is missing");
        let shown = text.lines().any(|l| l.trim_start_matches("# ").starts_with(&format!("{key} = ")));
        assert!(shown, "key {} is missing", line.key);
    }
}
