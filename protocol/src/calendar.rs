//! Days and months in UTC, which budgets and counts go by.

use std::format;
use std::string::String;

const DAY_MS: u64 = 86_400_000;

/// The day of `now` (Unix ms) as `2026-11-21`.
pub fn day(now: u64) -> String {
    let (year, month, day) = civil(now / DAY_MS);
    format!("{year:04}-{month:02}-{day:02}")
}

/// The month of `now` (Unix ms) as `2026-11`.
pub fn month(now: u64) -> String {
    let (year, month, _) = civil(now / DAY_MS);
    format!("{year:04}-{month:02}")
}

/// When the month after the one of `now` begins, Unix ms.
pub fn next_month(now: u64) -> u64 {
    let today = now / DAY_MS;
    let (_, month, _) = civil(today);
    // At most 31 steps: no table of month lengths to get wrong.
    let first = (today + 1..=today + 31).find(|day| civil(*day).1 != month).unwrap_or(today);
    first * DAY_MS
}

/// Year, month and day of the proleptic Gregorian calendar, of a number of days since 1970-01-01. Years begin
/// in March here, so that the leap day is a year's last.
const fn civil(days: u64) -> (u64, u64, u64) {
    const DAYS_BEFORE_1970: u64 = 719_468;
    const DAYS_OF_400_YEARS: u64 = 146_097;
    let shifted = days + DAYS_BEFORE_1970;
    let (era, of_era) = (shifted / DAYS_OF_400_YEARS, shifted % DAYS_OF_400_YEARS);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::{DAY_MS, day, month, next_month};

    #[test]
    fn days_and_months_at_their_edges() {
        for (now, expected_day, expected_next) in [
            (0, "1970-01-01", "1970-02-01"),
            (951_782_400_000, "2000-02-29", "2000-03-01"),
            (951_868_800_000 - 1, "2000-02-29", "2000-03-01"),
            (1_709_164_800_000, "2024-02-29", "2024-03-01"),
            (1_767_225_599_999, "2025-12-31", "2026-01-01"),
            (1_795_219_200_000, "2026-11-21", "2026-12-01"),
            (4_107_542_400_000, "2100-03-01", "2100-04-01"),
        ] {
            assert_eq!(day(now), expected_day);
            assert_eq!(month(now), expected_day[..7]);
            assert_eq!(day(next_month(now)), expected_next);
            assert_eq!(next_month(now) % DAY_MS, 0);
        }
    }
}
