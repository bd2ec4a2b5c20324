//! `tessera status`: whether a server runs on these data directories, and what reading everything again last found.

use std::io::IsTerminal;
use std::io::Write;
use std::io::stdout;

use serde_json::json;

use crate::daemon;
use crate::daemon::DirectoryStatus;
use crate::daemon::ScrubState;
use crate::daemon::Scrubbed;
use crate::wire::utc_datetime;

use super::arguments::ConfigArguments;
use super::config;
use super::main::Failure;
use super::main::Outcome;
use super::output;
use super::output::Table;

pub fn run(arguments: &ConfigArguments) -> Result<Outcome, Failure> {
    let config = config::load(arguments)?.config;
    let DirectoryStatus { directory, running, scrub, left_out, not_found } = daemon::look(&config)?;
    let ScrubState { current, last, .. } = scrub.unwrap_or_default();
    let found: Vec<_> = last.iter().chain([&current]).flat_map(|pass| &pass.findings).collect();
    let damaged = last.iter().chain([&current]).map(|pass| pass.damaged).sum::<u64>();
    if stdout().is_terminal() {
        let state = if running { "running" } else { "stopped" };
        let mut lines = vec![
            format!("{:<16}{}", "data directory", output::printable(&directory.display().to_string())),
            format!("{:<16}{state}", "server"),
            format!("{:<16}{}", "last scrub", last.as_ref().map_or("none has ended yet".to_owned(), said)),
            format!(
                "{:<16}{}",
                "scrub now",
                if current.begun_at_ns > 0 { said(&current) } else { "between two".to_owned() }
            ),
        ];
        // Nothing else tells before somebody reads.
        lines.extend(left_out.iter().map(|(number, device)| {
            format!(
                "{:<16}number {}, with DEVICE {device}: what lies on it cannot be read without it",
                "left out", number.0
            )
        }));
        lines.extend(not_found.iter().map(|path| {
            let path = output::printable(&path.display().to_string());
            format!("{:<16}{path}: there is no data directory, or it cannot be read; is its disk mounted?", "not found")
        }));
        output::quiet_pipe(writeln!(stdout(), "{}", lines.join("\n")))?;
        if !found.is_empty() {
            let mut table = Table::new(&["name", "part", "problem"]);
            for one in found {
                table.row(vec![one.name.clone().into(), one.part.clone().into(), one.problem.clone().into()]);
            }
            output::quiet_pipe(writeln!(stdout()))?;
            table.print()?;
        }
    } else {
        let under_way = (current.begun_at_ns > 0).then_some(&current);
        let left_out: Vec<_> =
            left_out.iter().map(|(number, device)| json!({"number": number.0, "device": device.to_string()})).collect();
        let line = json!({
            "data_directory": directory, "running": running, "last_scrub": last, "scrub_under_way": under_way,
            "left_out": left_out, "not_found": not_found,
        });
        output::quiet_pipe(writeln!(stdout(), "{line}"))?;
    }
    let is_incomplete = !left_out.is_empty() || !not_found.is_empty();
    Ok(if damaged > 0 || is_incomplete { Outcome::Found } else { Outcome::Done })
}

fn said(pass: &Scrubbed) -> String {
    let parts = [
        output::count(pass.chunks, "chunk"),
        output::bytes(pass.bytes),
        output::count(pass.manifests, "manifest"),
        format!("{} damaged", pass.damaged),
    ];
    let when = match pass.ended_at_ns {
        Some(at) => format!("ended {}", utc_datetime(at)),
        None => format!("begun {}", utc_datetime(pass.begun_at_ns)),
    };
    format!("{when}: {}", parts.join(", "))
}
