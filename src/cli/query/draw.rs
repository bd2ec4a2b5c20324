//! The numbers that a query asks about, around its hits, as charts.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use arrow::datatypes::Schema;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::client::Client;
use crate::client::ClientError;
use crate::client::DataInfo;
use crate::client::Interval;
use crate::model::Locator;
use crate::model::TimeRange;
use crate::model::TopicName;
use crate::wire::InfoExtras;

use super::super::field;
use super::super::main::Failure;
use super::super::main::Outcome;
use super::super::plot::Chart;
use super::super::plot::Column;
use super::super::plot::Series;
use super::super::plot::unit;
use super::of_tag;
use super::unknown::fields;

/// Charts of one query; the rest are counted.
const CHARTS_MAX: usize = 16;
/// Stretches of hits that are told apart in one chart: more than it has columns.
const HITS_MAX: u64 = 4096;
/// Around a single hit, in rows as they come on average.
const ROWS_AROUND: u64 = 50;

/// What came of drawing.
pub struct Drawn {
    pub charts: Vec<Chart>,
    /// Charts that there was no room for.
    pub left_out: usize,
}

/// * `found`: locators and tags of the topics that match.
/// * `columns`: of pixels, of each chart.
///
/// Reads the time and the one column of each chart. Holds, of each, some numbers for each column of pixels.
///
/// # Errors
/// Where no topic has a number to draw, with the fields that were looked at; what asking and reading says.
pub fn draw(client: &Client, body: &Value, found: &[(String, String)], columns: usize) -> Result<Drawn, Failure> {
    let asked = fields(body);
    let (mut drawn, mut without_numbers) = (Drawn { charts: Vec::new(), left_out: 0 }, BTreeSet::new());
    for (locator, tag) in found {
        let Ok(Locator::Topic(topic)) = Locator::parse(locator) else { continue };
        let Some(paths) = asked.get(tag) else { continue };
        let schema = client.schema(&topic)?;
        let mut ready = numbers(&schema, tag, paths, &mut without_numbers);
        let room = CHARTS_MAX - drawn.charts.len();
        drawn.left_out += ready.len().saturating_sub(room);
        ready.truncate(room);
        if !ready.is_empty() {
            drawn.charts.extend(charts(client, &topic, &of_tag(body, tag), ready, columns)?);
        }
    }
    match drawn.charts.is_empty() {
        true => Err(nothing(&asked, &without_numbers)),
        false => Ok(drawn),
    }
}

/// A column that can be drawn.
struct Ready {
    name: String,
    unit: Option<String>,
    column: Column,
}

/// The paths that lead to numbers; the others go to `without_numbers` with what they lead to.
fn numbers(schema: &Schema, tag: &str, paths: &BTreeSet<String>, without_numbers: &mut BTreeSet<String>) -> Vec<Ready> {
    let mut ready = Vec::new();
    for path in paths.iter().filter(|path| *path != "timestamp_ns") {
        let steps = field::steps(path);
        let Some(found) = field::find(schema, &steps) else { continue };
        match field::leaf_type(&found, &steps) {
            Some(own) if Column::draws(own) => {
                ready.push(Ready { name: format!("{tag}.{path}"), unit: unit(&found), column: Column { steps } });
            }
            Some(own) => {
                let list = if field::item(own).is_some() { ": name an element, such as [0] or [?]" } else { "" };
                without_numbers.insert(format!("{tag}.{path} is {}{list}", kind(own)));
            }
            None => {}
        }
    }
    ready
}

/// The type in a word.
fn kind(own: &arrow::datatypes::DataType) -> String {
    use arrow::datatypes::DataType as T;
    match own {
        T::Struct(_) => "a group of fields".to_owned(),
        _ if field::item(own).is_some() => "a list".to_owned(),
        T::Utf8 | T::LargeUtf8 | T::Utf8View => "text".to_owned(),
        other => other.to_string().to_lowercase(),
    }
}

fn nothing(asked: &BTreeMap<String, BTreeSet<String>>, without_numbers: &BTreeSet<String>) -> Failure {
    let message = match (without_numbers.is_empty(), asked.is_empty()) {
        (false, _) => {
            let list = without_numbers.iter().cloned().collect::<Vec<_>>().join("; ");
            format!("there is no number to draw: {list}")
        }
        (true, true) => {
            "there is nothing to draw: the expression names no field of rows, such as IMU.acceleration.x".to_owned()
        }
        (true, false) => "there is nothing to draw: the topics that were found have none of these fields".to_owned(),
    };
    Failure { outcome: Outcome::Failed, message }
}

fn charts(
    client: &Client,
    topic: &TopicName,
    rows: &Map<String, Value>,
    ready: Vec<Ready>,
    columns: usize,
) -> Result<Vec<Chart>, ClientError> {
    let locator = Locator::Topic(topic.clone());
    let info = client.info(&locator, TimeRange::ALL)?;
    let Some(data) = info.endpoints.first().map(|endpoint| endpoint.topic.data_info) else { return Ok(Vec::new()) };
    let Some(whole) = data.interval else { return Ok(Vec::new()) };
    let (range, hits) = around(client, topic, rows, &data, whole)?;
    let mut charts = Vec::new();
    for Ready { name, unit, column } in ready {
        let mut series = Series::new(range.start_ns, range.end_ns, columns);
        let selection = Some(json!({"columns": [column.selected()]}).to_string());
        let times = TimeRange::new(Some(range.start_ns), range.end_ns.checked_add(1)).unwrap_or(TimeRange::ALL);
        let info = client.info_with(&locator, times, InfoExtras { selection, ..InfoExtras::default() })?;
        for endpoint in &info.endpoints {
            for batch in client.get(&endpoint.ticket)? {
                let (times, values) = column.values(&batch?).map_err(|error| ClientError::Answer {
                    what: format!("reading {topic}"),
                    cause: error.to_string(),
                })?;
                times.values().iter().zip(values.iter()).for_each(|(time, value)| series.push(*time, value));
            }
        }
        charts.push(Chart { title: format!("{topic}  {name}"), unit, series, hits: hits.clone() });
    }
    Ok(charts)
}

/// The time to draw, and the stretches of hits in it. Without conditions that are a topic's alone: all of it, unmarked.
fn around(
    client: &Client,
    topic: &TopicName,
    rows: &Map<String, Value>,
    data: &DataInfo,
    whole: Interval,
) -> Result<(Interval, Vec<(i64, i64)>), ClientError> {
    if rows.is_empty() {
        return Ok((whole, Vec::new()));
    }
    let row = whole.end_ns.abs_diff(whole.start_ns) / data.total_row_count.saturating_sub(1).max(1);
    let hits = stretches(client, topic, rows, whole, row)?;
    let (Some((first, _)), Some((_, last))) = (hits.first().copied(), hits.last().copied()) else {
        return Ok((whole, hits));
    };
    let margin = (last.abs_diff(first) / 10).max(row.saturating_mul(ROWS_AROUND));
    let range = Interval {
        start_ns: first.saturating_sub_unsigned(margin).max(whole.start_ns),
        end_ns: last.saturating_add_unsigned(margin).min(whole.end_ns),
    };
    // What was one stretch at the width of the whole topic may be many at this one.
    let hits = stretches(client, topic, rows, range, row)?;
    Ok((range, hits))
}

/// Stretches of hits in a time, told apart as far as a chart can show them: at most about [`HITS_MAX`]. Rows that follow each
/// other, `row_ns` apart as a rule, make one.
fn stretches(
    client: &Client,
    topic: &TopicName,
    rows: &Map<String, Value>,
    range: Interval,
    row_ns: u64,
) -> Result<Vec<(i64, i64)>, ClientError> {
    let gap = (range.end_ns.abs_diff(range.start_ns) / HITS_MAX).max(row_ns.saturating_add(row_ns / 2)).max(1);
    let mut request = json!({"locator": topic.to_string(), "clustering_dt_ns": gap, "ontology": rows});
    if let (Some(end), Some(request)) = (range.end_ns.checked_add(1), request.as_object_mut()) {
        request.insert("timestamp_range".to_owned(), json!({"start_ns": range.start_ns, "end_ns": end}));
    }
    let mut found = Vec::new();
    client.action_each("topic_filter_clusterize", &request, |window| {
        let bound = |key: &str| window.pointer(&format!("/ts/{key}")).and_then(Value::as_i64);
        found.extend(bound("start_ns").zip(bound("end_ns")));
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;
    use arrow::datatypes::Field;

    use super::*;

    #[test]
    fn only_numbers_are_drawn_and_the_rest_is_named() {
        let item = Field::new("item", DataType::Float32, true);
        let schema = Schema::new(vec![
            Field::new("timestamp_ns", DataType::Int64, false),
            Field::new("x", DataType::Float64, true),
            Field::new("ok", DataType::Boolean, true),
            Field::new("frame", DataType::Utf8, true),
            Field::new("list", DataType::List(item.into()), true),
        ]);
        let paths = ["x", "ok", "frame", "list", "list[2]", "timestamp_ns", "nobody"];
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        let mut without = BTreeSet::new();
        let names: Vec<String> = numbers(&schema, "A", &paths, &mut without).into_iter().map(|own| own.name).collect();
        assert_eq!(names, ["A.list[2]", "A.ok", "A.x"]);
        let message = nothing(&BTreeMap::new(), &without).message;
        assert!(
            message.contains("A.frame is text") && message.contains("A.list is a list: name an element"),
            "{message}"
        );
    }
}
