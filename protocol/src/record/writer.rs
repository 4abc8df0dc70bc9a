//! One writer of one execution: numbers events, writes their lines, cuts batches.

use super::capture::{Fields, Malformed, capture};
use super::line::{self, HEADER_MAX, Header};
use super::messages::{MessageList, MessageTable};
use super::outbox::Batch;
use super::shared::Shared;
use crate::digest::BodyDigest;
use crate::ids::{ExecutionId, WriterId};
use crate::limits::BODY_MAX;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

/// Longest line of an event, line break included: alone in a batch it must pass the server.
const LINE_MAX: usize = BODY_MAX - HEADER_MAX;
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

pub(super) struct Writer {
    /// Where the recorder keeps this writer.
    slot: usize,
    execution: ExecutionId,
    id: WriterId,
    next_n: u64,
    next_k: u64,
    prev: Option<BodyDigest>,
    /// Lines not yet cut.
    lines: Vec<u8>,
    line_count: u64,
    /// How many of them are `drop` events in the place of a recorded one.
    dropped_count: u64,
    /// When the first of them was written, on the monotonic clock.
    lines_since: u64,
    messages: MessageTable,
    losses: Vec<Loss>,
}

impl Writer {
    pub(super) fn new(slot: usize, execution: ExecutionId, id: WriterId) -> Self {
        Self {
            slot,
            execution,
            id,
            next_n: 0,
            next_k: 0,
            prev: None,
            lines: Vec::new(),
            line_count: 0,
            dropped_count: 0,
            lines_since: 0,
            messages: MessageTable::default(),
            losses: Vec::new(),
        }
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
        if event == EventType::End || self.is_full(shared) {
            self.cut(shared);
        }
    }

    /// Cuts what there is into a batch.
    pub(super) fn cut(&mut self, shared: &mut Shared) {
        if self.line_count == 0 {
            return;
        }
        let n = self.next_n - self.line_count;
        let mut body = Vec::with_capacity(HEADER_MAX + self.lines.len());
        Header {
            execution: &self.execution,
            writer: &self.id,
            k: self.next_k,
            prev: self.prev,
            n,
            clock_offset_ms: shared.clock.offset_ms(),
            sdk: shared.sdk,
            fin: false,
        }
        .write(&mut body);
        body.append(&mut self.lines);
        self.prev = Some(BodyDigest::of(&body));
        self.next_k += 1;
        shared.outbox.push(Batch {
            id: shared.random.batch_id(),
            writer: self.slot,
            n,
            count: core::mem::take(&mut self.line_count),
            dropped: core::mem::take(&mut self.dropped_count),
            body,
        });
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
                loss.reported_by = Some(self.next_n);
                let mut text = Vec::new();
                line::drop_line(&mut text, self.next_n, &loss.reason, loss.events.start, loss.events.end - 1);
                self.append(&text, now, shared);
            }
        }
    }

    fn record_captured(&mut self, event: EventType, mut fields: Fields, now: u64, shared: &mut Shared) {
        if matches!(event, EventType::Open | EventType::Step) {
            self.send_messages_once(&mut fields, now, shared);
        }
        let mut text = Vec::with_capacity(fields.as_bytes().len() + LINE_OVERHEAD);
        line::begin(&mut text, event.as_str(), self.next_n);
        if !fields.members().is_empty() {
            text.push(b',');
            text.extend_from_slice(fields.members());
        }
        if event == EventType::End {
            line::number_member(&mut text, "last", self.next_n);
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
        let n = self.next_n;
        let mut text = Vec::with_capacity(message.len() + LINE_OVERHEAD);
        line::begin(&mut text, "msg", n);
        line::number_member(&mut text, "i", index as u64);
        line::text(&mut text, ",\"v\":");
        text.extend_from_slice(message);
        line::end(&mut text);
        self.messages.add(message, n);
        self.append(&text, now, shared);
        index
    }

    /// Appends a line that already carries the next number.
    fn append(&mut self, text: &[u8], now: u64, shared: &mut Shared) {
        if text.len() > LINE_MAX {
            return self.drop_event("too_large", now, shared);
        }
        shared.tally.recorded();
        self.push_line(text, now, shared);
    }

    /// Puts a `drop` in the place of the event that would have had the next number.
    fn drop_event(&mut self, reason: &str, now: u64, shared: &mut Shared) {
        let mut text = Vec::new();
        line::drop_line(&mut text, self.next_n, reason, self.next_n, self.next_n);
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
        self.next_n += 1;
    }

    fn is_full(&self, shared: &Shared) -> bool {
        self.line_count >= shared.batch_events_max || self.lines.len() >= shared.batch_bytes_max
    }
}
