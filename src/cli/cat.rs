//! `tessera cat <locator>`: rows as NDJSON.

use std::io;
use std::io::Write;

use arrow::error::ArrowError;

use crate::model::Locator;
use crate::model::TimeRange;

use super::arguments::CatArguments;
use super::json_rows::Nulls;
use super::json_rows::write_rows;
use super::main::Failure;
use super::main::Outcome;
use super::main::connect;
use super::main::wrong_usage;
use super::output;

pub fn run(arguments: &CatArguments) -> Result<Outcome, Failure> {
    let range = TimeRange::new(arguments.start, arguments.end).map_err(wrong_usage)?;
    let locator = Locator::parse(&arguments.locator).map_err(wrong_usage)?;
    if !matches!(locator, Locator::Topic(_)) {
        let message = format!("{locator} is no topic: write sequence/topic/path; `tessera ls {locator}` lists them");
        return Err(Failure::usage(message));
    }
    let client = connect(&arguments.server)?;
    let info = client.info(&locator, range)?;
    let mut left = arguments.limit.unwrap_or(u64::MAX);
    let mut out = io::BufWriter::new(io::stdout().lock());
    for endpoint in &info.endpoints {
        for batch in client.get(&endpoint.ticket)? {
            if left == 0 {
                break;
            }
            let batch = batch?;
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(batch.num_rows());
            left -= count as u64;
            match write_rows(&batch.slice(0, count), Nulls::Written, &mut out) {
                Err(ArrowError::IoError(_, error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                    return Ok(Outcome::Done);
                }
                other => other?,
            }
        }
    }
    output::quiet_pipe(out.flush())?;
    Ok(Outcome::Done)
}
