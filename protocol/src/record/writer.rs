//! One writer of one execution: numbers events, writes their lines, cuts batches.

use super::capture::{Fields, Malformed, capture};
use super::journal::Journal;
use super::line::{self, About};
use super::messages::{MessageTable, Ranges, find_list, next_element};
use super::outbox::{Batch, Prev, prev_of};
use super::owners::Owner;
use super::shared::Shared;
use super::shrink::shorten;
use alloc::boxed::Box;
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

/// Why an event has no fields, as a host says it in their place.
fn reason_without(fields: &str) -> &'static str {
    match fields.as_bytes() {
        b"" => "too_large",
        b"!" => "redaction_hook",
        b"?" => "redaction_failed",
        _ => "malformed",
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

/// A writer whose process is gone.
#[derive(Clone, Copy)]
pub(super) struct Orphan {
    /// When it gave its last sign of life, in Unix milliseconds of its own clock.
    pub(super) seen_at: u64,
    /// When it is ended, on the monotonic clock.
    pub(super) ends_at: u64,
}

pub(super) struct Writer {
    /// The batch that it fills; the lines are its body.
    batch: Box<Batch>,
    pub(super) orphan: Option<Orphan>,
    /// Whether the store has the batch's place as it is. There is nothing to store before the first event.
    is_saved: bool,
    /// When the first of the lines was written, on the monotonic clock.
    lines_since: u64,
    /// How many bytes of the lines, and how many lines, the store has.
    saved_lines: (usize, u64),
    /// The numbers under which the store has them.
    saved_at: Vec<u64>,
    /// The body before that batch, and what it was cut as, until its digest is known. Empty if nothing is to be hashed.
    unhashed: (Vec<u8>, u32),
    /// Bytes that were cut while it is held.
    held_bytes: usize,
    messages: MessageTable,
    losses: Vec<Loss>,
}

/// What the store does not have of a writer.
pub(super) struct Unsaved<'a> {
    /// Whether the place of the batch is another.
    pub(super) is_moved: bool,
    /// Number of the first of the lines.
    pub(super) n: u64,
    pub(super) lines: &'a [u8],
    pub(super) batch: &'a Batch,
}

#[allow(
    clippy::unnecessary_box_returns,
    reason = "a page pays for every place that moves a writer; wasm's is below the lint's size"
)]
impl Writer {
    #[inline(never)]
    pub(super) fn new(batch: Box<Batch>) -> Box<Self> {
        Box::new(Self {
            batch,
            orphan: None,
            is_saved: false,
            lines_since: 0,
            saved_lines: (0, 0),
            saved_at: Vec::new(),
            unhashed: (Vec::new(), 0),
            held_bytes: 0,
            messages: MessageTable::default(),
            losses: Vec::new(),
        })
    }

    /// A writer whose process is gone, as the store has it, without its lines.
    pub(super) fn restored(batch: Box<Batch>, orphan: Orphan) -> Box<Self> {
        let mut writer = Self::new(batch);
        (writer.orphan, writer.is_saved) = (Some(orphan), true);
        writer
    }

    /// Takes in lines that were written to the store at `at`, from event `n` on; gives how many events are new.
    pub(super) fn restore(&mut self, n: u64, at: u64, lines: &str) -> u64 {
        let batch = &mut self.batch;
        self.saved_at.push(n);
        // What does not follow on belongs to a batch that is cut.
        if n != batch.end() {
            return 0;
        }
        if let Some(orphan) = &mut self.orphan {
            orphan.seen_at = orphan.seen_at.max(at);
        }
        let count = lines.bytes().filter(|byte| *byte == b'\n').count() as u64;
        line::text(&mut batch.body, lines);
        batch.count += count;
        self.saved_lines = (batch.body.len(), batch.count);
        count
    }

    /// The batch that it fills.
    pub(super) fn batch(&self) -> &Batch {
        &self.batch
    }

    /// What the store does not have yet; it has it from now on.
    pub(super) fn save(&mut self) -> Unsaved<'_> {
        self.hash();
        let batch = &self.batch;
        let is_moved = !self.is_saved && batch.end() != 0;
        self.is_saved |= is_moved;
        let (bytes, lines) = core::mem::replace(&mut self.saved_lines, (batch.body.len(), batch.count));
        let n = batch.n + lines;
        let lines = &batch.body[bytes..];
        if !lines.is_empty() {
            self.saved_at.push(n);
        }
        Unsaved { is_moved, n, lines, batch }
    }

    /// What the store has of it is to be deleted.
    #[inline(never)]
    pub(super) fn forget(&mut self, journal: &mut Journal) {
        journal.forget(self.batch.queue, b'o', self.batch.number, None);
        self.forget_lines(journal);
    }

    fn forget_lines(&mut self, journal: &mut Journal) {
        for n in &self.saved_at {
            journal.forget(self.batch.queue, b'p', self.batch.number, Some(*n));
        }
        self.saved_at.clear();
        self.saved_lines = (0, 0);
    }

    /// The store shall have it all again, under its new owner.
    pub(super) fn belong_to(&mut self, owner: Owner) {
        self.batch.owner = owner;
        self.is_saved = false;
    }

    /// Its execution is wanted.
    pub(super) fn release(&mut self) {
        self.batch.held = false;
        self.is_saved = false;
    }

    /// Records one event and whatever has to precede it, cutting batches as they fill up.
    pub(super) fn record(&mut self, event: EventType, fields: &str, now: u64, shared: &mut Shared) {
        self.report_losses(now, shared);
        match capture(fields) {
            Ok(fields) => self.record_captured(event, fields, now, shared),
            Err(Malformed) => self.drop_event(reason_without(fields), now, shared),
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
    }

    /// Cuts what there is into a batch.
    pub(super) fn cut(&mut self, shared: &mut Shared) {
        if self.batch.count != 0 {
            self.cut_batch(false, false, shared);
            self.is_saved = false;
        }
    }

    /// Cuts what there is into the last batch; `fin` says so where no `end` does.
    pub(super) fn cut_last(&mut self, fin: bool, shared: &mut Shared) {
        self.cut_batch(true, fin, shared);
        self.forget(&mut shared.journal);
    }

    #[inline(never)]
    fn cut_batch(&mut self, last: bool, fin: bool, shared: &mut Shared) {
        self.forget_lines(&mut shared.journal);
        self.hash();
        let batch = &mut self.batch;
        let about =
            About { clock_offset_ms: shared.clock.offset_ms(), lost: shared.lost, sdk: shared.sdk, fin };
        let mut body = Vec::new();
        line::header(&mut body, batch, &about);
        body.append(&mut batch.body);
        self.held_bytes += body.len();
        if !last {
            line::bytes(&mut self.unhashed.0, &body);
            self.unhashed.1 = shared.outbox.end();
        }
        shared.outbox.push(Box::new(Batch { last, cut_at: shared.wall_ms, body, ..**batch }));
        batch.id = shared.random.batch_id();
        batch.k += 1;
        batch.n = batch.end();
        batch.cut_at = shared.wall_ms;
        (batch.count, batch.dropped) = (0, 0);
    }

    /// The body whose digest the next header needs, and the number that nothing else was cut as.
    pub(super) fn unhashed(&self) -> Option<(&[u8], u32)> {
        let (body, key) = &self.unhashed;
        (!body.is_empty()).then_some((body, *key))
    }

    /// Takes the digest of that body.
    pub(super) fn hashed(&mut self, digest: Prev) {
        self.batch.prev = digest;
        self.unhashed.0.clear();
    }

    /// Nobody else has hashed the body before in time.
    #[inline(never)]
    fn hash(&mut self) {
        if let Some((body, _)) = self.unhashed() {
            self.hashed(prev_of(body));
        }
    }

    /// How many bytes wait for its execution's end to decide.
    pub(super) fn held_bytes(&self) -> usize {
        if self.batch.held { self.held_bytes } else { 0 }
    }

    /// When the first line not yet cut was written.
    pub(super) fn waiting_since(&self) -> Option<u64> {
        (self.batch.count > 0).then_some(self.lines_since)
    }

    /// A batch of this writer is lost. A `drop` will say so ahead of the next event, and messages that were
    /// in it will be sent again with the next step that needs them.
    pub(super) fn lost(&mut self, batch: &Batch, reason: &str) {
        let events = batch.n..batch.end();
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
                let n = self.batch.end();
                loss.reported_by = Some(n);
                let mut text = Vec::new();
                line::drop_line(&mut text, n, &loss.reason, loss.events.start, loss.events.end - 1);
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
        let mut text = Vec::new();
        let n = self.batch.end();
        line::begin(&mut text, event.as_str(), n);
        if !fields.members().is_empty() {
            line::text(&mut text, ",");
            line::bytes(&mut text, fields.members());
        }
        if event == EventType::End {
            line::number_member(&mut text, "last", n);
        }
        line::end(&mut text);
        self.append(&text, now, shared);
    }

    fn send_messages_once(&mut self, fields: &mut Fields, now: u64, shared: &mut Shared) {
        let Some(list) = find_list(fields.as_bytes()) else { return };
        let mut ranges = Ranges::new();
        let mut at = list.start;
        while let Some(element) = next_element(fields.as_bytes(), at) {
            at = element.end;
            let message = &fields.as_bytes()[element];
            let index = self.messages.index_of(message, ranges.expected());
            ranges.push(index.unwrap_or_else(|hash| self.send_message(message, hash, now, shared)));
        }
        fields.replace(list, &ranges.finish());
    }

    fn send_message(&mut self, message: &[u8], hash: u32, now: u64, shared: &mut Shared) -> usize {
        let index = self.messages.next_index();
        let n = self.batch.end();
        let mut value = Vec::new();
        line::text(&mut value, "{\"v\":");
        line::bytes(&mut value, message);
        line::text(&mut value, "}");
        // A message is an object, so a marker can stand for it as a whole: this always fits.
        shorten(&mut value, LINE_MAX - LINE_OVERHEAD);
        let mut text = Vec::new();
        line::begin(&mut text, "msg", n);
        line::number_member(&mut text, "i", index as u64);
        line::text(&mut text, ",");
        line::bytes(&mut text, &value[1..value.len() - 1]);
        line::end(&mut text);
        self.messages.add(message, hash, n);
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
        let (mut text, n) = (Vec::new(), self.batch.end());
        line::drop_line(&mut text, n, reason, n, n);
        shared.tally.recorded();
        shared.tally.dropped(1, reason);
        self.push_line(&text, now, shared);
        self.batch.dropped += 1;
    }

    fn push_line(&mut self, text: &[u8], now: u64, shared: &mut Shared) {
        if self.is_full(shared) || self.batch.body.len() + text.len() > shared.batch_bytes_max {
            self.cut(shared);
        }
        if self.batch.count == 0 {
            self.lines_since = now;
        }
        line::bytes(&mut self.batch.body, text);
        self.batch.count += 1;
    }

    fn is_full(&self, shared: &Shared) -> bool {
        self.batch.count >= shared.batch_events_max || self.batch.body.len() >= shared.batch_bytes_max
    }
}
