//! One writer of one execution: numbers events, writes their lines, cuts batches.

use super::capture::{Fields, Malformed, capture};
use super::line::{self, HEADER_MAX, Header};
use super::journal::Journal;
use super::messages::{MessageList, MessageTable};
use super::outbox::Batch;
use super::owners::Owner;
use super::shared::Shared;
use super::shrink::shorten;
use crate::digest::BodyDigest;
use crate::ids::{ExecutionId, WriterId};
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

/// Longest line of an event, line break included. Its largest values are shortened to fit: alone in a batch it
/// must pass the server, and a page must be able to handle it between two frames.
pub(super) const LINE_MAX: usize = 250_000;
/// What a line has beside the event's fields, at most, in bytes.
const LINE_OVERHEAD: usize = 64;

/// The types of event a host records; `msg` and `drop` are written as they become necessary.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventType {
    /// The execution began.
    Start,
    /// It runs or waits for a person.
    State,
    /// A step began and has not ended.
    Open,
    /// A step, ended.
    Step,
    /// Something worth a line.
    Log,
    /// A judgement of the execution or one of its steps.
    Score,
    /// The execution ended; nothing can be recorded after it. `last` is added.
    End,
}

impl EventType {
    fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::State => "state",
            Self::Open => "open",
            Self::Step => "step",
            Self::Log => "log",
            Self::Score => "score",
            Self::End => "end",
        }
    }
}

/// Events that were cut into a batch and lost with it.
struct Loss {
    events: Range<u64>,
    reason: String,
    /// Number of the `drop` event that says so.
    reported_by: Option<u64>,
}

impl Loss {
    /// Whether one `drop` can report both. One that is reported already cannot grow: its numbers would count twice.
    fn continues_with(&self, events: &Range<u64>, reason: &str) -> bool {
        self.reported_by.is_none() && self.events.end == events.start && self.reason == reason
    }
}

/// Where a writer stands: what somebody needs to go on where it ended.
#[derive(Clone)]
pub(super) struct Position {
    /// The queue it writes to, and its number there.
    pub(super) queue: u32,
    pub(super) number: u32,
    pub(super) execution: ExecutionId,
    pub(super) id: WriterId,
    pub(super) owner: Owner,
    /// Whether the execution ends with it; other writers come and go.
    pub(super) is_main: bool,
    /// Whether its execution's end decides if it is wanted.
    pub(super) held: bool,
    pub(super) next_k: u64,
    pub(super) next_n: u64,
    /// Digest of the last body, as base64url.
    pub(super) prev: String,
}

pub(super) struct Writer {
    position: Position,
    /// Whether the store has the position as it is. There is nothing to store before the first event.
    is_saved: bool,
    /// Lines not yet cut.
    lines: Vec<u8>,
    line_count: u64,
    /// How many of them are `drop` events in the place of a recorded one.
    dropped_count: u64,
    /// When the first of them was written, on the monotonic clock.
    lines_since: u64,
    /// How many bytes of the lines, and how many lines, the store has.
    saved_lines: (usize, u64),
    /// The numbers under which the store has them.
    saved_at: Vec<u64>,
    /// Bytes that were cut while it is held.
    held_bytes: usize,
    messages: MessageTable,
    losses: Vec<Loss>,
}

/// What the store does not have of a writer.
pub(super) struct Unsaved<'a> {
    /// Whether the position is another.
    pub(super) is_moved: bool,
    /// Number of the first of the lines.
    pub(super) n: u64,
    pub(super) lines: &'a [u8],
}

impl Writer {
    pub(super) fn new(position: Position) -> Self {
        Self {
            position,
            is_saved: false,
            lines: Vec::new(),
            line_count: 0,
            dropped_count: 0,
            lines_since: 0,
            saved_lines: (0, 0),
            saved_at: Vec::new(),
            held_bytes: 0,
            messages: MessageTable::default(),
            losses: Vec::new(),
        }
    }

    /// A writer whose process is gone, as the store has it, with its lines that were not cut.
    pub(super) fn restored(position: Position, saved_lines: &[(u64, &str)]) -> Self {
        let mut writer = Self::new(position);
        writer.is_saved = true;
        for (n, lines) in saved_lines {
            // What does not follow on belongs to a batch that is cut.
            if *n == writer.position.next_n {
                writer.lines.extend_from_slice(lines.as_bytes());
                let count = lines.bytes().filter(|byte| *byte == b'\n').count() as u64;
                writer.line_count += count;
                writer.position.next_n += count;
            }
            writer.saved_at.push(*n);
        }
        writer
    }

    /// Where it stands, as if what is not cut had never been.
    pub(super) fn position(&self) -> Position {
        Position { next_n: self.position.next_n - self.line_count, ..self.position.clone() }
    }

    pub(super) fn at(&self) -> &Position {
        &self.position
    }

    /// How many of its events are neither cut nor dropped.
    pub(super) fn uncut(&self) -> u64 {
        self.line_count - self.dropped_count
    }

    /// What the store does not have yet; it has it from now on.
    pub(super) fn save(&mut self) -> Unsaved<'_> {
        let is_moved = !self.is_saved && self.position.next_n != 0;
        self.is_saved |= is_moved;
        let (bytes, lines) = core::mem::replace(&mut self.saved_lines, (self.lines.len(), self.line_count));
        let n = self.position.next_n - self.line_count + lines;
        let lines = &self.lines[bytes..];
        if !lines.is_empty() {
            self.saved_at.push(n);
        }
        Unsaved { is_moved, n, lines }
    }

    /// What the store has of it is to be deleted.
    pub(super) fn forget(&mut self, journal: &mut Journal) {
        let Position { queue, number, .. } = self.position;
        journal.forget(queue, b'w', number, None);
        for n in self.saved_at.drain(..) {
            journal.forget(queue, b'l', number, Some(n));
        }
    }

    /// The store shall have it all again, under its new owner.
    pub(super) fn belong_to(&mut self, owner: Owner) {
        self.position.owner = owner;
        self.is_saved = false;
    }

    /// Its execution is wanted.
    pub(super) fn release(&mut self) {
        self.position.held = false;
        self.is_saved = false;
    }

    /// Begins anew as another writer, in the place of what somebody else has ended.
    pub(super) fn begin_anew(&mut self, id: WriterId) {
        let position = Position { id, next_k: 0, next_n: 0, prev: String::new(), ..self.position() };
        *self = Self::new(position);
    }

    /// Records one event and whatever has to precede it, cutting batches as they fill up.
    pub(super) fn record(&mut self, event: EventType, fields: &str, now: u64, shared: &mut Shared) {
        self.report_losses(now, shared);
        match capture(fields) {
            Ok(fields) => self.record_captured(event, fields, now, shared),
            // No text at all is what a host passes for one that it could not handle.
            Err(Malformed) if fields.is_empty() => self.drop_event("too_large", now, shared),
            Err(Malformed) => self.drop_event("malformed", now, shared),
        }
        if event == EventType::End {
            self.cut_last(false, shared);
        } else if self.is_full(shared) {
            self.cut(shared);
        }
    }

    /// Records one event of the recorder's own; `fields` is its JSON object.
    pub(super) fn record_own(&mut self, event: EventType, fields: Vec<u8>, now: u64, shared: &mut Shared) {
        self.record_captured(event, Fields::own(fields), now, shared);
        if event == EventType::End {
            self.cut_last(false, shared);
        }
    }

    /// Cuts what there is into a batch.
    pub(super) fn cut(&mut self, shared: &mut Shared) {
        if self.line_count != 0 {
            self.cut_batch(false, false, shared);
            self.is_saved = false;
        }
    }

    /// Cuts what there is into the last batch; `fin` says so where no `end` does.
    pub(super) fn cut_last(&mut self, fin: bool, shared: &mut Shared) {
        self.cut_batch(true, fin, shared);
        self.forget(&mut shared.journal);
    }

    fn cut_batch(&mut self, ends: bool, fin: bool, shared: &mut Shared) {
        let Position { queue, number, .. } = self.position;
        let n = self.position.next_n - self.line_count;
        let mut body = Vec::with_capacity(HEADER_MAX + self.lines.len());
        let position = &mut self.position;
        Header {
            execution: &position.execution,
            writer: &position.id,
            k: position.next_k,
            prev: &position.prev,
            n,
            clock_offset_ms: shared.clock.offset_ms(),
            lost: shared.lost,
            sdk: shared.sdk,
            fin,
        }
        .write(&mut body);
        body.append(&mut self.lines);
        position.prev = BodyDigest::of(&body).to_base64url();
        self.held_bytes += body.len();
        for n in self.saved_at.drain(..) {
            shared.journal.forget(queue, b'l', number, Some(n));
        }
        self.saved_lines = (0, 0);
        shared.outbox.push(Batch {
            id: shared.random.batch_id(),
            queue: 0,
            number: 0,
            execution: position.execution.clone(),
            writer_id: position.id.clone(),
            owner: position.owner,
            k: position.next_k,
            n,
            count: core::mem::take(&mut self.line_count),
            dropped: core::mem::take(&mut self.dropped_count),
            ends,
            held: position.held,
            cut_at: shared.wall_ms,
            body,
        });
        position.next_k += 1;
    }

    /// How many bytes wait for its execution's end to decide.
    pub(super) fn held_bytes(&self) -> usize {
        if self.position.held { self.held_bytes } else { 0 }
    }

    /// When the first line not yet cut was written.
    pub(super) fn waiting_since(&self) -> Option<u64> {
        (self.line_count > 0).then_some(self.lines_since)
    }

    /// A batch of this writer is lost. A `drop` will say so ahead of the next event, and messages that were
    /// in it will be sent again with the next step that needs them.
    pub(super) fn lost(&mut self, batch: &Batch, reason: &str) {
        let events = batch.n..batch.n + batch.count;
        self.messages.forget(&events);
        for loss in &mut self.losses {
            loss.reported_by.take_if(|n| events.contains(n));
        }
        match self.losses.last_mut() {
            Some(loss) if loss.continues_with(&events, reason) => loss.events.end = events.end,
            _ => self.losses.push(Loss { events, reason: reason.into(), reported_by: None }),
        }
    }

    fn report_losses(&mut self, now: u64, shared: &mut Shared) {
        for at in 0..self.losses.len() {
            let loss = &mut self.losses[at];
            if loss.reported_by.is_none() {
                loss.reported_by = Some(self.position.next_n);
                let mut text = Vec::new();
                line::drop_line(&mut text, self.position.next_n, &loss.reason, loss.events.start, loss.events.end - 1);
                self.append(&text, now, shared);
            }
        }
    }

    fn record_captured(&mut self, event: EventType, mut fields: Fields, now: u64, shared: &mut Shared) {
        if matches!(event, EventType::Open | EventType::Step) {
            self.send_messages_once(&mut fields, now, shared);
        }
        if !fields.shorten(LINE_MAX - LINE_OVERHEAD) {
            return self.drop_event("too_large", now, shared);
        }
        let mut text = Vec::with_capacity(fields.as_bytes().len() + LINE_OVERHEAD);
        line::begin(&mut text, event.as_str(), self.position.next_n);
        if !fields.members().is_empty() {
            text.push(b',');
            text.extend_from_slice(fields.members());
        }
        if event == EventType::End {
            line::number_member(&mut text, "last", self.position.next_n);
        }
        line::end(&mut text);
        self.append(&text, now, shared);
    }

    fn send_messages_once(&mut self, fields: &mut Fields, now: u64, shared: &mut Shared) {
        let Some(list) = MessageList::find(fields) else { return };
        let mut indexes = Vec::new();
        let mut expected = 0;
        for message in list.texts(fields) {
            let index = self.messages.index_of(message, expected);
            let index = index.unwrap_or_else(|| self.send_message(message, now, shared));
            indexes.push(index);
            expected = index + 1;
        }
        list.replace(fields, &indexes);
    }

    fn send_message(&mut self, message: &[u8], now: u64, shared: &mut Shared) -> usize {
        let index = self.messages.next_index();
        let n = self.position.next_n;
        let mut value = Vec::with_capacity(message.len() + LINE_OVERHEAD);
        line::text(&mut value, "{\"v\":");
        value.extend_from_slice(message);
        value.push(b'}');
        // A message is an object, so a marker can stand for it as a whole: this always fits.
        shorten(&mut value, LINE_MAX - LINE_OVERHEAD);
        let mut text = Vec::with_capacity(value.len() + LINE_OVERHEAD);
        line::begin(&mut text, "msg", n);
        line::number_member(&mut text, "i", index as u64);
        text.push(b',');
        text.extend_from_slice(&value[1..value.len() - 1]);
        line::end(&mut text);
        self.messages.add(message, n);
        self.append(&text, now, shared);
        index
    }

    /// Appends a line that already carries the next number.
    fn append(&mut self, text: &[u8], now: u64, shared: &mut Shared) {
        shared.tally.recorded();
        self.push_line(text, now, shared);
    }

    /// Puts a `drop` in the place of the event that would have had the next number.
    fn drop_event(&mut self, reason: &str, now: u64, shared: &mut Shared) {
        let mut text = Vec::new();
        line::drop_line(&mut text, self.position.next_n, reason, self.position.next_n, self.position.next_n);
        shared.tally.recorded();
        shared.tally.dropped(1, reason);
        self.push_line(&text, now, shared);
        self.dropped_count += 1;
    }

    fn push_line(&mut self, text: &[u8], now: u64, shared: &mut Shared) {
        if self.is_full(shared) || self.lines.len() + text.len() > shared.batch_bytes_max {
            self.cut(shared);
        }
        if self.line_count == 0 {
            self.lines_since = now;
        }
        self.lines.extend_from_slice(text);
        self.line_count += 1;
        self.position.next_n += 1;
    }

    fn is_full(&self, shared: &Shared) -> bool {
        self.line_count >= shared.batch_events_max || self.lines.len() >= shared.batch_bytes_max
    }
}
