//! What bytes from outside meet first, each as a plain function of bytes: it may refuse them, and must do nothing worse.

mod arrow_ipc;
mod chunk;
mod framing;
mod json;
mod queries;
mod records;
mod seeds;

/// One place that reads what others wrote.
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
    /// Valid inputs: where mutation starts.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// A panic that is caught inside is refused all the same, except behind a vendor that we fence on purpose.
    pub fenced: bool,
}

const fn target(name: &'static str, run: fn(&[u8]), seeds: fn() -> Vec<Vec<u8>>) -> Target {
    Target { name, run, seeds, fenced: false }
}

pub const ALL: &[Target] = &[
    target("deframer", framing::deframer, seeds::deframer),
    target("ipc", arrow_ipc::ipc, seeds::ipc),
    target("action", json::action, seeds::action),
    target("descriptor", json::descriptor, seeds::descriptor),
    target("locator", json::locator, seeds::locator),
    target("ticket", json::ticket, seeds::ticket),
    Target { name: "chunk", run: chunk::chunk, seeds: seeds::chunk, fenced: true },
    target("record", records::record, seeds::record),
    target("segment", records::segment, seeds::segment),
    target("query", queries::query, queries::query_seeds),
    target("expression", queries::expression, queries::expression_seeds),
];

/// The target of this name.
pub fn find(name: &str) -> Option<&'static Target> {
    ALL.iter().find(|target| target.name == name)
}
