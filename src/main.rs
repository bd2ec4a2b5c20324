//! The binary `tessera`.

use std::process::ExitCode;

/// Messages are large and buffers live long: an allocator that keeps its memory halves the cost of receiving.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tessera::cli::main()
}
