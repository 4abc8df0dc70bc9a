//! What outlives the process: the changes that the host's store shall make.
//!
//! The store is a map from texts to bytes that applies one set of changes at a time, all or nothing. Its keys
//! begin with the name of a queue, which is what one recorder in one page keeps:
//!
//! | key | value |
//! | --- | --- |
//! | `<queue>/b<number>` | a cut batch: one line about it, then its body |
//! | `<queue>/w<number>` | a writer that has not ended: one line |
//! | `<queue>/l<number>.<n>` | lines of that writer from event `n` on that are not cut yet: when, then the lines |
//!
//! A batch is sent only once it is durable, so that whoever finds the queue goes on with the same numbers. Nothing
//! here is signed and no key is kept: every attempt signs anew.

use super::line;
use super::outbox::{Batch, Entry};
use super::owners::Owners;
use super::writer::{Position, Unsaved, Writer};
use crate::ids::{BatchId, ExecutionId, WriterId};
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
    deletes: Vec<Vec<u8>>,
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

    /// The number that the queue gets which is adopted next.
    pub(super) fn adopting(&self) -> u32 {
        length(self.queues.len())
    }

    /// The number of a queue that is taken over.
    pub(super) fn adopt(&mut self, queue: &str) -> u32 {
        let number = self.adopting();
        self.queues.push(queue.into());
        number
    }

    pub(super) fn forget(&mut self, queue: u32, kind: u8, number: u32, n: Option<u64>) {
        if self.store != Store::Absent {
            let mut key = Vec::new();
            self.key(&mut key, queue, kind, number, n);
            self.deletes.push(key);
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
    pub(super) fn take<'a>(
        &mut self,
        entries: impl Iterator<Item = &'a mut Entry>,
        writers: impl Iterator<Item = &'a mut Writer>,
        owners: &Owners,
        wall_ms: u64,
    ) -> Option<(u32, Vec<u8>)> {
        if self.store == Store::Absent {
            return None;
        }
        let mut out = Vec::new();
        let transaction = self.next;
        for key in core::mem::take(&mut self.deletes) {
            change(&mut out, &key, None);
        }
        let mut key = Vec::new();
        for entry in entries.filter(|entry| entry.saved_in == 0) {
            entry.saved_in = transaction;
            self.key(&mut key, entry.batch.queue, b'b', entry.batch.number, None);
            let about = batch_line(&entry.batch, owners);
            change(&mut out, &key, Some((&about, &entry.batch.body)));
        }
        for writer in writers {
            let position = writer.position();
            let Unsaved { is_moved, n, lines } = writer.save();
            if is_moved {
                self.key(&mut key, position.queue, b'w', position.number, None);
                change(&mut out, &key, Some((&writer_line(&position, owners), b"")));
            }
            if !lines.is_empty() {
                self.key(&mut key, position.queue, b'l', position.number, Some(n));
                let mut about = Vec::new();
                line::number(&mut about, wall_ms);
                about.push(b'\n');
                change(&mut out, &key, Some((&about, lines)));
            }
        }
        if out.is_empty() {
            return None;
        }
        self.next += 1;
        Some((transaction, out))
    }

    fn key(&self, out: &mut Vec<u8>, queue: u32, kind: u8, number: u32, n: Option<u64>) {
        out.clear();
        line::text(out, &self.queues[queue as usize]);
        out.extend_from_slice(&[b'/', kind]);
        padded(out, u64::from(number));
        if let Some(n) = n {
            out.push(b'.');
            padded(out, n);
        }
    }
}

/// Ten digits or more, so that a store which gives its keys in order gives their numbers in order.
fn padded(out: &mut Vec<u8>, number: u64) {
    let mut bound = 1_000_000_000;
    while number < bound && bound > 1 {
        out.push(b'0');
        bound /= 10;
    }
    line::number(out, number);
}

fn change(out: &mut Vec<u8>, key: &[u8], value: Option<(&[u8], &[u8])>) {
    let len = value.map_or(DELETED, |(about, content)| length(about.len() + content.len()));
    out.extend_from_slice(&length(key.len()).to_le_bytes());
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(key);
    if let Some((about, content)) = value {
        out.extend_from_slice(about);
        out.extend_from_slice(content);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "memory ends before 4 GiB")]
fn length(len: usize) -> u32 {
    len as u32
}

/// `<id> <k> <n> <count> <dropped> <ends> <held> <cut at> <execution> <writer> <owner>`
fn batch_line(batch: &Batch, owners: &Owners) -> Vec<u8> {
    let mut out = Vec::new();
    line::text(&mut out, batch.id.as_str());
    let numbers = [
        batch.k,
        batch.n,
        batch.count,
        batch.dropped,
        u64::from(batch.ends),
        u64::from(batch.held),
        batch.cut_at,
    ];
    for number in numbers {
        out.push(b' ');
        line::number(&mut out, number);
    }
    for text in [batch.execution.as_str(), batch.writer_id.as_str(), owners.name(batch.owner)] {
        out.push(b' ');
        line::text(&mut out, text);
    }
    out.push(b'\n');
    out
}

/// `<next k> <next n> <is main> <held> <execution> <writer> <prev> <owner>`
fn writer_line(writer: &Position, owners: &Owners) -> Vec<u8> {
    let mut out = Vec::new();
    for number in [writer.next_k, writer.next_n, u64::from(writer.is_main), u64::from(writer.held)] {
        line::number(&mut out, number);
        out.push(b' ');
    }
    for text in [writer.execution.as_str(), writer.id.as_str(), &writer.prev] {
        line::text(&mut out, text);
        out.push(b' ');
    }
    line::text(&mut out, owners.name(writer.owner));
    out.push(b'\n');
    out
}

/// What a key says of its value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Key {
    Batch(u32),
    Writer(u32),
    Lines(u32, u64),
}

impl Key {
    /// Reads what follows a queue's name and the slash.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut words = Words(text);
        let kind = words.text(1)?;
        let number = u32::try_from(words.number()?).ok()?;
        match kind {
            "b" => Some(Self::Batch(number)),
            "w" => Some(Self::Writer(number)),
            "l" => Some(Self::Lines(number, words.number()?)),
            _ => None,
        }
    }
}

/// Reads words and numbers, one separator between two.
pub(super) struct Words<'a>(pub(super) &'a str);

impl<'a> Words<'a> {
    fn text(&mut self, len: usize) -> Option<&'a str> {
        let (text, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(text)
    }

    /// Up to the next separator, which is skipped, or the end.
    #[inline(never)]
    fn word(&mut self, separator: u8) -> Option<&'a str> {
        let len = self.0.bytes().position(|byte| byte == separator).unwrap_or(self.0.len());
        let word = self.text(len);
        self.0 = self.0.get(1..).unwrap_or_default();
        word
    }

    /// Decimal digits, and the separator after them.
    #[inline(never)]
    pub(super) fn number(&mut self) -> Option<u64> {
        let digits = self.0.bytes().take_while(u8::is_ascii_digit).count();
        let text = self.text(digits).filter(|text| !text.is_empty() && text.len() <= 19)?;
        self.0 = self.0.get(1..).unwrap_or_default();
        Some(text.bytes().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
    }
}

/// Reads what [`Journal::take`] wrote of a batch; `None` if this is not that.
pub(super) fn read_batch(queue: u32, number: u32, value: &str, owners: &mut Owners) -> Option<Batch> {
    let mut words = Words(value);
    let id = BatchId::parse(words.word(b' ')?).ok()?;
    let mut numbers = [0; 7];
    for number in &mut numbers {
        *number = words.number()?;
    }
    let [k, n, count, dropped, ends, held, cut_at] = numbers;
    let execution = ExecutionId::parse(words.word(b' ')?).ok()?;
    let writer_id = WriterId::parse(words.word(b' ')?).ok()?;
    let owner = owners.find(words.word(b'\n')?);
    Some(Batch {
        id,
        queue,
        number,
        execution,
        writer_id,
        owner,
        k,
        n,
        count,
        dropped: dropped.min(count),
        ends: ends != 0,
        held: held != 0,
        cut_at,
        body: words.0.into(),
    })
}

/// Reads what [`Journal::take`] wrote of a writer; `None` if this is not that.
pub(super) fn read_writer(queue: u32, number: u32, value: &str, owners: &mut Owners) -> Option<Position> {
    let mut words = Words(value);
    let mut numbers = [0; 4];
    for number in &mut numbers {
        *number = words.number()?;
    }
    let [next_k, next_n, is_main, held] = numbers;
    let execution = ExecutionId::parse(words.word(b' ')?).ok()?;
    let id = WriterId::parse(words.word(b' ')?).ok()?;
    let prev = words.word(b' ')?.into();
    let owner = owners.find(words.word(b'\n')?);
    let (is_main, held) = (is_main != 0, held != 0);
    Some(Position { queue, number, execution, id, owner, is_main, held, next_k, next_n, prev })
}
