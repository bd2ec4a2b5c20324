//! Ticks and labels.

use crate::wire::utc_datetime;

use super::super::output::duration;

/// The values at the edges of a drawing, and what stands beside it.
#[derive(Clone, Debug)]
pub struct Axis {
    pub low: f64,
    pub high: f64,
    /// Values with their labels, ascending.
    pub ticks: Vec<(f64, String)>,
}

impl Axis {
    /// From values that are finite; `ticks_max` at least 2.
    pub fn of(low: f64, high: f64, ticks_max: usize) -> Self {
        // A line in the middle is more than one at the edge. Halves, so that nothing overflows.
        let (low, high) = match low < high {
            true => (low, high),
            false => (low - low.abs().max(1.0) * 0.5, high + high.abs().max(1.0) * 0.5),
        };
        let (low, high) = (low.max(f64::MIN / 4.0), high.min(f64::MAX / 4.0));
        let step = nice((high - low) / ticks_max.max(2) as f64);
        let digits = decimals(step);
        let mut ticks = Vec::new();
        let first = (low / step - 1e-9).ceil();
        for n in 0..=ticks_max {
            let value = (first + n as f64) * step;
            if value > high + step * 1e-9 {
                break;
            }
            ticks.push((value, label(value, step, digits)));
        }
        Self { low, high, ticks }
    }

    /// Where a value lies, from 0 at the bottom to 1 at the top.
    pub fn place(&self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }
}

/// The smallest of 1, 2, 5, 10 … that is not below.
fn nice(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    if !power.is_normal() {
        return f64::MIN_POSITIVE;
    }
    let part = step / power;
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| part <= factor + 1e-9).unwrap_or(10.0);
    power * factor
}

fn decimals(step: f64) -> usize {
    let digits = -step.log10().floor();
    if digits.is_finite() { digits.clamp(0.0, 18.0) as usize } else { 0 }
}

fn label(value: f64, step: f64, digits: usize) -> String {
    // Not -0, and not what is left of a sum.
    let value = if value.abs() < step * 1e-6 { 0.0 } else { value };
    let big = value.abs() >= 1e7 || (step < 1e-5 && value != 0.0);
    if big { format!("{value:.3e}") } else { format!("{value:.digits$}") }
}

/// A number as short as it can be read.
pub fn short(value: f64) -> String {
    let size = value.abs();
    match value {
        _ if size == 0.0 => "0".to_owned(),
        _ if !(1e-4..1e7).contains(&size) => format!("{value:.3e}"),
        _ => {
            let digits = (4.0 - size.log10().floor()).clamp(0.0, 8.0) as usize;
            let text = format!("{value:.digits$}");
            match text.contains('.') {
                true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
                false => text,
            }
        }
    }
}

/// Labels of the time axis: where it begins, how long it is, where it ends.
pub fn times(start: i64, end: i64) -> [String; 3] {
    // It stands where the time of the middle would be looked for.
    let span = format!("{} in all", duration(end.abs_diff(start)));
    const YEAR_2000: i64 = 946_684_800_000_000_000;
    if start < YEAR_2000 {
        // A clock that counts from a start of its own.
        let seconds = |ns: i64| format!("{} s", short_seconds(ns));
        return [seconds(start), span, seconds(end)];
    }
    let (from, to) = (utc_datetime(start), utc_datetime(end));
    let (day, time) = to.split_once(' ').unwrap_or(("", &to));
    let to = if from.starts_with(day) { time.to_owned() } else { to };
    [from, span, to]
}

fn short_seconds(ns: i64) -> String {
    let text = format!(
        "{}{}.{:09}",
        if ns < 0 { "-" } else { "" },
        ns.unsigned_abs() / 1_000_000_000,
        ns.unsigned_abs() % 1_000_000_000
    );
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(low: f64, high: f64, max: usize) -> Vec<String> {
        Axis::of(low, high, max).ticks.into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!(labels(0.0, 399.0, 4), ["0", "100", "200", "300"]);
        assert_eq!(labels(-1.3, 1.2, 5), ["-1.0", "-0.5", "0.0", "0.5", "1.0"]);
        assert_eq!(labels(9.80, 9.82, 4), ["9.800", "9.805", "9.810", "9.815", "9.820"]);
        assert_eq!(labels(0.0, 3e9, 3), ["0", "1.000e9", "2.000e9", "3.000e9"]);
    }

    #[test]
    fn one_value_lies_in_the_middle() {
        for value in [0.0, 9.81, -3e300, 1e-300] {
            assert!((Axis::of(value, value, 4).place(value) - 0.5).abs() < 1e-9, "{value}");
        }
    }

    #[test]
    fn times_are_dates_where_they_can_be() {
        let start = 1_772_366_400_000_000_000;
        let [from, span, to] = times(start, start + 1_500_000_000);
        assert_eq!(
            (from.as_str(), span.as_str(), to.as_str()),
            ("2026-03-01 12:00:00.000000 UTC", "1.5s in all", "12:00:01.500000 UTC")
        );
        assert_eq!(times(0, 1_500_000_000), ["0 s", "1.5s in all", "1.5 s"]);
        assert_eq!(times(-1_000_000, 0)[0], "-0.001 s");
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [short(0.0), short(9.80667), short(399.0), short(1e-9), short(-123_456.7)],
            ["0", "9.8067", "399", "1.000e-9", "-123457"]
        );
    }

    proptest! {
        #[test]
        fn every_pair_of_numbers_has_an_axis(low in any::<f64>(), high in any::<f64>(), max in 2usize..20) {
            prop_assume!(low.is_finite() && high.is_finite() && low <= high);
            let axis = Axis::of(low, high, max);
            prop_assert!(axis.ticks.len() <= max + 1);
            for value in axis.ticks.iter().map(|(value, _)| *value).chain([low, high]) {
                prop_assert!((0.0..=1.0).contains(&axis.place(value)));
            }
        }
    }
}
