//! `tessera query <expression>`: which topics match, and when.

use std::io;
use std::io::Write;

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::client::Client;
use crate::model::Locator;
use crate::query;
use crate::wire::utc_datetime;

use super::arguments::QueryArguments;
use super::main::Failure;
use super::main::Outcome;
use super::main::connect;
use super::output;
use super::output::Cell;
use super::output::Table;

pub fn run(arguments: &QueryArguments) -> Result<Outcome, Failure> {
    let translated = query::translate(&arguments.expression)?;
    let mut body = within(translated.clone(), arguments.within.as_deref())?;
    if arguments.json {
        output::quiet_pipe(writeln!(io::stdout(), "{body}"))?;
        return Ok(Outcome::Done);
    }
    if let Some(members) = body.as_object_mut() {
        members.extend(arguments.limit.map(|limit| ("limit".to_owned(), json!(limit))));
        members.extend(arguments.explain.then(|| ("explain".to_owned(), json!(true))));
    }
    let client = connect(&arguments.server)?;
    let answer = client.action("query", &body)?.unwrap_or_default();
    let found = found(&answer);
    match &arguments.windows {
        Some(gap) => windows(&client, &translated, &found, *gap)?.print()?,
        None => topics(&found).print()?,
    }
    if let Some(cost) = answer.get("explain") {
        explain(cost);
    }
    Ok(Outcome::Done)
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
    count.checked_mul(factor).ok_or_else(|| "that is too long".to_owned())
}

/// The query about one sequence or topic alone.
fn within(body: Value, locator: Option<&str>) -> Result<Value, Failure> {
    let Some(locator) = locator else { return Ok(body) };
    let name = |name: &str| json!({"name": {"$eq": name}});
    Ok(match Locator::parse(locator)? {
        Locator::Sequence(sequence) => json!({"sequence": name(sequence.as_str()), "$and": [body]}),
        Locator::Topic(topic) => {
            let path = format!("/{}", topic.path.as_str());
            json!({"sequence": name(topic.sequence.as_str()), "topic": name(&path), "$and": [body]})
        }
        Locator::Session { .. } => {
            let message = format!("{locator} is a session: name a sequence or a topic");
            return Err(Failure { outcome: Outcome::Failed, message });
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
        for window in client.action_results("topic_filter_clusterize", &request)? {
            let bound = |key: &str| window.pointer(&format!("/ts/{key}")).and_then(Value::as_i64).unwrap_or_default();
            let (start, end) = (bound("start_ns"), bound("end_ns"));
            table.row(vec![
                Cell::both(output::printable(locator), locator.clone()),
                Cell::number(start.to_string(), start),
                Cell::number(end.to_string(), end),
                Cell::number(output::duration(end.abs_diff(start)), end.abs_diff(start)),
                utc_datetime(start).into(),
            ]);
        }
    }
    Ok(table)
}

/// What a query asks of rows with this tag. Nothing of alternatives between tags.
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

/// For people: on standard error, so that the output stays what it is.
fn explain(cost: &Value) {
    let number = |key: &str| cost.get(key).and_then(Value::as_u64).unwrap_or_default();
    let (chunks, by_segment) = (number("chunks"), number("chunks_skipped_by_segment"));
    let by_statistics = number("chunks_skipped_by_statistics");
    let left = chunks.saturating_sub(by_segment).saturating_sub(by_statistics);
    eprintln!(
        "looked at   {}, rows of {}",
        output::count(number("sequences"), "sequence"),
        output::count(number("topics"), "topic")
    );
    eprintln!(
        "chunks      {chunks}: {by_segment} skipped by times, segments or columns, {by_statistics} by their own statistics, {left} left"
    );
    eprintln!("rows        {} decoded, {} matched", number("rows_read"), number("rows_matched"));
    let duration = |key: &str| output::duration(number(key));
    eprintln!(
        "time        {} in all; catalog {}, rows {}",
        duration("total_ns"),
        duration("catalog_ns"),
        duration("rows_ns")
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_have_a_unit() {
        assert_eq!(gap("500ms"), Ok(500_000_000));
        assert_eq!(gap("1m"), Ok(60_000_000_000));
        assert!(gap("5").is_err() && gap("ms").is_err() && gap("99999999999999999999s").is_err());
    }

    #[test]
    fn windows_ask_for_what_is_about_their_tag() {
        let body = query::translate("A.x > 1 and B.y < 2 and (A.z = 1 or A.z = 2)").unwrap();
        assert_eq!(of_tag(&body, "B"), *json!({"B.y": {"$lt": 2}}).as_object().unwrap());
        assert_eq!(of_tag(&body, "A").len(), 2);
        assert!(of_tag(&body, "C").is_empty());
    }
}
