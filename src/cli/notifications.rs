//! `tessera notifications <locator>`: what went wrong with a sequence and its topics, as the server or its clients noted it;
//! with `--clear` it is forgotten then.

use std::collections::BTreeSet;

use serde_json::Value;
use serde_json::json;

use crate::client::Client;
use crate::model::Locator;
use crate::model::TimeRange;
use crate::wire::InfoExtras;

use super::arguments::NotificationsArguments;
use super::main::Failure;
use super::main::Outcome;
use super::main::connect;
use super::main::wrong_usage;
use super::output;
use super::output::Cell;
use super::output::Table;

pub fn run(arguments: &NotificationsArguments) -> Result<Outcome, Failure> {
    let locator = Locator::parse(&arguments.locator).map_err(wrong_usage)?;
    let client = connect(&arguments.server)?;
    let mut table = Table::new(&["name", "type", "created", "message"]);
    let mut targets = Vec::new();
    match &locator {
        Locator::Topic(topic) => targets.push(("topic", topic.to_string())),
        Locator::Sequence(sequence) => {
            targets.push(("sequence", sequence.to_string()));
            targets.extend(topics(&client, &locator)?.into_iter().map(|topic| ("topic", topic)));
        }
        Locator::Session { .. } => {
            return Err(Failure::usage(format!("{locator} is a session: name a sequence or a topic")));
        }
    }
    let mut told = Vec::new();
    for (kind, target) in targets {
        if list(&client, &format!("{kind}_notification_list"), &target, &mut table)? > 0 {
            told.push((kind, target));
        }
    }
    table.print()?;
    // Behind the list, so that it was seen: but for what came in between.
    for (kind, target) in told.iter().filter(|_| arguments.clear) {
        client.action(&format!("{kind}_notification_purge"), &json!({"locator": target}))?;
    }
    Ok(Outcome::Done)
}

/// Those of open sessions too, by name.
fn topics(client: &Client, locator: &Locator) -> Result<BTreeSet<String>, Failure> {
    let extras = InfoExtras { storage: false, open: true, selection: None };
    let info = client.info_with(locator, TimeRange::ALL, extras)?;
    let open =
        info.sequence.iter().flat_map(|own| &own.sessions).flat_map(|session| session.open_topics.iter().flatten());
    let names = info.endpoints.iter().map(|endpoint| &endpoint.topic.resource_locator);
    let names = names.chain(open.map(|topic| &topic.resource_locator));
    Ok(names.map(|name| name.trim_start_matches('/').to_owned()).collect())
}

/// Returns how many there are.
fn list(client: &Client, action: &str, locator: &str, table: &mut Table) -> Result<usize, Failure> {
    let answer = client.action(action, &json!({"locator": locator}))?.unwrap_or_default();
    let all = answer.get("notifications").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    for one in all {
        let text = |key: &str| one.get(key).and_then(Value::as_str).unwrap_or_default();
        let both = |text: &str| Cell::both(output::printable(text), text);
        table.row(vec![
            both(locator),
            both(text("notification_type")),
            both(text("created_datetime")),
            both(text("msg")),
        ]);
    }
    Ok(all.len())
}
