//! What commands print: a table on a terminal, one JSON object per line on a pipe.

use std::io;
use std::io::IsTerminal;
use std::io::Write;

use serde_json::Map;
use serde_json::Value;

/// One value of a row: as people read it, and as programs do.
pub struct Cell {
    text: String,
    value: Value,
    right: bool,
}

impl Cell {
    /// A number with a form for people, aligned to the right.
    pub fn number(text: impl Into<String>, value: impl Into<Value>) -> Self {
        Self { text: text.into(), value: value.into(), right: true }
    }

    /// A text for people that programs see as something else.
    pub fn both(text: impl Into<String>, value: impl Into<Value>) -> Self {
        Self { text: text.into(), value: value.into(), right: false }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { value: Value::String(text.clone()), text, right: false }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

/// Rows under named columns.
pub struct Table {
    columns: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub fn new(columns: &[&'static str]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    pub fn row(&mut self, cells: Vec<Cell>) {
        assert!(cells.len() == self.columns.len(), "{} cells under {} columns", cells.len(), self.columns.len());
        self.rows.push(cells);
    }

    /// Prints to standard output in the form that suits it. A reader that has gone away is no error.
    ///
    /// # Errors
    /// What writing says.
    pub fn print(&self) -> io::Result<()> {
        let out = io::stdout();
        let form = if out.is_terminal() { self.for_people() } else { self.for_programs() };
        quiet_pipe(out.lock().write_all(form.as_bytes()))
    }

    fn for_programs(&self) -> String {
        let line = |row: &Vec<Cell>| {
            let pairs = self.columns.iter().zip(row).map(|(name, cell)| ((*name).to_owned(), cell.value.clone()));
            format!("{}\n", Value::Object(pairs.collect::<Map<String, Value>>()))
        };
        self.rows.iter().map(line).collect()
    }

    fn for_people(&self) -> String {
        let widest = |index: usize, name: &str| {
            let cells =
                self.rows.iter().filter_map(|row| row.get(index)).map(|cell| printable(&cell.text).chars().count());
            cells.max().unwrap_or(0).max(name.len())
        };
        let widths: Vec<usize> = self.columns.iter().enumerate().map(|(i, name)| widest(i, name)).collect();
        let head = self.columns.iter().zip(&widths).map(|(name, width)| format!("{name:width$}"));
        let mut text = head.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n";
        for row in &self.rows {
            let cells = row.iter().zip(&widths).map(|(cell, width)| match cell.right {
                true => format!("{:>width$}", printable(&cell.text)),
                false => format!("{:width$}", printable(&cell.text)),
            });
            text += cells.collect::<Vec<_>>().join("  ").trim_end();
            text += "\n";
        }
        text
    }
}

/// A closed pipe (`| head`) ends the output, not the command.
pub fn quiet_pipe(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// The text without what could move a terminal's cursor or turn it around.
pub fn printable(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control() || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if hidden(c) { '\u{fffd}' } else { c }).collect()
}

/// `2.8 GB`: SI units, three digits.
pub fn bytes(count: u64) -> String {
    scaled(count as f64, &["B", "kB", "MB", "GB", "TB", "PB"], 1000.0)
}

fn scaled(mut value: f64, units: &[&str], step: f64) -> String {
    let mut rest = units.iter();
    let mut unit = rest.next().copied().unwrap_or_default();
    for next in rest {
        if value < step {
            break;
        }
        value /= step;
        unit = next;
    }
    let digits = if value >= 100.0 || value.fract() == 0.0 { 0 } else { 1 };
    format!("{value:.digits$} {unit}")
}

/// `40m38.8s` for nanoseconds.
pub fn duration(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    match seconds {
        0 => format!("{:.1}ms", ns as f64 / 1e6),
        1..60 => format!("{:.1}s", ns as f64 / 1e9),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// Rows per second between the first and the last of `rows` rows; `None` when they take no time.
pub fn rate(rows: u64, ns: u64) -> Option<f64> {
    (rows > 1 && ns > 0).then(|| (rows - 1) as f64 / (ns as f64 / 1e9))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_for_people_and_typed_for_programs() {
        let mut table = Table::new(&["name", "rows"]);
        table.row(vec!["drive".into(), Cell::number("12", 12)]);
        table.row(vec!["a\u{1b}[2Jb".into(), Cell::number("3456", 3456)]);
        assert_eq!(table.for_people(), "name    rows\ndrive     12\na\u{fffd}[2Jb  3456\n");
        let first = table.for_programs().lines().next().unwrap().to_owned();
        assert_eq!(first, r#"{"name":"drive","rows":12}"#);
    }

    #[test]
    fn sizes_and_times_are_short() {
        assert_eq!([bytes(0), bytes(999), bytes(1_250_000), bytes(123_400_000)], ["0 B", "999 B", "1.2 MB", "123 MB"]);
        let times =
            [duration(1_500_000), duration(2_500_000_000), duration(61_000_000_000), duration(7_200_000_000_000)];
        assert_eq!(times, ["1.5ms", "2.5s", "1m01s", "2h00m"]);
        assert_eq!(rate(101, 1_000_000_000), Some(100.0));
        assert_eq!(rate(1, 0), None);
    }
}
