//! What a query cost, for people.

use serde_json::Value;

use super::super::output::count;
use super::super::output::duration;

/// What was considered, what was skipped and by what, what was read, and where the time went; a line each.
///
/// * `cost`: the server's account. What it does not tell is left out: servers differ in what they count.
/// * `asked_ns`: from asking to the whole answer, as the client saw it.
pub fn explained(cost: &Value, asked_ns: u64) -> String {
    let told = |key: &str| cost.get(key).and_then(Value::as_u64);
    let number = |key: &str| told(key).unwrap_or_default();
    let mut text = String::new();
    let mut line = |head: &str, amount: String, rest: String| {
        text += format!("{head:<11} {amount:>9}  {rest}").trim_end();
        text += "\n";
    };

    line("sequences", number("sequences").to_string(), "considered, by name and metadata".to_owned());
    line("topics", number("topics").to_string(), "left whose rows were asked for".to_owned());

    let (chunks, by_segment) = (number("chunks"), number("chunks_skipped_by_segment"));
    let by_statistics = number("chunks_skipped_by_statistics");
    let left = chunks.saturating_sub(by_segment).saturating_sub(by_statistics);
    line("chunks", chunks.to_string(), "considered".to_owned());
    let share = |part: u64| part_of(part, chunks);
    line("", by_segment.to_string(), format!("skipped by time, segment or missing column{}", share(by_segment)));
    line("", by_statistics.to_string(), format!("skipped by their own statistics{}", share(by_statistics)));
    match told("chunks_read") {
        Some(read) => {
            let vain = told("chunks_matched").map(|matched| read.saturating_sub(matched));
            let vain = vain.map(|vain| format!(", {vain} of them in vain{}", part_of(vain, read))).unwrap_or_default();
            line("", read.to_string(), format!("read{}{vain}", share(read)));
            let rest = left.saturating_sub(read);
            if rest > 0 {
                line("", rest.to_string(), "not reached: their topics had matched before".to_owned());
            }
        }
        None => line("", left.to_string(), format!("left, read up to the first match of each topic{}", share(left))),
    }

    let (rows, matched) = (number("rows_read"), number("rows_matched"));
    let by_pages = told("rows_skipped_by_pages");
    let considered = rows + by_pages.unwrap_or_default();
    if let Some(by_pages) = by_pages {
        line("rows", considered.to_string(), "in these chunks, up to there".to_owned());
        line(
            "",
            by_pages.to_string(),
            format!("skipped by the statistics of their pages{}", part_of(by_pages, considered)),
        );
    }
    let head = if by_pages.is_some() { "" } else { "rows" };
    line(head, rows.to_string(), "decoded and looked at".to_owned());
    line("", matched.to_string(), format!("matched{}", part_of(matched, rows)));
    line("", rows.saturating_sub(matched).to_string(), "looked at in vain".to_owned());

    line("time", duration(asked_ns), "until the answer was here, with the way to the server and back".to_owned());
    line("", duration(number("total_ns")), "of it in the server".to_owned());
    line("", duration(number("catalog_ns")), "catalog: names, metadata, segments".to_owned());
    let topics = count(number("topics"), "topic");
    line("", duration(number("rows_ns")), format!("chunks and rows of {topics}; side by side, so sums may exceed"));
    text
}

fn part_of(part: u64, whole: u64) -> String {
    match (part, whole) {
        (0, _) | (_, 0) => String::new(),
        _ if part == whole => " (all)".to_owned(),
        _ => {
            let percent = part as f64 * 100.0 / whole as f64;
            match percent {
                _ if percent < 0.1 => " (<0.1%)".to_owned(),
                _ if percent > 99.9 => " (>99.9%)".to_owned(),
                _ => format!(" ({percent:.1}%)"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_chunk_is_accounted_for() {
        let cost = json!({"sequences": 2, "topics": 2, "chunks": 80, "chunks_skipped_by_segment": 10,
            "chunks_skipped_by_statistics": 68, "rows_read": 20, "rows_matched": 2, "total_ns": 3_000_000});
        let text = explained(&cost, 4_000_000);
        for expected in [
            "sequences           2  considered",
            "chunks             80  considered",
            "                   10  skipped by time, segment or missing column (12.5%)",
            "                   68  skipped by their own statistics (85.0%)",
            "                    2  left, read up to",
            "rows               20  decoded",
            "                   18  looked at in vain",
            "time            4.0ms  until the answer",
            "                3.0ms  of it in the server",
        ] {
            assert!(text.contains(expected), "{expected:?} is not in\n{text}");
        }
        assert!(!text.contains("pages"), "{text}");
    }

    #[test]
    fn servers_that_tell_more_are_heard() {
        let cost = json!({"chunks": 80, "chunks_skipped_by_statistics": 70, "chunks_read": 6, "chunks_matched": 5,
            "rows_skipped_by_pages": 75, "rows_read": 25});
        let text = explained(&cost, 0);
        for expected in [
            "6  read (7.5%), 1 of them in vain (16.7%)",
            "4  not reached",
            "rows              100  in these chunks",
            "75  skipped by the statistics of their pages (75.0%)",
            "25  decoded and looked at",
        ] {
            assert!(text.contains(expected), "{expected:?} is not in\n{text}");
        }
    }

    #[test]
    fn shares_are_never_rounded_to_all_or_nothing() {
        assert_eq!([part_of(0, 9), part_of(9, 9), part_of(1, 3)], ["", " (all)", " (33.3%)"]);
        assert_eq!([part_of(1, 1_000_000), part_of(999_999, 1_000_000)], [" (<0.1%)", " (>99.9%)"]);
    }
}
