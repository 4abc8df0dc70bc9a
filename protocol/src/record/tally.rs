//! One fate for every event, counted, with reasons.

use alloc::string::String;
use alloc::vec::Vec;

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

    pub(super) fn reasons(&self) -> impl Iterator<Item = (&str, u64)> {
        self.reasons.iter().map(|(reason, count)| (reason.as_str(), *count))
    }

    pub(super) fn recorded(&mut self) {
        self.counts.pending += 1;
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

    /// Adds to the count of `reason`, of which only what an identifier may contain is kept: it comes from a reply.
    pub(super) fn because(&mut self, events: u64, reason: &str) {
        if events == 0 {
            return;
        }
        let reason: String =
            reason.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(64).collect();
        match self.reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count += events,
            None => self.reasons.push((reason, events)),
        }
    }

    fn settle(&mut self, events: u64) {
        debug_assert!(events <= self.counts.pending, "an event has one fate");
        self.counts.pending = self.counts.pending.saturating_sub(events);
    }
}
