//! Cut batches that have no fate yet.
//!
//! A [`Batch`] is plain data whose bytes never change; what is known of its delivery stands beside it. A
//! store that outlives the process would keep the batches and forget the deliveries.

use crate::ids::BatchId;
use alloc::vec::Vec;

/// Everything about a batch that must survive for it to be sent later, by whomever.
pub(super) struct Batch {
    pub(super) id: BatchId,
    /// Which of the recorder's writers cut it; means nothing once that is gone.
    pub(super) writer: usize,
    /// Number of its first event.
    pub(super) n: u64,
    /// How many events it holds.
    pub(super) count: u64,
    /// How many of them already have their fate, because a `drop` stands at their number.
    pub(super) dropped: u64,
    /// The body: header and event lines.
    pub(super) body: Vec<u8>,
}

/// A batch and its delivery so far.
pub(super) struct Entry {
    pub(super) batch: Batch,
    /// Rises with every batch cut.
    pub(super) key: u32,
    pub(super) attempts: u32,
    /// How often another session or another time was needed since the last plain failure.
    pub(super) corrections: u32,
}

/// An attempt whose reply has not come.
pub(super) struct Flight {
    pub(super) attempt: u32,
    pub(super) entry: u32,
    pub(super) session: u32,
    pub(super) sent_at: u64,
    pub(super) keepalive: bool,
    pub(super) bytes: usize,
}

/// Batches in the order in which they were cut, and the attempts under way.
#[derive(Default)]
pub(super) struct Outbox {
    entries: Vec<Entry>,
    flights: Vec<Flight>,
    next_key: u32,
    next_attempt: u32,
    bytes: usize,
}

impl Outbox {
    pub(super) fn push(&mut self, batch: Batch) {
        self.bytes += batch.body.len();
        self.entries.push(Entry { batch, key: self.next_key, attempts: 0, corrections: 0 });
        self.next_key += 1;
    }

    /// Every batch cut up to now has a key below this.
    pub(super) fn end(&self) -> u32 {
        self.next_key
    }

    /// Whether every batch with a key below `end` has its fate.
    pub(super) fn settled_before(&self, end: u32) -> bool {
        self.entries.iter().all(|entry| entry.key >= end)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of all bodies kept.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// Whether a reply about this batch may still come.
    pub(super) fn is_under_way(&self, key: u32) -> bool {
        self.flights.iter().any(|flight| flight.entry == key)
    }

    /// Bytes that keepalive attempts under way carry.
    pub(super) fn keepalive_bytes(&self) -> usize {
        self.flights.iter().filter(|flight| flight.keepalive).map(|flight| flight.bytes).sum()
    }

    /// The oldest batch that is not under way.
    pub(super) fn next_idle(&mut self) -> Option<&mut Entry> {
        let flights = &self.flights;
        self.entries.iter_mut().find(|entry| flights.iter().all(|flight| flight.entry != entry.key))
    }

    /// The oldest batch that no keepalive attempt carries and whose body is at most `bytes_max` long. One
    /// that is under way otherwise counts too: that attempt dies with the page.
    pub(super) fn next_at_exit(&mut self, bytes_max: usize) -> Option<&mut Entry> {
        let flights = &self.flights;
        self.entries.iter_mut().find(|entry| {
            entry.batch.body.len() <= bytes_max
                && !flights.iter().any(|flight| flight.keepalive && flight.entry == entry.key)
        })
    }

    /// Notes an attempt and gives it its number.
    pub(super) fn depart(&mut self, mut flight: Flight) -> u32 {
        flight.attempt = self.next_attempt;
        self.next_attempt += 1;
        self.flights.push(flight);
        self.next_attempt - 1
    }

    /// Takes back an attempt whose outcome is known.
    pub(super) fn arrive(&mut self, attempt: u32) -> Option<Flight> {
        let at = self.flights.iter().position(|flight| flight.attempt == attempt)?;
        Some(self.flights.swap_remove(at))
    }

    pub(super) fn entry(&mut self, key: u32) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.key == key)
    }

    /// Takes out a batch that has met its fate.
    pub(super) fn take(&mut self, key: u32) -> Option<Batch> {
        let at = self.entries.iter().position(|entry| entry.key == key)?;
        let batch = self.entries.remove(at).batch;
        self.bytes -= batch.body.len();
        Some(batch)
    }

    /// Lets the other batches go first, so that one which fails again and again holds up nobody.
    pub(super) fn put_last(&mut self, key: u32) {
        if let Some(at) = self.entries.iter().position(|entry| entry.key == key) {
            self.entries[at..].rotate_left(1);
        }
    }
}
