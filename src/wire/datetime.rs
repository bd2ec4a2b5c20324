//! Unix time as the date text of notifications.

const DAY_SECONDS: i64 = 86_400;

/// `2026-03-01 12:00:00.123456 UTC`: six fractional digits, as the oldest Python in use reads no other number of them.
///
/// * `unix_ns`: nanoseconds since 1970-01-01 00:00 UTC, before it too; the part below a microsecond is dropped.
pub fn utc_datetime(unix_ns: i64) -> String {
    let micros = unix_ns.div_euclid(1_000);
    let (seconds, micros) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let (year, month, day) = civil_date(seconds.div_euclid(DAY_SECONDS));
    let second = seconds.rem_euclid(DAY_SECONDS);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06} UTC")
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar.
///
/// Source: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
fn civil_date(days: i64) -> (i64, i64, i64) {
    // Count from 0000-03-01: the leap day is then the last of its year, and 400 years always have as many days.
    const DAYS_TO_1970: i64 = 719_468;
    const ERA_DAYS: i64 = 146_097;
    let days = days + DAYS_TO_1970;
    let (era, day_of_era) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months from March have 31, 30, 31, 30, 31 days, twice and a bit: 153 days every five.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let (month, next_year) = if month_from_march < 10 { (month_from_march + 3, 0) } else { (month_from_march - 9, 1) };
    (year_of_era + era * 400 + next_year, month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_instants() {
        assert_eq!(utc_datetime(0), "1970-01-01 00:00:00.000000 UTC");
        assert_eq!(utc_datetime(1_772_366_400_123_456_789), "2026-03-01 12:00:00.123456 UTC");
        assert_eq!(utc_datetime(951_782_399_999_999_999), "2000-02-28 23:59:59.999999 UTC");
        assert_eq!(utc_datetime(951_782_400_000_000_000), "2000-02-29 00:00:00.000000 UTC");
        assert_eq!(utc_datetime(-1), "1969-12-31 23:59:59.999999 UTC");
        assert_eq!(utc_datetime(i64::MAX), "2262-04-11 23:47:16.854775 UTC");
        assert_eq!(utc_datetime(i64::MIN), "1677-09-21 00:12:43.145224 UTC");
    }

    fn next(date: (i64, i64, i64)) -> (i64, i64, i64) {
        let (year, month, day) = date;
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days = match month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        match (month, day) {
            (12, 31) => (year + 1, 1, 1),
            (month, day) if day == days => (year, month + 1, 1),
            (month, day) => (year, month, day + 1),
        }
    }

    /// Goal: every day an i64 of nanoseconds can name has its date. Method: walk them by the rules of the calendar.
    #[test]
    fn every_day_follows_the_one_before() {
        let days = |ns: i64| ns.div_euclid(DAY_SECONDS * 1_000_000_000);
        for day in days(i64::MIN)..=days(i64::MAX) {
            assert_eq!(civil_date(day + 1), next(civil_date(day)), "day {day}");
        }
        assert_eq!(civil_date(0), (1970, 1, 1));
    }

    proptest! {
        #[test]
        fn later_instants_never_sort_before(a: i64, b: i64) {
            let (first, last) = (a.min(b), a.max(b));
            prop_assert!(utc_datetime(first) <= utc_datetime(last));
        }
    }
}
