//! What outlives the process: the changes that the host's store shall make.
//!
//! The store is a map from texts to bytes that applies one set of changes at a time, all or nothing. Its keys
//! begin with the name of a queue, which is what one recorder in one page keeps:
//!
//! | key | value |
//! | --- | --- |
//! | `<queue>/b<number>` | a cut batch: one line about it, then its body |
//! | `<queue>/o<number>` | an open batch, which writer `number` fills: one line about it |
//! | `<queue>/p<number>.<n>` | a part of that batch, from event `n` on: when it was written, then its lines |
//!
//! A batch is sent only once it is durable, so that whoever finds the queue goes on with the same numbers. Nothing
//! here is signed and no key is kept: every attempt signs anew.

use super::line::{self, until};
use super::outbox::{Batch, Entry, Prev};
use super::owners::Owners;
use super::recorder::Slot;
use super::writer::Unsaved;
use crate::ids::{BatchId, ExecutionId, WriterId};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

/// In the place of a value's length: the key is to be deleted.
const DELETED: u32 = u32::MAX;
/// The transaction in which everything was made durable that an earlier recorder left.
pub(super) const LEFT_BEHIND: u32 = 1;

/// Whether there is a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Store {
    /// It is being opened.
    Opening,
    Open,
    /// There is none: what is recorded lives in memory only.
    Absent,
}

/// The queues' names, and how far the store is.
pub(super) struct Journal {
    pub(super) store: Store,
    /// The recorder's own queue, then those that it has adopted.
    queues: Vec<String>,
    /// Changes that do not wait for [`take`](Self::take) to be written.
    deletes: Vec<u8>,
    /// The transaction that is taken next.
    next: u32,
    /// The last one that is durable.
    durable: u32,
}

impl Journal {
    pub(super) fn new(store: Store, queue: &str) -> Self {
        let queues = Vec::from([queue.into()]);
        Self { store, queues, deletes: Vec::new(), next: LEFT_BEHIND + 1, durable: LEFT_BEHIND }
    }

    /// Whether what was written in transaction `saved_in` (0: in none) may be sent.
    pub(super) fn is_durable(&self, saved_in: u32) -> bool {
        self.store == Store::Absent || saved_in != 0 && saved_in <= self.durable
    }

    pub(super) fn confirm(&mut self, transaction: u32) {
        self.durable = self.durable.max(transaction);
    }

    /// Goes on under another name: somebody else has taken over the queue.
    pub(super) fn rename(&mut self, queue: &str) {
        self.queues[0] = queue.into();
        self.deletes.clear();
    }

    /// The number of a queue that is taken over.
    pub(super) fn adopt(&mut self, queue: &str) -> u32 {
        self.queues.push(queue.into());
        self.last_adopted()
    }

    /// The number of the queue that was taken over last.
    pub(super) fn last_adopted(&self) -> u32 {
        length(self.queues.len() - 1)
    }

    #[inline(never)]
    pub(super) fn forget(&mut self, queue: u32, kind: u8, number: u32, n: Option<u64>) {
        if self.store != Store::Absent {
            let key = self.key(queue, kind, number, n);
            change(&mut self.deletes, &key, DELETED);
        }
    }

    pub(super) fn forget_batch(&mut self, entry: &Entry) {
        if entry.saved_in != 0 {
            self.forget(entry.batch.queue, b'b', entry.batch.number, None);
        }
    }

    /// The store has been emptied.
    pub(super) fn clear(&mut self) {
        self.deletes.clear();
    }

    /// Writes all changes since the last call for the host: for each, the lengths of key and value (four bytes,
    /// little-endian), key, value. Gives the transaction's number, to be confirmed, or `None` if nothing changed.
    pub(super) fn take(
        &mut self,
        entries: &mut [Entry],
        writers: &mut [Slot],
        owners: &Owners,
        wall_ms: u64,
    ) -> Option<(u32, Vec<u8>)> {
        if self.store == Store::Absent {
            return None;
        }
        let mut out = core::mem::take(&mut self.deletes);
        let transaction = self.next;
        for Entry { batch, saved_in, .. } in entries {
            if *saved_in == 0 {
                *saved_in = transaction;
                self.write(&mut out, b'b', batch, None, &about(batch, batch.count, owners), &batch.body);
            }
        }
        for writer in writers.iter_mut().filter_map(Slot::writer_mut) {
            let Unsaved { is_moved, n, lines, batch } = writer.save();
            if is_moved {
                self.write(&mut out, b'o', batch, None, &about(batch, 0, owners), b"");
            }
            if !lines.is_empty() {
                let mut about = Vec::new();
                line::number(&mut about, wall_ms);
                line::text(&mut about, "\n");
                self.write(&mut out, b'p', batch, Some(n), &about, lines);
            }
        }
        if out.is_empty() {
            return None;
        }
        self.next += 1;
        Some((transaction, out))
    }

    #[inline(never)]
    fn write(
        &self,
        out: &mut Vec<u8>,
        kind: u8,
        batch: &Batch,
        n: Option<u64>,
        about: &[u8],
        content: &[u8],
    ) {
        let key = self.key(batch.queue, kind, batch.number, n);
        change(out, &key, length(about.len() + content.len()));
        line::bytes(out, about);
        line::bytes(out, content);
    }

    fn key(&self, queue: u32, kind: u8, number: u32, n: Option<u64>) -> Vec<u8> {
        let mut out = Vec::new();
        line::text(&mut out, &self.queues[queue as usize]);
        line::bytes(&mut out, &[b'/', kind]);
        padded(&mut out, u64::from(number));
        if let Some(n) = n {
            line::text(&mut out, ".");
            padded(&mut out, n);
        }
        out
    }
}

/// Ten digits or more, so that a store which gives its keys in order gives their numbers in order.
fn padded(out: &mut Vec<u8>, number: u64) {
    let mut bound = 1_000_000_000;
    while number < bound && bound > 1 {
        line::text(out, "0");
        bound /= 10;
    }
    line::number(out, number);
}

fn change(out: &mut Vec<u8>, key: &[u8], len: u32) {
    line::bytes(out, &length(key.len()).to_le_bytes());
    line::bytes(out, &len.to_le_bytes());
    line::bytes(out, key);
}

#[expect(clippy::cast_possible_truncation, reason = "memory ends before 4 GiB")]
fn length(len: usize) -> u32 {
    len as u32
}

/// Numbers of a line about a batch.
const NUMBERS: usize = 8;

/// `<k> <n> <count> <dropped> <main> <last> <held> <cut at> <id> <execution> <writer> <prev> <owner>`, of the first `count` events.
#[inline(never)]
fn about(batch: &Batch, count: u64, owners: &Owners) -> Vec<u8> {
    let mut out = Vec::new();
    let numbers: [u64; NUMBERS] = [
        batch.k,
        batch.n,
        count,
        batch.dropped.min(count),
        batch.main.into(),
        batch.last.into(),
        batch.held.into(),
        batch.cut_at,
    ];
    for number in numbers {
        line::number(&mut out, number);
        line::text(&mut out, " ");
    }
    for text in
        [batch.id.as_bytes(), batch.execution.as_bytes(), batch.writer.as_bytes(), batch.prev.as_bytes()]
    {
        line::bytes(&mut out, text);
        line::text(&mut out, " ");
    }
    line::text(&mut out, owners.name(batch.owner));
    line::text(&mut out, "\n");
    out
}

/// Reads decimal digits, and the separator after them.
#[inline(never)]
pub(super) fn read_number(rest: &mut &str, separator: u8) -> Option<u64> {
    let digits = until(rest, separator).as_bytes();
    let is_number = (1..=19).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

/// Reads what [`Journal::take`] wrote of a batch, cut or not; `None` if this is not that.
#[inline(never)]
pub(super) fn read_batch(queue: u32, number: u32, value: &str, owners: &mut Owners) -> Option<Box<Batch>> {
    let rest = &mut &*value;
    let mut numbers = [0; NUMBERS];
    for number in &mut numbers {
        *number = read_number(rest, b' ')?;
    }
    let mut word = || until(rest, b' ').as_bytes();
    let id = BatchId::read(word())?;
    let execution = ExecutionId::read(word())?;
    let writer = WriterId::read(word())?;
    let mut batch = Batch::first(id, execution, writer);
    batch.prev = Prev::parse(word(), 0, 43)?;
    (batch.queue, batch.number) = (queue, number);
    [batch.k, batch.n, batch.count, batch.dropped, _, _, _, batch.cut_at] = numbers;
    batch.dropped = batch.dropped.min(batch.count);
    [batch.main, batch.last, batch.held] = [numbers[4], numbers[5], numbers[6]].map(|flag| flag != 0);
    batch.owner = owners.find(until(rest, b'\n'));
    line::text(&mut batch.body, rest);
    Some(batch)
}
