//! Charts as a picture, one below the other.

use std::io;

use super::Chart;
use super::axis;
use super::axis::Axis;
use super::font;
use super::png::png;
use super::terminal::headline;

const WIDTH: usize = 1200;
const HEIGHT: usize = 340; // of one chart
/// Pixels of a dot of a letter.
const SCALE: usize = 2;
const LETTER: usize = (font::WIDTH + 1) * SCALE;
const TOP: usize = 40;
const BOTTOM: usize = 52;
const RIGHT: usize = 24;
const TICKS_MAX: usize = 6;
/// Of the bar below the axis that marks hits.
const BAR: usize = 8;

/// Columns of pixels that are drawn at most.
pub const COLUMNS: usize = WIDTH - RIGHT;

const WHITE: u8 = 0;
const BLACK: u8 = 1;
const GRID: u8 = 2;
const LINE: u8 = 3;
const HIT: u8 = 4;
const BAND: u8 = 5;
const PALETTE: [[u8; 3]; 6] =
    [[255, 255, 255], [32, 32, 32], [224, 224, 224], [31, 95, 180], [214, 90, 20], [255, 239, 222]];

/// The file's bytes. A byte a pixel is held: 400 kB a chart.
///
/// # Errors
/// What packing says.
pub fn picture(charts: &[Chart]) -> io::Result<Vec<u8>> {
    let mut canvas = Canvas { pixels: vec![WHITE; WIDTH * HEIGHT * charts.len().max(1)] };
    for (number, chart) in charts.iter().enumerate() {
        canvas.chart(chart, number * HEIGHT);
    }
    png(WIDTH, &canvas.pixels, &PALETTE)
}

struct Canvas {
    pixels: Vec<u8>,
}

impl Canvas {
    fn chart(&mut self, chart: &Chart, top: usize) {
        self.text(&headline(chart), 12, top + 12);
        let Some((low, high)) = chart.series.bounds() else {
            return self.text("no value to draw", 12, top + HEIGHT / 2);
        };
        let axis = Axis::of(low, high, TICKS_MAX);
        let longest = axis.ticks.iter().map(|(_, label)| label.chars().count()).max().unwrap_or(0);
        let left = (longest * LETTER + 20).min(WIDTH / 3);
        let (width, height) = (WIDTH - left - RIGHT, HEIGHT - TOP - BOTTOM);
        let (above, below) = (top + TOP, top + TOP + height);
        let y = |value: f64| above + ((1.0 - axis.place(value)) * (height - 1) as f64).round() as usize;

        let hits = chart.series.marked(&chart.hits, width);
        for column in hits.iter().enumerate().filter_map(|(column, hit)| hit.then_some(column)) {
            self.fill(left + column, above, 1, height, BAND);
            self.fill(left + column, below + 3, 1, BAR, HIT);
        }
        for (value, label) in &axis.ticks {
            self.fill(left, y(*value), width, 1, GRID);
            let from = left.saturating_sub(8 + label.chars().count() * LETTER);
            self.text(label, from, y(*value).saturating_sub(font::HEIGHT * SCALE / 2));
        }
        for ((from, start), (to, end)) in chart.series.lines(width) {
            self.line((left + from, y(start)), (left + to, y(end)));
        }
        self.fill(left - 1, above, 1, height + 1, BLACK);
        self.fill(left - 1, below, width + 1, 1, BLACK);

        let [from, span, to] = axis::times(chart.series.start(), chart.series.end());
        let length = |text: &str| text.chars().count() * LETTER;
        let row = below + BAR + 10;
        self.text(&from, left, row);
        self.text(&to, (WIDTH - RIGHT).saturating_sub(length(&to)), row);
        self.text(&span, (left + width / 2).saturating_sub(length(&span) / 2).max(left + length(&from) + LETTER), row);
    }

    fn set(&mut self, x: usize, y: usize, color: u8) {
        if x < WIDTH
            && let Some(pixel) = self.pixels.get_mut(y * WIDTH + x)
        {
            *pixel = color;
        }
    }

    fn fill(&mut self, x: usize, y: usize, width: usize, height: usize, color: u8) {
        for row in y..y + height {
            for column in x..x + width {
                self.set(column, row, color);
            }
        }
    }

    /// What does not fit is cut off.
    fn text(&mut self, text: &str, x: usize, y: usize) {
        for (number, c) in text.chars().enumerate().take((WIDTH - x.min(WIDTH)) / LETTER) {
            for (column, bits) in font::letter(c).into_iter().enumerate() {
                for row in (0..font::HEIGHT).filter(|row| bits >> row & 1 == 1) {
                    self.fill(x + number * LETTER + column * SCALE, y + row * SCALE, SCALE, SCALE, BLACK);
                }
            }
        }
    }

    /// Two pixels thick. A column has all between where the line enters and leaves it.
    fn line(&mut self, (from, start): (usize, usize), (to, end): (usize, usize)) {
        let width = to.saturating_sub(from);
        let mut before = start;
        for column in 0..=width {
            let part = if width == 0 { 1.0 } else { column as f64 / width as f64 };
            let here = (start as f64 + (end as f64 - start as f64) * part).round() as usize;
            let (high, low) = (before.min(here), before.max(here));
            self.fill(from + column, high, 1, low - high + 2, LINE);
            before = here;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Series;
    use super::*;

    fn chart() -> Chart {
        let mut series = Series::new(0, 999, COLUMNS);
        (0..1000).for_each(|n| series.push(n, Some(n as f64)));
        Chart { title: "drive/imu  IMU.x".to_owned(), unit: None, series, hits: vec![(0, 499)] }
    }

    fn canvas(chart: &Chart) -> Canvas {
        let mut canvas = Canvas { pixels: vec![WHITE; WIDTH * HEIGHT] };
        canvas.chart(chart, 0);
        canvas
    }

    #[test]
    fn lines_and_hits_are_where_they_belong() {
        let Canvas { pixels } = canvas(&chart());
        let column = |x: usize| -> Vec<u8> { pixels.iter().skip(x).step_by(WIDTH).copied().collect() };
        let line = |x: usize| column(x).iter().position(|color| *color == LINE);
        assert!(line(200).unwrap() > line(600).unwrap() && line(600).unwrap() > line(1100).unwrap());
        assert!(column(200).contains(&HIT) && column(200).contains(&BAND));
        assert!(!column(1100).contains(&HIT) && !column(1100).contains(&BAND));
        assert!((100..COLUMNS - 2).all(|x| line(x).is_some()), "the line has no hole");
    }

    #[test]
    fn charts_stand_below_each_other() {
        let one = picture(&[chart()]).unwrap();
        let two = picture(&[chart(), chart()]).unwrap();
        let height = |file: &[u8]| file[20..24].iter().fold(0, |number, byte| number << 8 | usize::from(*byte));
        assert_eq!([height(&one), height(&two)], [HEIGHT, 2 * HEIGHT]);
    }

    #[test]
    fn odd_titles_and_values_are_drawn_too() {
        let mut odd = chart();
        odd.title = "é".repeat(5000);
        odd.series = Series::new(i64::MIN, i64::MAX, COLUMNS);
        odd.series.push(i64::MIN, Some(f64::MAX));
        odd.series.push(i64::MAX, Some(f64::MIN));
        canvas(&odd);
        odd.series = Series::new(5, 5, COLUMNS);
        canvas(&odd);
    }
}
