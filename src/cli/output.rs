//! What commands print: a table on a terminal, one JSON object per line on a pipe.

use std::io;
use std::io::IsTerminal;
use std::io::Write;
use std::path::PathBuf;

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

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
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

/// The text without what could move a terminal's cursor, turn it around, or hide.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if is_hostile(c) { '\u{fffd}' } else { c }).collect()
}

/// Names in a line, a dozen at most.
pub fn listed(names: impl IntoIterator<Item = String>) -> String {
    const NAMES_MAX: usize = 12;
    let mut names = names.into_iter();
    let shown = names.by_ref().take(NAMES_MAX).collect::<Vec<_>>().join(", ");
    match names.count() {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Characters that a terminal acts on instead of showing them, and those that turn or hide what stands beside them.
pub fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
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

/// `40m38s`, `1.5s`, `12.3ms` for nanoseconds.
pub fn duration(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    match (seconds, ns) {
        (0, 0..1000) => format!("{ns}ns"),
        (0, 1000..1_000_000) => format!("{:.1}µs", ns as f64 / 1e3),
        (0, _) => format!("{:.1}ms", ns as f64 / 1e6),
        (1..60, _) => format!("{:.1}s", ns as f64 / 1e9),
        (60..3600, _) => format!("{}m{:02}s", seconds / 60, seconds % 60),
        (3600..86_400, _) => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// The time between the first and the last of `rows` rows; `-` for fewer than two.
pub fn span(rows: u64, ns: u64) -> String {
    if rows > 1 { duration(ns) } else { "-".to_owned() }
}

/// Below this a few rows make any rate.
const RATE_SPAN_MIN_NS: u64 = 100_000_000;

/// Rows per second between the first and the last of `rows` rows; `None` when they are too few or too close together to say.
pub fn rate(rows: u64, ns: u64) -> Option<f64> {
    (rows > 1 && ns >= RATE_SPAN_MIN_NS).then(|| (rows - 1) as f64 / (ns as f64 / 1e9))
}

/// `29.9 Hz`, `0.050 Hz`, `18.0 kHz`.
pub fn hertz(rate: Option<f64>) -> String {
    match rate {
        None => "-".to_owned(),
        Some(hz) if hz >= 10_000.0 => scaled(hz, &["Hz", "kHz", "MHz", "GHz"], 1000.0),
        Some(hz) if hz >= 9.95 => format!("{hz:.1} Hz"),
        Some(hz) if hz >= 0.095 => format!("{hz:.2} Hz"),
        Some(hz) => format!("{hz:.3} Hz"),
    }
}

/// `1 chunk`, `2 chunks`.
pub fn count(number: u64, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// Says that nobody was kept out of these directories.
pub fn tell_unlocked(unlocked: &[PathBuf]) {
    for path in unlocked {
        eprintln!(
            "{} is on a read-only file system and not locked: nothing else may write to it meanwhile",
            path.display()
        );
    }
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
        assert_eq!(
            [duration(0), duration(999), duration(12_340), duration(90_000_000_000_000)],
            ["0ns", "999ns", "12.3µs", "1d01h"]
        );
        assert_eq!([count(0, "chunk"), count(1, "chunk"), count(2, "chunk")], ["0 chunks", "1 chunk", "2 chunks"]);
    }

    /// Three rows in three nanoseconds are not a billion a second.
    #[test]
    fn rates_are_said_where_there_is_one() {
        assert_eq!(rate(101, 1_000_000_000), Some(100.0));
        assert_eq!([rate(1, 0), rate(1, u64::MAX), rate(0, 0), rate(3, 3), rate(1000, 99_999_999)], [None; 5]);
        let texts = [None, Some(0.05), Some(1.0), Some(29.97), Some(200.0), Some(18_000.0)].map(hertz);
        assert_eq!(texts, ["-", "0.050 Hz", "1.00 Hz", "30.0 Hz", "200.0 Hz", "18 kHz"]);
    }

    #[test]
    fn long_lists_say_how_much_is_left_out() {
        assert_eq!(listed((0..3).map(|n| n.to_string())), "0, 1, 2");
        assert!(listed((0..40).map(|n| n.to_string())).ends_with("11 and 28 more"));
    }
}
