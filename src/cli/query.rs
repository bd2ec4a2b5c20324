//! `tessera query <expression>`: which topics match, and when.

mod draw;
mod explain;
mod misfit;
mod unknown;

use std::io;
use std::io::IsTerminal;
use std::io::Write;

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::client::Client;
use crate::io::NewFile;
use crate::io::now;
use crate::model::Locator;
use crate::model::TimeRange;
use crate::query;
use crate::wire::utc_datetime;

use self::draw::Drawn;
pub use self::unknown::never_of_rows;
use super::arguments::QueryArguments;
use super::main::Failure;
use super::main::Outcome;
use super::main::connect;
use super::main::wrong_usage;
use super::output;
use super::output::Cell;
use super::output::Table;
use super::plot;
use super::plot::Look;

pub fn run(arguments: &QueryArguments) -> Result<Outcome, Failure> {
    let translated = query::translate(&arguments.expression).map_err(wrong_usage)?;
    let inside = |body| within(body, arguments.within.as_deref());
    let mut body = inside(translated.clone())?;
    if arguments.json {
        output::quiet_pipe(writeln!(io::stdout(), "{body}"))?;
        return Ok(Outcome::Done);
    }
    if let Some(members) = body.as_object_mut() {
        members.extend(arguments.limit.map(|limit| ("limit".to_owned(), json!(limit))));
        members.extend(arguments.explain.then(|| ("explain".to_owned(), json!(true))));
    }
    if arguments.windows.is_some() || arguments.plot || arguments.png.is_some() {
        check_each_tag(&translated)?;
    }
    // Before anything is read for it.
    let picture = arguments.png.as_deref().map(NewFile::begin).transpose()?;
    let client = connect(&arguments.server)?;
    let asked = now();
    let answer = client.action("query", &body)?.unwrap_or_default();
    let asked_ns = u64::try_from(asked.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let found = found(&answer);
    if found.is_empty() {
        if let Some(locator) = &arguments.within {
            // Nothing is found where nothing is: that is no answer to what was asked.
            client.info(&Locator::parse(locator).map_err(wrong_usage)?, TimeRange::ALL)?;
        }
        warn_of_unknown(&client, &translated, arguments.within.as_deref());
    }
    match &arguments.windows {
        _ if arguments.plot || picture.is_some() => drawn(&client, &translated, &found, arguments.plot, picture)?,
        Some(gap) => windows(&client, &translated, &found, *gap)?.print()?,
        None => topics(&found).print()?,
    }
    if let Some(cost) = answer.get("explain") {
        say(explain::explained(cost, asked_ns).trim_end());
    }
    Ok(Outcome::Done)
}

/// For people: on standard error, so that the output stays what it is. When that is closed there is nobody to tell.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Says which fields nobody has: an answer without them is no answer to what was meant.
fn warn_of_unknown(client: &Client, body: &Value, locator: Option<&str>) {
    let lines = unknown::unknown(client, body, |query| within(query, locator).unwrap_or_default());
    match lines {
        Ok(lines) => lines.iter().for_each(|line| say(&format!("tessera: nothing was found: {line}"))),
        Err(error) => say(&format!("tessera: nothing was found, and whether the fields exist is not known: {error}")),
    }
}

/// Charts, on the terminal, as a picture, or both.
fn drawn(
    client: &Client,
    body: &Value,
    found: &[(String, String)],
    on_terminal: bool,
    picture: Option<NewFile>,
) -> Result<(), Failure> {
    if found.is_empty() {
        say("tessera: no hits, so nothing is drawn");
        return Ok(());
    }
    let look = Look::of_output(io::stdout().is_terminal());
    let columns = if picture.is_some() { plot::PICTURE_COLUMNS } else { plot::columns(look) };
    let Drawn { charts, left_out } = draw::draw(client, body, found, columns)?;
    if on_terminal {
        let text = charts.iter().map(|chart| plot::text(chart, look)).collect::<Vec<_>>().join("\n");
        output::quiet_pipe(io::stdout().write_all(text.as_bytes()))?;
    }
    if let Some(mut file) = picture {
        file.write_all(&plot::picture(&charts)?)?;
        file.finish()?;
    }
    if left_out > 0 {
        say(&format!("tessera: {} more were not drawn: narrow it with --in", output::count(left_out as u64, "chart")));
    }
    Ok(())
}

/// Nanoseconds of `500ms`, `2s`, `10us`, `5ns`, `1m`.
pub fn gap(text: &str) -> Result<u64, String> {
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(at);
    let factor = match unit {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        _ => return Err("write a number and ns, us, ms, s or m, such as 500ms".to_owned()),
    };
    let count: u64 = digits.parse().map_err(|_| "write a number in front of the unit".to_owned())?;
    // The wire's 0 is one window around everything, which nobody means by it.
    match count.checked_mul(factor) {
        None => Err("that is too long".to_owned()),
        Some(0) => Err("write 1ns or more: rows of one time are in one window then".to_owned()),
        Some(gap) => Ok(gap),
    }
}

/// The query about one sequence or topic alone.
fn within(body: Value, locator: Option<&str>) -> Result<Value, Failure> {
    let Some(locator) = locator else { return Ok(body) };
    let name = |name: &str| json!({"name": {"$eq": name}});
    Ok(match Locator::parse(locator).map_err(wrong_usage)? {
        Locator::Sequence(sequence) => json!({"sequence": name(sequence.as_str()), "$and": [body]}),
        Locator::Topic(topic) => {
            let path = format!("/{}", topic.path.as_str());
            json!({"sequence": name(topic.sequence.as_str()), "topic": name(&path), "$and": [body]})
        }
        Locator::Session { .. } => {
            return Err(Failure::usage(format!("{locator} is a session: name a sequence or a topic")));
        }
    })
}

/// Locator and tag of each topic.
fn found(answer: &Value) -> Vec<(String, String)> {
    let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |topic: &Value, key: &str| topic.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let items = list(answer.get("items"));
    let topics = items.iter().flat_map(|item| list(item.get("topics")));
    topics.map(|topic| (text(&topic, "locator"), text(&topic, "ontology_tag"))).collect()
}

fn topics(found: &[(String, String)]) -> Table {
    let mut table = Table::new(&["topic", "tag"]);
    for (locator, tag) in found {
        table.row(vec![Cell::both(output::printable(locator), locator.clone()), tag.as_str().into()]);
    }
    table
}

/// When the conditions hold, per topic that they are about.
fn windows(client: &Client, body: &Value, found: &[(String, String)], gap_ns: u64) -> Result<Table, Failure> {
    let mut table = Table::new(&["topic", "start_ns", "end_ns", "lasts", "starts"]);
    for (locator, tag) in found {
        let rows = of_tag(body, tag);
        if rows.is_empty() {
            continue;
        }
        let request = json!({"locator": locator, "clustering_dt_ns": gap_ns, "ontology": rows});
        client.action_each("topic_filter_clusterize", &request, |window| {
            let bound = |key: &str| window.pointer(&format!("/ts/{key}")).and_then(Value::as_i64).unwrap_or_default();
            let (start, end) = (bound("start_ns"), bound("end_ns"));
            table.row(vec![
                Cell::both(output::printable(locator), locator.clone()),
                Cell::number(start.to_string(), start),
                Cell::number(end.to_string(), end),
                Cell::number(output::duration(end.abs_diff(start)), end.abs_diff(start)),
                utc_datetime(start).into(),
            ]);
        })?;
    }
    Ok(table)
}

/// Refuses a query of which no topic has a part of its own that says when it holds.
fn check_each_tag(body: &Value) -> Result<(), Failure> {
    match joint_around_rows(body) {
        Some(joint) => Err(Failure::usage(format!(
            "`{}` between conditions on several tags, or on rows and what else there is, holds for sequences: no row of a topic \
             says when. Ask for each part in a query of its own, or for all of them without --windows, --plot and --png",
            joint.trim_start_matches('$')
        ))),
        None => Ok(()),
    }
}

/// The `$or` or `$not` around whole queries with conditions on rows.
fn joint_around_rows(body: &Value) -> Option<&str> {
    body.as_object()?.iter().find_map(|(key, value)| {
        let parts = || value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        match key.as_str() {
            "$or" | "$not" => parts().iter().any(has_rows).then_some(key.as_str()),
            "$and" => parts().iter().find_map(joint_around_rows),
            _ => None,
        }
    })
}

fn has_rows(body: &Value) -> bool {
    match body {
        Value::Object(members) => {
            members.iter().any(|(key, value)| key == "ontology" || key.starts_with('$') && has_rows(value))
        }
        Value::Array(parts) => parts.iter().any(has_rows),
        _ => false,
    }
}

/// What a query asks of rows with this tag.
fn of_tag(body: &Value, tag: &str) -> Map<String, Value> {
    let members = body.get("ontology").and_then(Value::as_object).cloned().unwrap_or_default();
    let own = members.into_iter().filter(|(key, value)| is_about(key, value, tag)).collect();
    let parts = body.get("$and").and_then(Value::as_array).into_iter().flatten();
    parts.fold(own, |mut own: Map<String, Value>, part| {
        own.extend(of_tag(part, tag));
        own
    })
}

fn is_about(key: &str, value: &Value, tag: &str) -> bool {
    match value {
        Value::Array(items) if key.starts_with('$') => items.iter().any(|item| is_about("$not", item, tag)),
        Value::Object(members) if key.starts_with('$') => members.iter().any(|(key, value)| is_about(key, value, tag)),
        _ => key.split_once('.').is_some_and(|(own, _)| own == tag),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_have_a_unit() {
        assert_eq!(gap("500ms"), Ok(500_000_000));
        assert_eq!(gap("1m"), Ok(60_000_000_000));
        assert!(gap("0ms").is_err_and(|why| why.contains("1ns")));
        assert!(gap("5").is_err() && gap("ms").is_err() && gap("99999999999999999999s").is_err());
    }

    #[test]
    fn windows_of_alternatives_between_tags_are_refused() {
        let joint = |text: &str| joint_around_rows(&query::translate(text).unwrap()).map(str::to_owned);
        for text in ["A.x > 1 or B.y < 2", "sequence.name = 'a' and (A.x > 1 or sequence.metadata.n = 7)"] {
            assert_eq!(joint(text).as_deref(), Some("$or"), "{text}");
        }
        assert_eq!(joint("not (A.x > 1 and B.y > 1)").as_deref(), Some("$not"));
        for text in [
            "A.x > 1 or A.y < 2",
            "not A.x > 1 and (B.x = 1 or B.y = 2)",
            "A.x = 1 and (sequence.name = 'a' or topic.name = 'b')",
            "A.x = 1 and (sequence.metadata.ontology = 1 or topic.name = 'b')",
        ] {
            assert_eq!(joint(text), None, "{text}");
        }
    }

    #[test]
    fn windows_ask_for_what_is_about_their_tag() {
        let body = query::translate("A.x > 1 and B.y < 2 and (A.z = 1 or A.z = 2)").unwrap();
        assert_eq!(of_tag(&body, "B"), *json!({"B.y": {"$lt": 2}}).as_object().unwrap());
        assert_eq!(of_tag(&body, "A").len(), 2);
        assert!(of_tag(&body, "C").is_empty());
    }
}
