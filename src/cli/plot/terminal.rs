//! A chart out of characters: a cell is two columns of four dots.

use console::Term;

use super::super::output::printable;
use super::Chart;
use super::axis;
use super::axis::Axis;

/// Cells of height.
const ROWS: usize = 12;
const DOTS_HIGH: usize = ROWS * 4;
const TICKS_MAX: usize = 5;
/// Cells of width of everything: fewer show nothing, and lines of more are hard to follow.
const WIDTH_MIN: usize = 40;
const WIDTH_MAX: usize = 300;
/// Where there is no terminal.
const WIDTH: usize = 80;
/// Cells of the longest label of a value, with the axis behind it.
const MARGIN_MAX: usize = 14;

/// How much a terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    pub width: usize,
    pub colors: bool,
}

impl Look {
    /// Of standard output: its width, or `COLUMNS`, or 80; colours on a terminal, unless `NO_COLOR` or a dumb one.
    pub fn of_output(is_terminal: bool) -> Self {
        let said = |key: &str| std::env::var(key).ok().filter(|value| !value.is_empty());
        let width = match is_terminal {
            true => Term::stdout().size_checked().map(|(_, columns)| usize::from(columns)),
            false => None,
        };
        let columns = said("COLUMNS").and_then(|columns| columns.parse().ok());
        let colors = is_terminal && said("NO_COLOR").is_none() && said("TERM").is_none_or(|term| term != "dumb");
        Self { width: width.or(columns).unwrap_or(WIDTH).clamp(WIDTH_MIN, WIDTH_MAX), colors }
    }
}

/// Columns of dots that are drawn at most.
pub fn columns(look: Look) -> usize {
    (look.width - MARGIN_MAX / 2) * 2
}

/// The chart, each line ended; no line is wider than the look but for the title.
pub fn text(chart: &Chart, look: Look) -> String {
    let paint = |code: &str, text: &str| match look.colors {
        true => format!("\x1b[{code}m{text}\x1b[0m"),
        false => text.to_owned(),
    };
    let mut out = format!("{}\n", paint("1", &headline(chart)));
    let Some((low, high)) = chart.series.bounds() else {
        return out + "no value to draw\n";
    };
    let axis = Axis::of(low, high, TICKS_MAX);
    let labels = labels(&axis);
    let margin = labels.iter().flatten().map(|label| label.chars().count()).max().unwrap_or(0);
    let cells = look.width.saturating_sub(margin + 2).max(1);
    let dots = Dots::draw(chart, &axis, cells);
    for (row, label) in labels.iter().enumerate() {
        let (label, tick) = match label {
            Some(label) => (label.as_str(), '┤'),
            None => ("", '│'),
        };
        out += &format!("{label:>margin$} {tick}{}\n", paint("36", dots.row(row).trim_end_matches('\u{2800}')));
    }
    out += &format!("{:margin$} └{}\n", "", "─".repeat(cells));
    let marks: String =
        chart.series.marked(&chart.hits, cells).into_iter().map(|hit| if hit { '▲' } else { ' ' }).collect();
    if !marks.trim().is_empty() {
        out += &format!("{:margin$}  {}\n", "", paint("31", marks.trim_end()));
    }
    out + &times(chart, margin + 2, cells)
}

/// What is drawn, how much of it there is, and what the marks mean.
pub fn headline(chart: &Chart) -> String {
    let unit = chart.unit.as_ref().map(|unit| format!(" [{}]", printable(unit))).unwrap_or_default();
    let bounds = match chart.series.bounds() {
        Some((low, high)) => format!(", {} … {}", axis::short(low), axis::short(high)),
        None => String::new(),
    };
    let rows = super::super::output::count(chart.series.rows(), "value");
    let hits = if chart.hits.is_empty() { "" } else { ", ▲ hits" };
    format!("{}{unit}  {rows}{bounds}{hits}", printable(&chart.title))
}

/// The label of each row of cells.
fn labels(axis: &Axis) -> Vec<Option<String>> {
    let mut labels = vec![None; ROWS];
    for (value, label) in &axis.ticks {
        let row = (DOTS_HIGH - 1 - dot(axis, *value)) / 4;
        if let Some(own) = labels.get_mut(row) {
            *own = Some(label.chars().take(MARGIN_MAX).collect());
        }
    }
    labels
}

/// Height of a value in dots, from the bottom.
fn dot(axis: &Axis, value: f64) -> usize {
    (axis.place(value) * (DOTS_HIGH - 1) as f64).round() as usize
}

fn times(chart: &Chart, margin: usize, cells: usize) -> String {
    let [from, span, to] = axis::times(chart.series.start(), chart.series.end());
    let length = |text: &str| text.chars().count();
    let (left, middle, right) = (length(&from), length(&span), length(&to));
    match cells.checked_sub(left + middle + right) {
        Some(free) if free >= 4 => {
            // In the middle of the axis, or as near as the ends let it.
            let before = (cells / 2).saturating_sub(left + middle / 2).clamp(2, free - 2);
            let after = free - before;
            format!("{:margin$}{from}{:before$}{span}{:after$}{to}\n", "", "", "")
        }
        _ => format!("{:margin$}{from} … {to}\n{:margin$}{span}\n", "", ""),
    }
}

/// Dots of braille cells, a byte each.
struct Dots {
    cells: usize,
    bits: Vec<u8>,
}

impl Dots {
    fn draw(chart: &Chart, axis: &Axis, cells: usize) -> Self {
        let mut dots = Self { cells, bits: vec![0; cells * ROWS] };
        for ((from, start), (to, end)) in chart.series.lines(cells * 2) {
            dots.line((from, dot(axis, start)), (to, dot(axis, end)));
        }
        dots
    }

    /// All dots of a line; a column has all between where the line enters and leaves it.
    fn line(&mut self, (from, start): (usize, usize), (to, end): (usize, usize)) {
        let width = to.saturating_sub(from);
        let at = |column: usize| {
            let part = if width == 0 { 1.0 } else { column as f64 / width as f64 };
            start as f64 + (end as f64 - start as f64) * part
        };
        let mut before = start;
        for column in 0..=width {
            let here = if column == 0 && width > 0 { start } else { at(column).round() as usize };
            for row in before.min(here)..=before.max(here) {
                self.set(from + column, row);
            }
            before = here;
        }
    }

    fn set(&mut self, column: usize, from_bottom: usize) {
        let row = DOTS_HIGH - 1 - from_bottom.min(DOTS_HIGH - 1);
        // How Unicode counts the dots of a cell: the left column, the right one, and then the lowest of both.
        let bit = match (row % 4, column % 2) {
            (3, left) => 6 + left,
            (high, 0) => high,
            (high, _) => 3 + high,
        };
        if let Some(cell) = self.bits.get_mut(row / 4 * self.cells + column / 2) {
            *cell |= 1 << bit;
        }
    }

    fn row(&self, row: usize) -> String {
        let cells = self.bits.iter().skip(row * self.cells).take(self.cells);
        cells.map(|bits| char::from_u32(0x2800 + u32::from(*bits)).unwrap_or(' ')).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Series;
    use super::*;

    const PLAIN: Look = Look { width: 60, colors: false };

    fn chart(values: impl Iterator<Item = f64>, hits: &[(i64, i64)]) -> Chart {
        let values: Vec<f64> = values.collect();
        let mut series = Series::new(0, values.len() as i64 * 1_000_000 - 1, columns(PLAIN));
        values.iter().enumerate().for_each(|(n, value)| series.push(n as i64 * 1_000_000, Some(*value)));
        Chart { title: "drive/imu  IMU.x".to_owned(), unit: Some("m/s²".to_owned()), series, hits: hits.to_vec() }
    }

    #[test]
    fn a_rising_line_rises() {
        let text = text(&chart((0..200).map(f64::from), &[(0, 50_000_000)]), PLAIN);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "drive/imu  IMU.x [m/s²]  200 values, 0 … 199, ▲ hits");
        assert_eq!(lines.len(), 1 + ROWS + 3, "{text}");
        let first_dot = |line: &str| line.chars().position(|c| ('\u{2801}'..='\u{28ff}').contains(&c));
        let columns: Vec<usize> = lines[1..=ROWS].iter().filter_map(|line| first_dot(line)).collect();
        assert!(columns.len() == ROWS && columns.windows(2).all(|pair| pair[0] > pair[1]), "{text}");
        assert!(lines[1..].iter().all(|line| line.chars().count() <= PLAIN.width), "{text}");
        assert!(lines.iter().any(|line| line.starts_with("150 ┤")), "{text}");
        let marks = lines[ROWS + 2].chars().filter(|c| *c == '▲').count();
        assert!((13..=15).contains(&marks), "a quarter of {text}");
        assert!(lines[ROWS + 3].contains("0 s") && lines[ROWS + 3].contains("200.0ms"), "{text}");
    }

    #[test]
    fn a_peak_between_two_columns_is_not_lost() {
        let text = text(&chart((0..100_000).map(|n| if n == 31_234 { 5.0 } else { 0.0 }), &[]), PLAIN);
        let peak = text.lines().nth(1).unwrap();
        assert!(peak.chars().any(|c| ('\u{2801}'..='\u{28ff}').contains(&c)), "{text}");
        assert!(!text.contains('▲'));
    }

    #[test]
    fn colours_are_there_only_where_they_may_be() {
        let chart = chart([1.0, 2.0].into_iter(), &[(0, 0)]);
        assert!(!text(&chart, PLAIN).contains('\x1b'));
        assert!(text(&chart, Look { colors: true, ..PLAIN }).contains("\x1b[36m"));
    }

    #[test]
    fn nothing_to_draw_is_said() {
        assert!(text(&chart([f64::NAN].into_iter(), &[]), PLAIN).ends_with("no value to draw\n"));
    }
}
