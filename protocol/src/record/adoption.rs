//! Taking over what another recorder left: a page that was closed, reloaded or killed.
//!
//! The host reads a queue whose owner is gone and passes every entry to [`Recorder::restore`], then calls
//! [`Recorder::adopt`]. Batches go out as they are. A writer that had not ended is an orphan: it is ended as
//! `cancelled` after a grace, in which the host may [`Recorder::resume`] its execution.

use super::journal::{Key, LEFT_BEHIND, Words, read_batch, read_writer};
use super::line;
use super::outbox::Batch;
use super::recorder::{Moment, Recorder};
use super::writer::{EventType, Position, Writer};
use crate::ids::ExecutionId;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

/// So long a dead page's execution can be resumed before it is ended, in milliseconds.
const GRACE_MS: u64 = 10_000;
/// Older batches are dropped: the server's tombstones do not outlive them by much. In milliseconds.
const KEPT_MS: u64 = 30 * 86_400_000;
/// How the execution of a page that died ends.
const ENDED: &str = ",\"status\":\"cancelled\",\"adopted\":true,\"error\":{\"type\":\"page_closed\",\"message\":\"the page that recorded this execution was closed before its end\"}}";

/// Entries of a queue that is being read.
#[derive(Default)]
pub(super) struct Restoring {
    batches: Vec<Batch>,
    writers: Vec<Position>,
    /// Writer, first number, when, lines.
    lines: Vec<(u32, u64, u64, String)>,
}

/// A writer whose process is gone.
pub(super) struct Orphan {
    pub(super) writer: Box<Writer>,
    /// When it gave its last sign of life, in Unix milliseconds of its own clock.
    seen_at: u64,
    /// When it is ended, on the monotonic clock.
    ends_at: u64,
}

impl Recorder {
    /// One entry of a queue, in the order of their keys: what follows its name and the slash, and the value. What is not
    /// readable is ignored.
    pub fn restore(&mut self, key: &str, value: &str) {
        let queue = self.shared.journal.adopting();
        let (restoring, owners) = (&mut self.restoring, &mut self.shared.owners);
        match Key::parse(key) {
            Some(Key::Batch(number)) => {
                restoring.batches.extend(read_batch(queue, number, value, owners));
            }
            Some(Key::Writer(number)) => {
                restoring.writers.extend(read_writer(queue, number, value, owners));
            }
            Some(Key::Lines(writer, n)) => {
                let mut words = Words(value);
                if let Some(at) = words.number() {
                    restoring.lines.push((writer, n, at, words.0.into()));
                }
            }
            None => {}
        }
    }

    /// Takes over queue `name`, whose entries have been restored, as far as it belongs to the session's subject.
    /// Gives its number for [`is_drained`](Self::is_drained).
    pub fn adopt(&mut self, name: &str, now: Moment) -> u32 {
        let queue = self.shared.journal.adopt(name);
        let Restoring { batches, writers, lines } = core::mem::take(&mut self.restoring);
        for batch in batches {
            self.adopt_batch(batch, now.wall_ms);
        }
        for position in writers {
            if self.shared.owners.may_send(position.owner) {
                self.adopt_writer(position, &lines, now);
            }
        }
        self.bound_outbox();
        queue
    }

    /// Whether nothing is left of an adopted queue that this recorder would still handle.
    pub fn is_drained(&self, queue: u32) -> bool {
        self.shared.outbox.entries().iter().all(|entry| entry.batch.queue != queue)
            && self.orphans.iter().all(|orphan| orphan.writer.at().queue != queue)
    }

    /// Leaves an adopted queue to whoever takes it next.
    pub fn abandon(&mut self, queue: u32) {
        let Self { shared, orphans, .. } = self;
        let mut pending = shared.outbox.remove_queue(queue);
        orphans.retain(|orphan| {
            let stays = orphan.writer.at().queue != queue;
            pending += if stays { 0 } else { orphan.writer.uncut() };
            stays
        });
        shared.tally.handed_over(pending);
    }

    /// Somebody else has taken over this recorder's own queue while it could not run: what was in it is theirs, and
    /// its executions go on as other writers in queue `name`.
    pub fn hand_over(&mut self, name: &str) {
        let Self { shared, writers, .. } = self;
        let mut pending = shared.outbox.clear();
        shared.journal.rename(name);
        for writer in writers.iter_mut().filter_map(|slot| slot.writer_mut()) {
            pending += writer.uncut();
            writer.begin_anew(shared.random.writer_id());
        }
        self.orphans.clear();
        shared.tally.handed_over(pending);
    }

    fn adopt_batch(&mut self, batch: Batch, wall_ms: u64) {
        if !self.shared.owners.may_send(batch.owner) {
            return;
        }
        let events = batch.count - batch.dropped;
        self.shared.tally.restored(events);
        if batch.cut_at != 0 && batch.cut_at.saturating_add(KEPT_MS) < wall_ms {
            self.shared.journal.forget(batch.queue, b'b', batch.number, None);
            self.shared.tally.dropped(events, "expired");
            return;
        }
        // The page that held it back cannot decide any more, unless another goes on with the execution.
        let held = batch.held && self.writers.iter().any(|slot| slot.is_held(&batch.execution));
        let saved_in = if held == batch.held { LEFT_BEHIND } else { 0 };
        self.shared.outbox.push_saved(Batch { held, ..batch }, saved_in);
    }

    fn adopt_writer(&mut self, position: Position, lines: &[(u32, u64, u64, String)], now: Moment) {
        let of_writer = || lines.iter().filter(|line| line.0 == position.number);
        let texts: Vec<(u64, &str)> = of_writer().map(|(_, n, _, lines)| (*n, lines.as_str())).collect();
        let seen_at = of_writer().map(|line| line.2).max().unwrap_or(now.wall_ms);
        let mut writer = Box::new(Writer::restored(position.clone(), &texts));
        self.shared.tally.restored(writer.uncut());
        if !self.writers.iter().any(|slot| slot.is_held(&position.execution)) {
            writer.release();
        }
        self.orphans.push(Orphan { writer, seen_at, ends_at: now.monotonic_ms + GRACE_MS });
    }

    /// When the next orphan is ended.
    pub(super) fn orphans_due(&self) -> Option<u64> {
        self.orphans.iter().map(|orphan| orphan.ends_at).min()
    }

    /// Ends the orphans whose grace is over, and those whose executions go on elsewhere.
    pub(super) fn end_orphans(&mut self, now: u64) {
        let mut at = 0;
        while let Some(orphan) = self.orphans.get(at) {
            let goes_on = self.goes_on(&orphan.writer.at().execution);
            if goes_on || orphan.ends_at <= now {
                let orphan = self.orphans.swap_remove(at);
                self.end_orphan(orphan, goes_on, now);
            } else {
                at += 1;
            }
        }
    }

    fn goes_on(&self, execution: &ExecutionId) -> bool {
        self.writers.iter().filter_map(|slot| slot.writer()).any(|writer| writer.at().execution == *execution)
    }

    fn end_orphan(&mut self, mut orphan: Orphan, goes_on: bool, now: u64) {
        let is_main = orphan.writer.at().is_main;
        let mut fields = Vec::new();
        line::text(&mut fields, "{\"at\":");
        line::number(&mut fields, orphan.seen_at);
        let ends = is_main && !goes_on;
        line::text(&mut fields, if ends { ENDED } else { ",\"state\":\"running\"}" });
        let event = if ends { EventType::End } else { EventType::State };
        orphan.writer.record_own(event, fields, now, &mut self.shared);
        if !ends {
            orphan.writer.cut_last(true, &mut self.shared);
        }
    }
}
