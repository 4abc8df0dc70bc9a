//! Cut batches that have no fate yet.
//!
//! A [`Batch`] is plain data; what is known of its delivery stands beside it. The store that outlives the
//! process (`journal`) keeps the batches and forgets the deliveries.

use super::owners::Owner;
use super::shrink;
use crate::digest::BodyDigest;
use crate::ids::{BatchId, ExecutionId, WriterId};
use alloc::vec::Vec;

/// Everything about a batch that must survive for it to be sent later, by whomever.
pub(super) struct Batch {
    pub(super) id: BatchId,
    /// The queue in the store that holds it, and its number there.
    pub(super) queue: u32,
    pub(super) number: u32,
    pub(super) execution: ExecutionId,
    pub(super) writer_id: WriterId,
    pub(super) owner: Owner,
    /// Its index in the writer's sequence.
    pub(super) k: u64,
    /// Number of its first event.
    pub(super) n: u64,
    /// How many events it holds.
    pub(super) count: u64,
    /// How many of them already have their fate, because a `drop` stands at their number.
    pub(super) dropped: u64,
    /// Whether it is its writer's last.
    pub(super) ends: bool,
    /// Whether it waits for its execution's end to decide if it is wanted.
    pub(super) held: bool,
    /// When it was cut, in Unix milliseconds by the host's clock; 0 if that had not been read.
    pub(super) cut_at: u64,
    /// The body: header and event lines.
    pub(super) body: Vec<u8>,
}

impl Batch {
    /// Whether this writer cut it.
    pub(super) fn is_of(&self, execution: &ExecutionId, writer: &WriterId) -> bool {
        self.execution == *execution && self.writer_id == *writer
    }
}

/// A batch and its delivery so far.
pub(super) struct Entry {
    pub(super) batch: Batch,
    /// Rises with every batch cut.
    pub(super) key: u32,
    pub(super) attempts: u32,
    /// How often another session or another time was needed since the last plain failure.
    pub(super) corrections: u32,
    /// The transaction that makes it durable; 0 while it is in none.
    pub(super) saved_in: u32,
    /// Whether its contents had to go for want of room.
    is_emptied: bool,
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
    /// Takes in a batch that has just been cut and numbers it in this recorder's own queue.
    pub(super) fn push(&mut self, batch: Batch) {
        self.push_saved(Batch { queue: 0, number: self.next_key, ..batch }, 0);
    }

    /// Takes in a batch that is in the store.
    pub(super) fn push_saved(&mut self, batch: Batch, saved_in: u32) {
        self.bytes += batch.body.len();
        self.entries.push(Entry { batch, key: self.next_key, attempts: 0, corrections: 0, saved_in, is_emptied: false });
        self.next_key += 1;
    }

    /// Every batch cut up to now has a key below this.
    pub(super) fn end(&self) -> u32 {
        self.next_key
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(super) fn entries_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.entries.iter_mut()
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

    /// The oldest batch that is not under way and `may` go.
    pub(super) fn next_idle(&self, may: impl Fn(&Entry) -> bool) -> Option<&Entry> {
        self.entries.iter().find(|entry| !self.is_under_way(entry.key) && may(entry))
    }

    /// Of the batches that `may` go, that no keepalive attempt carries and whose body is at most `bytes_max` long:
    /// the youngest that ends its writer, so that what is sent of an execution says how it ended; else the oldest.
    /// One that is under way otherwise counts too: that attempt dies with the page.
    pub(super) fn next_at_exit(&self, bytes_max: usize, may: impl Fn(&Entry) -> bool) -> Option<&Entry> {
        let is_kept_alive =
            |key| self.flights.iter().any(|flight| flight.keepalive && flight.entry == key);
        let mut fitting = self
            .entries
            .iter()
            .filter(|entry| entry.batch.body.len() <= bytes_max && may(entry) && !is_kept_alive(entry.key));
        let oldest = fitting.clone().next();
        fitting.rfind(|entry| entry.batch.ends).or(oldest)
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
    pub(super) fn take(&mut self, key: u32) -> Option<Entry> {
        let at = self.entries.iter().position(|entry| entry.key == key)?;
        let entry = self.entries.remove(at);
        self.bytes -= entry.batch.body.len();
        Some(entry)
    }

    /// Lets the other batches go first, so that one which fails again and again holds up nobody.
    pub(super) fn put_last(&mut self, key: u32) {
        if let Some(at) = self.entries.iter().position(|entry| entry.key == key) {
            self.entries[at..].rotate_left(1);
        }
    }

    /// Forgets every batch and attempt; gives how many events had no fate.
    pub(super) fn clear(&mut self) -> u64 {
        self.flights.clear();
        self.bytes = 0;
        self.entries.drain(..).map(|entry| entry.batch.count - entry.batch.dropped).sum()
    }

    /// Forgets the batches of one queue; gives how many events had no fate.
    pub(super) fn remove_queue(&mut self, queue: u32) -> u64 {
        let mut events = 0;
        let Self { entries, bytes, .. } = self;
        entries.retain(|Entry { batch, .. }| {
            let stays = batch.queue != queue;
            if !stays {
                *bytes -= batch.body.len();
                events += batch.count - batch.dropped;
            }
            stays
        });
        events
    }

    /// Empties the oldest batches of an execution that has ended of their contents, leaving `drop`s at their
    /// numbers; gives how many events that drops, or `None` if there is nothing more to empty. What may have been
    /// sent already stays: its digest is known elsewhere.
    pub(super) fn empty_oldest_ended(&mut self, reason: &str) -> Option<u64> {
        let is_fresh = |entry: &Entry| entry.attempts == 0 && !entry.is_emptied;
        let candidate = self.entries.iter().filter(|entry| is_fresh(entry)).find_map(|entry| {
            let (execution, writer) = (&entry.batch.execution, &entry.batch.writer_id);
            let of_writer = || self.entries.iter().filter(|other| other.batch.is_of(execution, writer));
            let after_sent = of_writer().filter(|other| other.attempts > 0).map(|other| other.batch.k + 1).max();
            let first = after_sent.unwrap_or(0);
            let is_worth_it = of_writer().any(|other| other.batch.ends) && entry.batch.k >= first;
            is_worth_it.then(|| (execution.clone(), writer.clone(), first))
        });
        let (execution, writer, first) = candidate?;
        let mut emptied = 0;
        let mut prev = None;
        let mut at = first;
        // In order of `k`, because each header carries the digest of the body before it.
        while let Some(next) = self.position_at_or_after(&execution, &writer, at) {
            let entry = &mut self.entries[next];
            at = entry.batch.k + 1;
            let before = entry.batch.body.len();
            emptied += shrink::empty(&mut entry.batch, prev, reason);
            prev = Some(BodyDigest::of(&entry.batch.body));
            entry.saved_in = 0;
            entry.is_emptied = true;
            self.bytes = self.bytes - before + self.entries[next].batch.body.len();
        }
        Some(emptied)
    }

    fn position_at_or_after(&self, execution: &ExecutionId, writer: &WriterId, k: u64) -> Option<usize> {
        let of_writer = self
            .entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.batch.is_of(execution, writer) && entry.batch.k >= k);
        of_writer.min_by_key(|(_, entry)| entry.batch.k).map(|(at, _)| at)
    }
}
