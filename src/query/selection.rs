//! Which rows and columns a reader wants of a topic: the extension of GetFlightInfo that its tickets carry to DoGet.

use super::ast::TagPredicate;
use super::error::Problem;
use super::error::QueryError;
use super::json::Json;
use super::parse::DEPTH_MAX;
use super::parse::Parser;
use super::parse::object;

/// Columns of one selection.
const COLUMNS_MAX: usize = 256;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection {
    /// Paths of fields, each with all below it; `None`: all. The time is always there.
    pub columns: Option<Vec<Vec<String>>>,
    /// `None`: every row.
    pub rows: Option<TagPredicate>,
}

/// Reads `{"columns": ["acceleration.x", …], "where": {"IMU.acceleration.x": {"$gt": 9.8}}}`; null and absent are all.
///
/// # Errors
/// [`QueryError`] that names the key.
pub fn parse_selection(body: &[u8]) -> Result<Selection, QueryError> {
    let members = object(body)?;
    let mut selection = Selection::default();
    for (key, value) in &members {
        let at = |problem| QueryError::Key { key: key.clone(), problem };
        match (key.as_str(), value) {
            ("columns" | "where", Json::Null) => {}
            ("columns", Json::List(items)) if items.len() <= COLUMNS_MAX => {
                let path = |item: &Json| match item {
                    Json::Text(text) if !text.is_empty() => Ok(text.split('.').map(str::to_owned).collect()),
                    other => Err(at(Problem::Kind { expected: "names of fields", found: other.kind() })),
                };
                selection.columns = Some(items.iter().map(path).collect::<Result<_, _>>()?);
            }
            ("columns", Json::List(items)) => {
                let (op, count, max) = ("columns".to_owned(), items.len(), COLUMNS_MAX);
                return Err(at(Problem::Items { op, count, max }));
            }
            ("columns", other) => {
                return Err(at(Problem::Kind { expected: "a list of fields", found: other.kind() }));
            }
            ("where", value) => {
                let mut tags = Parser::since_globs().ontology("where", value, DEPTH_MAX)?;
                if let [first, second, ..] = tags.as_slice() {
                    let (first, second) = (first.tag.clone(), second.tag.clone());
                    return Err(at(Problem::Tags { first, second }));
                }
                selection.rows = tags.pop();
            }
            _ => return Err(at(Problem::UnknownKey { known: "columns, where" })),
        }
    }
    Ok(selection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selections_are_read_and_mistakes_named() {
        let own = parse_selection(br#"{"columns": ["a.b", "c"], "where": {"T.x": {"$gt": 1}}}"#).unwrap();
        let names = |path: &[&str]| path.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(own.columns, Some(vec![names(&["a", "b"]), names(&["c"])]));
        assert_eq!(own.rows.unwrap().tag, "T");
        assert_eq!(parse_selection(br#"{"columns": null, "where": {}}"#), Ok(Selection::default()));
        for (body, key) in [
            (r#"{"columns": "a"}"#, "columns"),
            (r#"{"columns": [1]}"#, "columns"),
            (r#"{"where": {"A.x": {"$eq": 1}, "B.x": {"$eq": 1}}}"#, "(A, B)"),
            (r#"{"when": 1}"#, "when"),
        ] {
            assert!(parse_selection(body.as_bytes()).unwrap_err().to_string().contains(key), "{body}");
        }
    }
}
