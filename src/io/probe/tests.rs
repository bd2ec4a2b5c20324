use std::process::Command;

use rustix::process::Rlimit;
use rustix::process::setrlimit;

use super::*;
use crate::io::conformance::directory_on_disk;

#[test]
fn this_machine_is_asked_and_nothing_stays_behind() {
    let directory = directory_on_disk();
    // What a killed predecessor left.
    std::fs::write(directory.path().join(TRIAL_FILE), "torn").unwrap();
    let found = probe(directory.path(), BackendChoice::Auto).unwrap();
    match (&found, probe(directory.path(), BackendChoice::Uring)) {
        (Backend::Uring, Ok(Backend::Uring)) => {}
        (Backend::Threads { reason }, Err(ProbeError::Refused { reason: again, .. })) => assert_eq!(*reason, again),
        (found, strict) => panic!("{found:?}, but {strict:?}"),
    }
    assert!(matches!(probe(directory.path(), BackendChoice::Threads), Ok(Backend::Threads { .. })));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_directory_that_cannot_be_written_is_an_error_of_its_own() {
    let directory = directory_on_disk();
    let missing = directory.path().join("missing");
    let error = probe(&missing, BackendChoice::Auto).unwrap_err();
    assert!(matches!(&error, ProbeError::Directory { path, .. } if *path == missing), "{error}");
}

#[test]
fn the_setting_is_one_word() {
    let parse = serde_json::from_str::<BackendChoice>;
    assert_eq!(parse("\"uring\"").unwrap(), BackendChoice::Uring);
    assert!(parse("\"epoll\"").is_err());
}

/// Goal: where io_uring is out of reach the answer is a reason, and nothing is printed.
/// Method: this test runs itself in a process of its own, whose memory lock limit is too small, and reads what it printed.
#[test]
fn a_refusal_is_quiet_and_has_a_reason() {
    const CHILD: &str = "TESSERA_TEST_PROBE_CHILD";
    if std::env::var_os(CHILD).is_none() {
        let name = "io::probe::tests::a_refusal_is_quiet_and_has_a_reason";
        let program = std::env::current_exe().unwrap();
        let child = Command::new(program).args(["--exact", name, "--nocapture"]).env(CHILD, "1").output().unwrap();
        let errors = String::from_utf8_lossy(&child.stderr);
        assert!(child.status.success() && errors.is_empty(), "{errors}");
        return;
    }
    let broken = contained(|| -> io::Result<()> { panic!("Failed to register a probe. Romulus") });
    assert!(broken.unwrap_err().to_string().contains("the kernel refuses io_uring"));
    setrlimit(Resource::Memlock, Rlimit { current: Some(256 << 10), maximum: Some(256 << 10) }).unwrap();
    let directory = directory_on_disk();
    match probe(directory.path(), BackendChoice::Auto).unwrap() {
        Backend::Threads { reason } => assert!(reason.contains("LimitMEMLOCK"), "{reason}"),
        Backend::Uring => panic!("io_uring with 256 KiB of locked memory"),
    }
}
