//! What one measurement says, and how a number of repeats becomes one.

use serde::Serialize;

/// One line of the table. What a measurement does not have is `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Row {
    /// `put`, `get`, …
    pub measure: &'static str,
    pub workload: String,
    pub streams: usize,
    pub transport: &'static str,
    pub repeats: usize,
    /// Bytes of one repeat: values of the columns, no framing.
    pub bytes: u64,
    /// Medians over the repeats, in 10^6 bytes a second.
    pub mb_s: Option<f64>,
    pub rows_s: Option<f64>,
    pub sink_mb_s: Option<f64>,
    pub device_mb_s: Option<f64>,
    /// Median of each repeat's `mb_s / min(sink, device)`.
    pub ratio: Option<f64>,
    /// CPU-seconds per 10^9 bytes: of the daemon alone, of the null sink, the median of their differences, of the client.
    pub server_s_gb: Option<f64>,
    pub sink_s_gb: Option<f64>,
    pub added_s_gb: Option<f64>,
    pub client_s_gb: Option<f64>,
    pub device_s_gb: Option<f64>,
    /// Of the daemon, in bytes.
    pub peak_rss: Option<u64>,
    pub anonymous_rss: Option<u64>,
    /// What the percentiles are of.
    pub latency_of: &'static str,
    /// In milliseconds.
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub p999_ms: Option<f64>,
    pub max_ms: Option<f64>,
    /// Whatever else the measurement has to say, by name.
    pub more: serde_json::Map<String, serde_json::Value>,
}

/// The middle value; the mean of the two middle ones. `None` without values.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        1 => values.get(middle).copied(),
        _ => Some((values.get(middle.checked_sub(1)?)? + values.get(middle)?) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_whatever_the_order() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!((median(vec![7.0]), median(vec![])), (Some(7.0), None));
    }
}
