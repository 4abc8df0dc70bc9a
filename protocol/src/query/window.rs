//! Windows of time: every list and every statistic is of one, and says of which.

use super::parameters::{invalid, time};
use crate::problem::Problem;
use std::format;
use std::vec::Vec;

/// A day.
pub const DAY_MS: i64 = 86_400_000;
/// What is shown where nobody says otherwise.
const DEFAULT_MS: i64 = 7 * DAY_MS;

/// From when to when executions started, Unix ms. Without `to` the window is open: clocks run ahead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// At or after.
    pub from: i64,
    /// Before.
    pub to: Option<i64>,
}

/// A window in whole days and what is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaySplit {
    /// First day, and the one after the last; counted from 1970, open if the window is.
    pub days: Option<(i64, Option<i64>)>,
    /// What lies before and after them.
    pub edges: Vec<Window>,
}

/// The bounds as they were asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) from: Option<i64>,
    pub(super) to: Option<i64>,
}

impl Bounds {
    pub(super) fn take(&mut self, name: &str, value: &str) -> Result<bool, Problem> {
        match name {
            "from" => self.from = Some(time(name, value)?),
            "to" => self.to = Some(time(name, value)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    pub(super) fn check(&self) -> Result<(), Problem> {
        if self.from.zip(self.to).is_some_and(|(from, to)| from >= to) {
            return Err(invalid("to", "`to` must be later than `from`."));
        }
        Ok(())
    }

    /// The window that is meant at `now` (Unix ms): without `from`, the last 7 days before its end.
    pub(super) fn window(&self, now: i64) -> Window {
        let from = self.from.unwrap_or_else(|| (self.to.unwrap_or(now) - DEFAULT_MS).max(0));
        Window { from, to: self.to }
    }
}

impl Window {
    /// The window widened to whole days (UTC).
    #[must_use]
    pub fn of_whole_days(self) -> Self {
        let from = self.from - self.from % DAY_MS;
        Self { from, to: self.to.map(|to| (to + DAY_MS - 1) / DAY_MS * DAY_MS) }
    }

    /// The whole days (UTC) in the window, and what is left of it at its ends.
    pub fn split_days(self) -> DaySplit {
        let first = (self.from + DAY_MS - 1) / DAY_MS;
        let end = self.to.map(|to| to / DAY_MS);
        if end.is_some_and(|end| end <= first) {
            return DaySplit { days: None, edges: std::vec![self] };
        }
        let before = Self { from: self.from, to: Some(first * DAY_MS) };
        let after = self.to.zip(end).map(|(to, end)| Self { from: end * DAY_MS, to: Some(to) });
        let edges = core::iter::once(before).chain(after);
        DaySplit {
            days: Some((first, end)),
            edges: edges.filter(|edge| edge.to.is_some_and(|to| edge.from < to)).collect(),
        }
    }

    /// Refuses a window of more than `days`. One without an end ends at `now` in this.
    pub fn refuse_beyond(&self, days: i64, now: i64) -> Result<(), Problem> {
        if self.to.unwrap_or(now) - self.from > days * DAY_MS {
            return Err(invalid(
                "from",
                format!("The window is wider than {days} days; narrow it with `from` and `to`."),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Bounds, DAY_MS, Window};

    #[test]
    fn a_window_without_bounds_is_the_last_seven_days_and_open() {
        let now = 1_795_219_200_123;
        assert_eq!(Bounds::default().window(now), Window { from: now - 7 * DAY_MS, to: None });
        let until = Bounds { from: None, to: Some(5) };
        assert_eq!(until.window(now), Window { from: 0, to: Some(5) });
        assert!(Bounds { from: Some(5), to: Some(5) }.check().is_err());
    }

    #[test]
    fn days_and_edges_are_the_window() {
        let window = |from, to| Window { from, to };
        let split = |from, to| {
            let split = window(from, to).split_days();
            (split.days, split.edges)
        };
        let day = DAY_MS;
        assert_eq!(split(day, Some(3 * day)), (Some((1, Some(3))), std::vec![]));
        assert_eq!(split(day, None), (Some((1, None)), std::vec![]));
        assert_eq!(split(day + 1, None), (Some((2, None)), std::vec![window(day + 1, Some(2 * day))]));
        let both = std::vec![window(day - 1, Some(day)), window(2 * day, Some(2 * day + 1))];
        assert_eq!(split(day - 1, Some(2 * day + 1)), (Some((1, Some(2))), both));
        for (from, to) in [(1, 2), (1, day), (1, day + 1), (day, day + 1)] {
            assert_eq!(split(from, Some(to)), (None, std::vec![window(from, Some(to))]), "{from} {to}");
        }
    }

    #[test]
    fn whole_days_contain_the_window() {
        let window = Window { from: DAY_MS + 1, to: Some(2 * DAY_MS + 1) };
        assert_eq!(window.of_whole_days(), Window { from: DAY_MS, to: Some(3 * DAY_MS) });
        assert_eq!(window.of_whole_days().of_whole_days(), window.of_whole_days());
        assert!(window.refuse_beyond(1, 0).is_ok());
        let open = Window { from: 0, to: None };
        assert_eq!(open.refuse_beyond(1, DAY_MS + 1).unwrap_err().field.as_deref(), Some("from"));
    }
}
