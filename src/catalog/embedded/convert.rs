//! Between SQLite's values and ours. What does not parse was not written by us: it is damage, and says where.

use rusqlite::Row;
use uuid::Uuid;

use super::fault::Outcome;
use crate::catalog::CatalogError;
use crate::model::TimeBounds;

pub fn uuid(row: &Row<'_>, column: &str) -> Outcome<Uuid> {
    Ok(Uuid::from_bytes(row.get::<_, [u8; 16]>(column)?))
}

/// A text column through one of the model's parsers.
pub fn parsed<T, E: std::fmt::Display>(
    row: &Row<'_>,
    column: &'static str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Outcome<T> {
    let text: String = row.get(column)?;
    Ok(parse(&text).map_err(|error| CatalogError::corrupt(format_args!("column {column}"), error))?)
}

/// An integer column that became narrower or unsigned on our side.
pub fn narrow<T: TryFrom<i64>>(row: &Row<'_>, column: &'static str) -> Outcome<T> {
    let number: i64 = row.get(column)?;
    Ok(T::try_from(number).map_err(|_| damaged(column, number))?)
}

/// A state column through the model's table of numbers.
pub fn state<T>(row: &Row<'_>, column: &'static str, from_number: fn(i64) -> Option<T>) -> Outcome<T> {
    let number: i64 = row.get(column)?;
    Ok(from_number(number).ok_or_else(|| damaged(column, number))?)
}

/// The columns `first` and `last`; `None` when there are no rows.
pub fn bounds(row: &Row<'_>) -> Outcome<Option<TimeBounds>> {
    let (first, last): (Option<i64>, Option<i64>) = (row.get("first")?, row.get("last")?);
    Ok(first.zip(last).map(|(first, last)| TimeBounds { first, last }))
}

/// A count of ours as SQLite keeps it. Sums of bytes and rows stay far below the limit.
pub fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn damaged(column: &'static str, number: i64) -> CatalogError {
    CatalogError::corrupt(format_args!("column {column}"), format_args!("{number} is no value of ours"))
}
