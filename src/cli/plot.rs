//! A column of numbers over time, drawn: on a terminal, or as a picture.
//!
//! However many rows there are, what is held of them is a few numbers for each column of pixels ([`Series`]).

mod axis;
mod column;
mod font;
mod picture;
mod png;
mod series;
mod terminal;
mod unit;

pub use column::Column;
pub use column::hidden_by;
pub use picture::COLUMNS as PICTURE_COLUMNS;
pub use picture::picture;
pub use series::Series;
pub use terminal::Look;
pub use terminal::columns;
pub use terminal::text;
pub use unit::unit;

/// What is drawn: one column of one topic.
#[derive(Debug)]
pub struct Chart {
    pub title: String,
    /// Of the values, when the schema tells it.
    pub unit: Option<String>,
    pub series: Series,
    /// First and last time of each stretch of rows that satisfy the query, ascending.
    pub hits: Vec<(i64, i64)>,
}
