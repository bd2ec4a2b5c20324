//! libFuzzer around the targets of `..`: the environment variable TARGET names one.
//!
//! libFuzzer's own panic hook ends the process at every panic, so those that are caught inside are found too. Behind a fence
//! (`Target::fenced`) they are wanted, and only those that come out count.
#![no_main]

#[path = "../targets/mod.rs"]
mod targets;

use std::panic;
use std::sync::OnceLock;

use targets::Target;

static TARGET: OnceLock<&'static Target> = OnceLock::new();

fn target() -> &'static Target {
    TARGET.get_or_init(|| {
        let name = std::env::var("TARGET").unwrap_or_default();
        let target = targets::find(&name).unwrap_or_else(|| panic!("TARGET={name:?} names no target"));
        if let Ok(directory) = std::env::var("SEEDS") {
            for (index, seed) in (target.seeds)().into_iter().enumerate() {
                std::fs::write(format!("{directory}/seed-{index}"), seed).unwrap();
            }
        }
        if target.fenced {
            panic::set_hook(Box::new(|_| {}));
        }
        target
    })
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let target = target();
    if !target.fenced {
        return (target.run)(data);
    }
    if let Err(cause) = panic::catch_unwind(|| (target.run)(data)) {
        eprintln!("panicked: {:?}", cause.downcast_ref::<String>());
        std::process::abort();
    }
});
