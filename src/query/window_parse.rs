//! Requests for windows: `topic_filter_clusterize` and `topic_filter_intersect`.

use super::ast::Clusters;
use super::ast::Intersection;
use super::ast::TagPredicate;
use super::error::Problem;
use super::error::QueryError;
use super::json::Json;
use super::parse::DEPTH_MAX;
use super::parse::Parser;
use super::parse::object;
use crate::model::Number;
use crate::model::TimeRange;
use crate::model::TopicName;

/// Topics of one intersection: each is read while the others are.
const TOPICS_MAX: usize = 64;

/// # Errors
/// [`QueryError`] that names the key; an empty `ontology` is one.
pub fn parse_clusters(body: &[u8]) -> Result<Clusters, QueryError> {
    let members = object(body)?;
    let own = clusters("", &members)?;
    match own.rows {
        Some(_) => Ok(own),
        None => Err(at("ontology", Problem::Empty)),
    }
}

/// # Errors
/// [`QueryError`] that names the key; fewer than two topics and topics of several sequences are.
pub fn parse_intersection(body: &[u8]) -> Result<Intersection, QueryError> {
    let members = object(body)?;
    check_keys("", &members, "topics, intersect_dt_ns, timestamp_range")?;
    let topics = member(&members, "topics").ok_or(QueryError::Missing { key: "topics" })?;
    let Json::List(items) = topics else {
        return Err(at("topics", Problem::Kind { expected: "a list of topics", found: topics.kind() }));
    };
    if !(2..=TOPICS_MAX).contains(&items.len()) {
        let found = format!("{} topics", items.len());
        return Err(at("topics", Problem::Value { expected: "2 to 64 topics", found }));
    }
    let range = time_range("timestamp_range", &members)?;
    let mut all: Vec<Clusters> = Vec::new();
    for (number, item) in items.iter().enumerate() {
        let place = format!("topics[{number}]");
        let Json::Object(members) = item else {
            return Err(at(&place, Problem::Kind { expected: "an object", found: item.kind() }));
        };
        let mut own = clusters(&format!("{place}."), members)?;
        // Both hold. Without a time in common there is nothing that anybody could ask for, as in a range that is empty.
        own.range = own.range.intersection(&range).ok_or_else(|| {
            let found = format!("{} and {}", shown(&own.range), shown(&range));
            at(&format!("{place}.timestamp_range"), Problem::Value { expected: "times inside timestamp_range", found })
        })?;
        if let Some(first) = all.first()
            && first.topic.sequence != own.topic.sequence
        {
            let expected = "a topic of the same sequence as the first";
            return Err(at(&format!("{place}.locator"), Problem::Value { expected, found: own.topic.to_string() }));
        }
        // One that is named twice counts once.
        if !all.contains(&own) {
            all.push(own);
        }
    }
    let tolerance_ns = nanoseconds("", &members, "intersect_dt_ns")?;
    Ok(Intersection { topics: all, tolerance_ns })
}

/// Refuses what would be left out of account in silence.
fn check_keys(place: &str, members: &[(String, Json)], known: &'static str) -> Result<(), QueryError> {
    match members.iter().find(|(key, _)| !known.split(", ").any(|known| known == key)) {
        Some((key, _)) => Err(at(&format!("{place}{key}"), Problem::UnknownKey { known })),
        None => Ok(()),
    }
}

fn clusters(place: &str, members: &[(String, Json)]) -> Result<Clusters, QueryError> {
    check_keys(place, members, "locator, ontology, clustering_dt_ns, timestamp_range")?;
    let locator = match member(members, "locator") {
        Some(Json::Text(text)) => text,
        Some(other) => {
            return Err(at(&format!("{place}locator"), Problem::Kind { expected: "a text", found: other.kind() }));
        }
        None => return Err(at(&format!("{place}locator"), Problem::Kind { expected: "a text", found: "nothing" })),
    };
    let topic = TopicName::parse(locator).map_err(|cause| {
        let found = cause.to_string().chars().take(200).collect();
        at(&format!("{place}locator"), Problem::Value { expected: "sequence/topic", found })
    })?;
    let ontology = format!("{place}ontology");
    let mut rows: Vec<TagPredicate> = match member(members, "ontology") {
        None | Some(Json::Null) => Vec::new(),
        Some(value) => Parser::since_globs().ontology(&ontology, value, DEPTH_MAX)?,
    };
    if let [first, second, ..] = rows.as_slice() {
        let (first, second) = (first.tag.clone(), second.tag.clone());
        return Err(at(&ontology, Problem::Tags { first, second }));
    }
    let gap_ns = nanoseconds(place, members, "clustering_dt_ns")?;
    Ok(Clusters { topic, gap_ns, rows: rows.pop(), range: time_range(&format!("{place}timestamp_range"), members)? })
}

fn member<'a>(members: &'a [(String, Json)], key: &str) -> Option<&'a Json> {
    members.iter().find(|(own, _)| own == key).map(|(_, value)| value)
}

fn at(key: &str, problem: Problem) -> QueryError {
    QueryError::Key { key: key.to_owned(), problem }
}

/// Absent and null are 0.
fn nanoseconds(place: &str, members: &[(String, Json)], key: &str) -> Result<u64, QueryError> {
    let expected = "nanoseconds, 0 or more";
    match member(members, key) {
        None | Some(Json::Null) => Ok(0),
        Some(Json::Number(Number::Integer(n))) if u64::try_from(*n).is_ok() => Ok(u64::try_from(*n).unwrap_or(0)),
        Some(Json::Number(_)) => {
            Err(at(&format!("{place}{key}"), Problem::Value { expected, found: "another number".to_owned() }))
        }
        Some(other) => Err(at(&format!("{place}{key}"), Problem::Kind { expected, found: other.kind() })),
    }
}

/// `{"start_ns": …, "end_ns": …}`, each bound optional, the end exclusive.
fn time_range(place: &str, members: &[(String, Json)]) -> Result<TimeRange, QueryError> {
    let bounds = match member(members, "timestamp_range") {
        None | Some(Json::Null) => return Ok(TimeRange::ALL),
        Some(Json::Object(bounds)) => bounds,
        Some(other) => return Err(at(place, Problem::Kind { expected: "an object", found: other.kind() })),
    };
    let bound = |key: &str, open: fn(i128) -> bool| match member(bounds, key) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::Number(Number::Integer(n))) => match i64::try_from(*n) {
            Ok(n) => Ok(Some(n)),
            // Beyond every time there can be, on the side where that leaves nothing out.
            Err(_) if open(*n) => Ok(None),
            Err(_) => {
                let expected = "a time of 64 bits, in nanoseconds";
                Err(at(&format!("{place}.{key}"), Problem::Value { expected, found: n.to_string() }))
            }
        },
        Some(other) => {
            Err(at(&format!("{place}.{key}"), Problem::Kind { expected: "an integer", found: other.kind() }))
        }
    };
    if let Some((key, _)) = bounds.iter().find(|(key, _)| key != "start_ns" && key != "end_ns") {
        return Err(at(&format!("{place}.{key}"), Problem::UnknownKey { known: "start_ns, end_ns" }));
    }
    let (start, end) = (bound("start_ns", |n| n < 0)?, bound("end_ns", |n| n > 0)?);
    TimeRange::new(start, end).map_err(|cause| at(place, Problem::TimeRange(cause)))
}

fn shown(range: &TimeRange) -> String {
    let bound = |own: Option<i64>| own.map_or_else(|| "…".to_owned(), |own| own.to_string());
    format!("[{}, {})", bound(range.start()), bound(range.end()))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use serde_json::json;

    use super::*;

    fn clusters(change: Value) -> Result<Clusters, QueryError> {
        let mut body = json!({"locator": "a/x", "clustering_dt_ns": 5, "ontology": {"A.t": {"$match": "a*"}}, "timestamp_range": null});
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        parse_clusters(body.to_string().as_bytes())
    }

    #[test]
    fn a_bound_beyond_all_times_leaves_none_out() {
        let range = |bounds: Value| clusters(json!({"timestamp_range": bounds})).unwrap().range;
        assert_eq!(range(json!({"end_ns": 1u64 << 63})).end(), None);
        assert_eq!(range(json!({"start_ns": i64::MIN, "end_ns": u64::MAX})).end(), None);
    }

    /// Goal: no range is dropped because there is another.
    #[test]
    fn ranges_of_an_intersection_and_of_its_topics_hold_both() {
        let parsed = |outer: Value, own: Value| {
            let body = json!({"topics": [{"locator": "a/x", "timestamp_range": own}, {"locator": "a/y"}], "timestamp_range": outer});
            parse_intersection(body.to_string().as_bytes())
        };
        let range = |start, end| TimeRange::new(start, end).unwrap();
        let ranges = |outer: Value, own: Value| {
            parsed(outer, own).unwrap().topics.iter().map(|own| own.range).collect::<Vec<_>>()
        };
        let (outer, own) = (json!({"start_ns": 0, "end_ns": 10}), json!({"start_ns": 5, "end_ns": 20}));
        assert_eq!(ranges(outer.clone(), own.clone()), [range(Some(5), Some(10)), range(Some(0), Some(10))]);
        assert_eq!(ranges(outer.clone(), json!({"start_ns": 3})), [range(Some(3), Some(10)), range(Some(0), Some(10))]);
        assert_eq!(ranges(Value::Null, own), [range(Some(5), Some(20)), TimeRange::ALL]);
        let error = parsed(outer, json!({"start_ns": 10})).unwrap_err().to_string();
        assert!(error.contains("topics[0].timestamp_range") && error.contains("[10, …) and [0, 10)"), "{error}");
    }

    /// The key `locator`, which says old in a query, is everybody's here.
    #[test]
    fn match_is_a_glob_in_windows() {
        for tag in ["A", "string"] {
            let rows = clusters(json!({"ontology": {format!("{tag}.t"): {"$match": "a*"}}})).unwrap().rows;
            assert!(format!("{rows:?}").contains("Glob"), "{rows:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (change, key) in [
            (json!({"ontology": {}}), "ontology"),
            (json!({"ontology": {"A.x": {"$eq": 1}, "B.x": {"$eq": 1}}}), "(A, B)"),
            (json!({"clustering_dt_ns": -1}), "clustering_dt_ns"),
            (json!({"timestamp_range": {"start_ns": 2, "end_ns": 2}}), "timestamp_range"),
            (json!({"timestamp_range": {"begin": 2}}), "timestamp_range.begin"),
            (json!({"timestamp_range": {"start_ns": 1u64 << 63}}), "timestamp_range.start_ns"),
            (json!({"timestamp_range": {"end_ns": -1e19}}), "timestamp_range.end_ns"),
            (json!({"locator": "a"}), "locator"),
        ] {
            let error = clusters(change.clone()).unwrap_err().to_string();
            assert!(error.contains(key), "{change}: {error}");
        }
    }
}
