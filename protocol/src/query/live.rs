//! `GET /v1/live`: who follows what, from where on, and for how long.

use super::executions::ListQuery;
use super::filter::Filter;
use super::parameters::{Pair, each, invalid, number};
use crate::problem::Problem;
use crate::search::Text;
use serde::{Deserialize, Serialize};
use std::string::String;
use std::vec::Vec;

/// A connection ends after this, and its reader resumes: no credential outlives it by more, in milliseconds.
pub const CONNECTION_MS: u64 = 3_600_000;
/// Messages between two marks, at most.
const MARK_EVERY: u32 = 100;
/// Bytes between two marks, at most, but for the last message's.
const MARK_BYTES: usize = 400_000;
/// Marks that a reader may leave unacknowledged; then nothing more is sent to it.
const MARKS_MAX: usize = 10;
/// A reader that takes nothing for this long is too slow, in milliseconds.
const STALLED_MS_MAX: u64 = 10_000;
/// Longest question that is taken, in bytes before an address encodes it: with what finds its words it is up to
/// 6 kB of what is remembered with the connection.
const QUESTION_MAX: usize = 1_000;

/// `GET /v1/live`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveQuery {
    /// Which executions: a list that has all that is told of.
    pub list: ListQuery,
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
            if name == "text" {
                query.list.text = Some(Text::parse(name, value)?);
                return Ok(true);
            }
            query.list.filter.take(name, value)
        })?;
        query.list.filter.check()?;
        query.list.page.limit = 1;
        Ok(query)
    }

    /// Whether everybody is told everything.
    pub fn is_of_all(&self) -> bool {
        self.list.filter == Filter::default() && self.list.text.is_none()
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
    /// What finds the question's words.
    pub expression: Option<String>,
    /// The next entry of the log.
    pub next: u64,
    /// When it ends at the latest, Unix ms.
    pub ends_at: u64,
    /// Messages and bytes sent after the last mark.
    unmarked: (u32, usize),
    /// Cursors of every hundredth message, until the reader says that it has come so far. Not of every message: each is
    /// remembered with the socket.
    marks: Vec<u64>,
    /// Since when there is no room, Unix ms.
    stalled_since: Option<u64>,
    /// It was told why it ends. A socket may still be there for a while after that.
    is_over: bool,
}

impl Subscription {
    /// Of a reader that is to be sent `next` first, and goes at `ends_at` (Unix ms) at the latest.
    pub fn new(
        project: String,
        key: String,
        question: String,
        expression: Option<String>,
        next: u64,
        ends_at: u64,
    ) -> Self {
        Self {
            project,
            key,
            question,
            expression,
            next,
            ends_at,
            unmarked: (0, 0),
            marks: Vec::new(),
            stalled_since: None,
            is_over: false,
        }
    }

    /// Whether its time is over.
    pub fn has_ended(&self, now: u64) -> bool {
        now >= self.ends_at
    }

    /// Whether it can be sent something.
    pub fn is_reading(&self) -> bool {
        !self.is_over && self.stalled_since.is_none()
    }

    /// Whether more may be sent before it acknowledges something.
    pub fn has_room(&self) -> bool {
        self.marks.len() < MARKS_MAX
    }

    /// Counts a message of so many bytes.
    pub fn sent(&mut self, cursor: u64, bytes: usize) {
        let (messages, size) = &mut self.unmarked;
        *messages += 1;
        *size += bytes;
        if *messages == MARK_EVERY || *size >= MARK_BYTES {
            self.unmarked = (0, 0);
            self.marks.push(cursor);
        }
    }

    /// The reader has come as far as `cursor`.
    pub fn acknowledge(&mut self, cursor: u64) {
        self.marks.retain(|mark| *mark > cursor);
        if self.has_room() {
            self.stalled_since = None;
        }
    }

    /// There is no room for what comes next.
    pub fn stall(&mut self, now: u64) {
        self.stalled_since = Some(now);
    }

    /// There is room again.
    pub fn go_on(&mut self) {
        self.stalled_since = None;
    }

    /// Whether it waits for room.
    pub fn is_stalled(&self) -> bool {
        !self.is_over && self.stalled_since.is_some()
    }

    /// Whether it has had no room for too long.
    pub fn is_too_slow(&self, now: u64) -> bool {
        !self.is_over && self.stalled_since.is_some_and(|since| now >= since + STALLED_MS_MAX)
    }

    /// It was told why it ends: nothing more is sent.
    pub fn end(&mut self) {
        self.is_over = true;
    }

    /// Whether it was told why it ends.
    pub fn is_over(&self) -> bool {
        self.is_over
    }
}

#[cfg(test)]
mod tests {
    use super::{LiveQuery, Subscription};
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
    fn a_reader_has_room_for_a_thousand_messages_and_more_as_it_acknowledges() {
        let mut reader = Subscription::new("p".into(), "k".into(), String::new(), None, 0, 10);
        for cursor in 0..1_000 {
            assert!(reader.has_room(), "{cursor}");
            reader.sent(cursor, 4_000);
        }
        assert!(!reader.has_room());
        reader.stall(5);
        reader.acknowledge(98);
        assert!(!reader.has_room() && reader.is_stalled());
        reader.acknowledge(99);
        assert!(reader.has_room() && reader.is_reading());
        (1_000..1_100).for_each(|cursor| reader.sent(cursor, 1));
        assert!(!reader.has_room());
        assert_eq!((reader.has_ended(9), reader.has_ended(10)), (false, true));
        reader.acknowledge(1_099);
        (0..10).for_each(|cursor| reader.sent(cursor, 400_000));
        assert!(!reader.has_room());
    }

    #[test]
    fn a_reader_without_room_for_ten_seconds_is_too_slow_until_it_was_told() {
        let mut reader = Subscription::new("p".into(), "k".into(), String::new(), None, 0, u64::MAX);
        reader.stall(5);
        assert_eq!((reader.is_too_slow(10_004), reader.is_too_slow(10_005)), (false, true));
        reader.end();
        assert!(!reader.is_too_slow(10_005) && !reader.is_reading() && !reader.is_stalled());
    }
}
