//! The loads of a plan, one after another, each with servers and a directory of its own.

use std::path::PathBuf;
use std::sync::Arc;

use super::error::BenchError;
use super::load::Load;
use super::load::Terms;
use super::message::Template;
use super::process::Server;
use super::report::Row;
use super::scratch::Scratch;
use super::workload::Workload;

/// One row to be.
pub struct Trial {
    pub terms: Terms,
    pub load: Load,
    /// Not made yet; removed after the trial.
    pub place: PathBuf,
    measure: &'static str,
}

impl Trial {
    /// The row without its numbers.
    ///
    /// * `latency_of`: what its percentiles will be.
    ///
    /// # Errors
    /// [`BenchError::Io`] when the daemon is gone.
    pub fn row(&self, daemon: &Server, latency_of: &'static str) -> Result<Row, BenchError> {
        let memory = daemon.memory()?;
        Ok(Row {
            measure: self.measure,
            workload: self.load.workload.name().to_owned(),
            streams: self.load.streams,
            transport: self.terms.transport.name(),
            bytes: self.load.bytes(),
            peak_rss: Some(memory.peak),
            anonymous_rss: Some(memory.anonymous),
            latency_of,
            ..Row::default()
        })
    }
}

/// Tries every workload with every one of `variants`: so many streams, on such terms.
///
/// # Errors
/// The first [`BenchError`]; rows before it have been handed over.
pub fn try_all(
    measure: &'static str,
    workloads: &[Workload],
    variants: &[(usize, Terms)],
    scratch: &Scratch,
    mut one: impl FnMut(&Trial) -> Result<Row, BenchError>,
    mut done: impl FnMut(Row),
) -> Result<(), BenchError> {
    for &workload in workloads {
        let templates: Arc<[Template]> = Template::all(workload, None)?.into();
        for (streams, terms) in variants {
            let name = format!("{measure}-{}-{streams}-{}", workload.name(), terms.bytes);
            let load = Load::of(workload, *streams, terms, &templates);
            let place = scratch.path().join(&name);
            done(one(&Trial { terms: terms.clone(), load, place, measure })?);
            scratch.discard(&name);
        }
    }
    Ok(())
}
