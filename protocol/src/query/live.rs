//! `GET /v1/live`: who follows what, from where on, and for how long.

use super::filter::Filter;
use super::parameters::{Pair, each, invalid, number};
use crate::problem::Problem;
use serde::{Deserialize, Serialize};
use std::string::String;

/// A connection ends after this, and its reader resumes: no credential outlives it by more, in milliseconds.
pub const CONNECTION_MS: u64 = 3_600_000;
/// Messages that a reader may leave unacknowledged before it counts as too slow.
const UNACKNOWLEDGED_MAX: u32 = 1_000;
/// Longest question that is remembered with a connection, in bytes.
const QUESTION_MAX: usize = 1_000;

/// `GET /v1/live`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveQuery {
    /// What the executions have in common.
    pub filter: Filter,
    /// The last message that was seen; none begins with what comes next.
    pub cursor: Option<u64>,
}

impl LiveQuery {
    /// Reads the parameters, and refuses anything else.
    pub fn parse<'a>(pairs: impl Iterator<Item = Pair<'a>>) -> Result<Self, Problem> {
        let mut query = Self::default();
        let mut bytes = 0;
        each(pairs, "the list's filters and `cursor`", |name, value| {
            bytes += name.len() + value.len();
            if name == "cursor" {
                query.cursor = Some(number(name, value)?.unsigned_abs());
                return Ok(true);
            }
            if bytes > QUESTION_MAX {
                return Err(invalid(name, "The filters are too long; 1,000 bytes are taken."));
            }
            // What is scored is scored later: rows of the feed have none yet.
            if name.contains("score") {
                return Ok(false);
            }
            query.filter.take(name, value)
        })?;
        Ok(query)
    }
}

/// One reader's connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// The project whose log is followed.
    pub project: String,
    /// The API key that opened it.
    pub key: String,
    /// The query string, read again where the filter is needed.
    pub question: String,
    /// The next entry of the log.
    pub next: u64,
    /// When it ends at the latest, Unix ms.
    pub ends_at: u64,
    /// Messages since the reader last said how far it has come.
    pub unacknowledged: u32,
}

impl Subscription {
    /// Whether its time is over.
    pub fn has_ended(&self, now: u64) -> bool {
        now >= self.ends_at
    }

    /// Counts a message, and says whether the reader is too slow for it.
    pub fn count_message(&mut self) -> bool {
        self.unacknowledged += 1;
        self.unacknowledged > UNACKNOWLEDGED_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::{LiveQuery, Subscription, UNACKNOWLEDGED_MAX};
    use std::borrow::Cow;
    use std::string::String;

    fn parse(pairs: &[(&'static str, String)]) -> Result<LiveQuery, crate::problem::Problem> {
        LiveQuery::parse(pairs.iter().map(|(name, value)| (Cow::Borrowed(*name), Cow::Owned(value.clone()))))
    }

    #[test]
    fn bad_parameters_are_named() {
        for (name, value) in
            [("cursor", String::from("-1")), ("limit", "3".into()), ("user", "u".repeat(1_000))]
        {
            let problem = parse(&[(name, value)]).unwrap_err();
            assert_eq!(problem.field.as_deref(), Some(name));
        }
        assert_eq!(parse(&[("cursor", "7".into())]).unwrap().cursor, Some(7));
    }

    #[test]
    fn a_reader_that_acknowledges_nothing_is_too_slow_in_the_end() {
        let mut reader = Subscription {
            project: "p".into(),
            key: "k".into(),
            question: String::new(),
            next: 0,
            ends_at: 10,
            unacknowledged: 0,
        };
        assert!((0..UNACKNOWLEDGED_MAX).all(|_| !reader.count_message()));
        assert!(reader.count_message());
        assert_eq!((reader.has_ended(9), reader.has_ended(10)), (false, true));
    }
}
