//! What the hot paths cost one thread, without network and disk: per byte or per row.
//!
//! * `cargo bench [FILTER]` measures with criterion, on enough data to leave the caches;
//! * `cargo test` runs every case small and asserts its digest, so that none can rot or be optimised away;
//! * `perf/instructions.py` counts instructions of the small runs, where timing is too noisy: it starts this program with
//!   `--list`, and with `--case NAME` under callgrind.
//!
//! A digest covers what the case made. Some change with a dependency (what a Parquet page looks like): then the new one is
//! printed, and stands here after a look at why.

mod bridge;
mod case;
mod catalog;
mod encoding;
mod frames;
mod hashing;
mod rows;

use case::Case;
use case::Scale;

/// As in the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn cases(scale: Scale) -> impl Iterator<Item = Case> {
    let rooms = [encoding::cases, frames::cases, bridge::cases, hashing::cases, catalog::cases];
    rooms.into_iter().flat_map(move |room| room(scale))
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["--list"] => cases(Scale::Small).for_each(|case| println!("{}", case.name)),
        ["--case", name] => {
            cases(Scale::Small).find(|case| case.name == *name).expect("a case of that name").count();
        }
        arguments if arguments.contains(&"--bench") => measure(),
        _ => check(),
    }
}

fn check() {
    let wrong: Vec<String> = cases(Scale::Small).filter_map(|case| case.check().err()).collect();
    assert!(wrong.is_empty(), "\nother digests than before:\n{}\n", wrong.join("\n"));
}

fn measure() {
    let mut criterion = criterion::Criterion::default().configure_from_args();
    for case in cases(Scale::Full) {
        case.measure(&mut criterion);
    }
    criterion.final_summary();
}
