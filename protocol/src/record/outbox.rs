//! Batches that have no fate yet.
//!
//! A [`Batch`] is plain data; what is known of its delivery stands beside it. The store that outlives the
//! process (`journal`) keeps the batches and forgets the deliveries.

use super::owners::Owner;
use super::shrink;
use crate::digest::BodyDigest;
use crate::ids::{BatchId, ExecutionId, Text, WriterId};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// The digest of a body, as base64url; empty if there is none.
pub(super) type Prev = Text;

/// What `prev` says of a body.
pub(super) fn prev_of(body: &[u8]) -> Prev {
    let mut text = Vec::new();
    BodyDigest::of(body).push_base64url(&mut text);
    Prev::parse(&text, 0, 43).unwrap_or(Prev::EMPTY)
}

/// A stretch of a writer's sequence: one that is cut, or the one that is being filled. Everything about it that must survive for it
/// to be sent later, by whomever.
pub(super) struct Batch {
    pub(super) id: BatchId,
    /// The queue in the store that holds it, and its number there.
    pub(super) queue: u32,
    pub(super) number: u32,
    pub(super) execution: ExecutionId,
    pub(super) writer: WriterId,
    pub(super) owner: Owner,
    /// Its index in the writer's sequence.
    pub(super) k: u64,
    /// The digest of the body before it.
    pub(super) prev: Prev,
    /// Number of its first event.
    pub(super) n: u64,
    /// How many events it holds.
    pub(super) count: u64,
    /// How many of them already have their fate, because a `drop` stands at their number.
    pub(super) dropped: u64,
    /// Whether the execution ends with its writer; other writers come and go.
    pub(super) main: bool,
    /// Whether it is its writer's last.
    pub(super) last: bool,
    /// Whether it waits for its execution's end to decide if it is wanted.
    pub(super) held: bool,
    /// When it was cut, in Unix milliseconds by the host's clock; 0 if that had not been read.
    pub(super) cut_at: u64,
    /// Header and event lines; while it is being filled, the lines alone.
    pub(super) body: Vec<u8>,
}

impl Batch {
    /// The first of a writer's sequence, empty.
    pub(super) fn first(id: BatchId, execution: ExecutionId, writer: WriterId) -> Box<Self> {
        Box::new(Self {
            id,
            queue: 0,
            number: 0,
            execution,
            writer,
            owner: Owner::default(),
            k: 0,
            prev: Prev::EMPTY,
            n: 0,
            count: 0,
            dropped: 0,
            main: true,
            last: false,
            held: false,
            cut_at: 0,
            body: Vec::new(),
        })
    }

    /// Whether both are one writer's.
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        self.execution == other.execution && self.writer == other.writer
    }

    /// Number of the event that comes after its last.
    pub(super) fn end(&self) -> u64 {
        self.n + self.count
    }

    /// How many of its events have no fate yet.
    pub(super) fn undecided(&self) -> u64 {
        self.count - self.dropped
    }
}

/// A batch and its delivery so far.
pub(super) struct Entry {
    pub(super) batch: Box<Batch>,
    /// Rises with every batch cut.
    pub(super) key: u32,
    pub(super) attempts: u32,
    /// How often another session or another time was needed since the last plain failure.
    pub(super) corrections: u32,
    /// The transaction that makes it durable; 0 while it is in none.
    pub(super) saved_in: u32,
    /// Whether its contents had to go for want of room, or must not, because an earlier page may have sent them.
    is_settled: bool,
}

impl Entry {
    /// Whether nobody can have its contents yet, here or in an earlier page, and they are all there.
    pub(super) fn is_unsent(&self) -> bool {
        self.attempts == 0 && !self.is_settled
    }
}

/// An attempt whose reply has not come.
#[derive(Clone, Copy)]
pub(super) struct Flight {
    pub(super) attempt: u32,
    pub(super) entry: u32,
    pub(super) session: u32,
    pub(super) sent_at: u64,
    pub(super) keepalive: bool,
    pub(super) bytes: usize,
}

/// Cut batches in their order, and the attempts under way.
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
    pub(super) fn push(&mut self, mut batch: Box<Batch>) {
        (batch.queue, batch.number) = (0, self.next_key);
        self.push_saved(batch, 0);
    }

    /// Takes in a batch that is in the store.
    #[inline(never)]
    pub(super) fn push_saved(&mut self, batch: Box<Batch>, saved_in: u32) {
        self.bytes += batch.body.len();
        let key = self.next_key;
        self.entries.push(Entry {
            batch,
            key,
            attempts: 0,
            corrections: 0,
            saved_in,
            is_settled: saved_in != 0,
        });
        self.next_key += 1;
    }

    /// Every batch cut up to now has a key below this.
    pub(super) fn end(&self) -> u32 {
        self.next_key
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(super) fn entries_mut(&mut self) -> &mut [Entry] {
        &mut self.entries
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
    #[inline(never)]
    pub(super) fn next_idle(&self, may: &dyn Fn(&Entry) -> bool) -> Option<&Entry> {
        self.entries.iter().find(|entry| !self.is_under_way(entry.key) && may(entry))
    }

    /// Of the batches that `may` go and that no keepalive attempt carries: the youngest that ends its writer, so that
    /// what is sent of an execution says how it ended; else the oldest. One that is under way otherwise counts too:
    /// that attempt dies with the page.
    pub(super) fn next_at_exit(&self, may: &dyn Fn(&Entry) -> bool) -> Option<u32> {
        let mut next: Option<&Entry> = None;
        for entry in &self.entries {
            let is_kept_alive =
                self.flights.iter().any(|flight| flight.keepalive && flight.entry == entry.key);
            if !is_kept_alive && may(entry) && (next.is_none() || entry.batch.last) {
                next = Some(entry);
            }
        }
        next.map(|entry| entry.key)
    }

    /// Notes an attempt and gives it its number.
    pub(super) fn depart(&mut self, mut flight: Flight) -> u32 {
        flight.attempt = self.next_attempt;
        self.next_attempt += 1;
        self.flights.push(flight);
        flight.attempt
    }

    /// An attempt whose outcome is not known, and its batch.
    pub(super) fn flight(&mut self, attempt: u32) -> Option<(&mut Flight, &Batch)> {
        let flight = self.flights.iter_mut().find(|flight| flight.attempt == attempt)?;
        let entry = self.entries.iter().find(|entry| entry.key == flight.entry)?;
        Some((flight, &entry.batch))
    }

    /// Takes back an attempt whose outcome is known.
    pub(super) fn arrive(&mut self, attempt: u32) -> Option<Flight> {
        let at = self.flights.iter().position(|flight| flight.attempt == attempt)?;
        Some(self.flights.swap_remove(at))
    }

    fn position(&self, key: u32) -> Option<usize> {
        self.entries.iter().position(|entry| entry.key == key)
    }

    #[inline(never)]
    pub(super) fn entry(&mut self, key: u32) -> Option<&mut Entry> {
        self.position(key).map(|at| &mut self.entries[at])
    }

    /// Takes out a batch that has met its fate.
    #[inline(never)]
    pub(super) fn take(&mut self, key: u32) -> Option<Entry> {
        let entry = self.entries.remove(self.position(key)?);
        self.bytes -= entry.batch.body.len();
        Some(entry)
    }

    /// Lets the other batches go first, so that one which fails again and again holds up nobody.
    pub(super) fn put_last(&mut self, key: u32) {
        if let Some(at) = self.position(key) {
            let entry = self.entries.remove(at);
            self.entries.push(entry);
        }
    }

    /// Empties the batches of the execution that ended first, those after the last of which something may have been sent, leaving
    /// `drop`s at their numbers; gives how many events that drops, or `None` if there is none.
    pub(super) fn empty_oldest_ended(&mut self, reason: &str) -> Option<u64> {
        let ended = &self.entries.iter().find(|entry| entry.batch.last && entry.is_unsent())?.batch;
        // What may have been sent stays: its digest is known elsewhere.
        let mut from = 0;
        for Entry { batch, .. } in
            self.entries.iter().filter(|entry| !entry.is_unsent() && entry.batch.is_beside(ended))
        {
            from = from.max(batch.k + 1);
        }
        let (execution, writer) = (ended.execution, ended.writer);
        let mut emptied = 0;
        let mut prev = None;
        // They stand in order, and each header carries the digest of the body before it.
        for entry in &mut self.entries {
            if entry.batch.k >= from && entry.batch.execution == execution && entry.batch.writer == writer {
                self.bytes -= entry.batch.body.len();
                emptied += shrink::empty(&mut entry.batch, prev, reason);
                self.bytes += entry.batch.body.len();
                prev = Some(prev_of(&entry.batch.body));
                entry.saved_in = 0;
                entry.is_settled = true;
            }
        }
        Some(emptied)
    }
}
