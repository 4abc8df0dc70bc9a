//! One fate for every event, counted, with reasons.

use alloc::string::String;
use alloc::vec::Vec;

/// Longest reason that is repeated, in bytes.
const REASON_MAX: usize = 100;
/// Once there are this many, new ones are counted together.
const REASONS_MAX: usize = 50;

/// How many events have met which fate since the recorder began. Their sum is the number of events recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// The server has them for good.
    pub stored: u64,
    /// The server has them, but kept them out of its sums because they are malformed.
    pub rejected: u64,
    /// They are lost; [`Recorder::reasons`](super::Recorder::reasons) says why.
    pub dropped: u64,
    /// They still wait to be sent or answered.
    pub pending: u64,
}

#[derive(Default)]
pub(super) struct Tally {
    counts: Counts,
    reasons: Vec<(String, u64)>,
}

impl Tally {
    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    pub(super) fn reasons(&self) -> &[(String, u64)] {
        &self.reasons
    }

    pub(super) fn recorded(&mut self) {
        self.counts.pending += 1;
    }

    /// Events that an earlier recorder left.
    pub(super) fn restored(&mut self, events: u64) {
        self.counts.pending += events;
    }

    /// Events that are another recorder's from now on, or that nobody wants.
    pub(super) fn handed_over(&mut self, events: u64) {
        self.settle(events);
    }

    pub(super) fn stored(&mut self, events: u64) {
        self.settle(events);
        self.counts.stored += events;
    }

    pub(super) fn rejected(&mut self, events: u64) {
        self.settle(events);
        self.counts.rejected += events;
    }

    pub(super) fn dropped(&mut self, events: u64, reason: &str) {
        self.settle(events);
        self.counts.dropped += events;
        self.because(events, reason);
    }

    /// Adds to the count of `reason`.
    pub(super) fn because(&mut self, events: u64, reason: &str) {
        if events == 0 {
            return;
        }
        let reason = if self.reasons.len() < REASONS_MAX { plain(reason) } else { "other" };
        match self.reasons.iter_mut().find(|(known, _)| known == reason) {
            Some((_, count)) => *count += events,
            None => self.reasons.push((reason.into(), events)),
        }
    }

    fn settle(&mut self, events: u64) {
        debug_assert!(events <= self.counts.pending, "an event has one fate");
        self.counts.pending = self.counts.pending.saturating_sub(events);
    }
}

/// A reason as it may stand in a line and in a status: replies give them, and a reply may say anything.
pub(super) fn plain(reason: &str) -> &str {
    let is_plain = reason.len() <= REASON_MAX
        && reason.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\');
    if is_plain { reason } else { "unreadable" }
}

#[cfg(test)]
mod tests {
    use super::{Tally, plain};
    use std::format;

    #[test]
    fn only_plain_reasons_are_repeated() {
        for reason in ["http_404", "field `name` is missing"] {
            assert_eq!(plain(reason), reason);
        }
        for odd in ["a\"b", "a\\b", "a\tb", "é", &"a".repeat(101)] {
            assert_eq!(plain(odd), "unreadable");
        }
    }

    #[test]
    fn reasons_without_end_are_counted_together() {
        let mut tally = Tally::default();
        for number in 0..1_000 {
            tally.because(1, &format!("reason {number}"));
        }
        assert_eq!(tally.reasons().len(), 51);
        assert_eq!(tally.reasons().last(), Some(&("other".into(), 950)));
    }
}
