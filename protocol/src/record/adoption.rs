//! Taking over what another recorder left: a page that was closed, reloaded or killed.
//!
//! The host reads a queue whose owner is gone, calls [`Recorder::adopt`] and passes every entry to [`Recorder::restore`].
//! Batches go out as they are. A writer that had not ended is an orphan: it is ended as `cancelled` after a grace, in
//! which the host may go on with its execution.

use super::journal::{LEFT_BEHIND, read_batch, read_number};
use super::outbox::Batch;
use super::recorder::{Moment, RUNNING, Recorder, Slot};
use super::writer::{Orphan, Writer};
use crate::ids::ExecutionId;
use alloc::boxed::Box;

/// So long a dead page's execution can be resumed before it is ended, in milliseconds.
const GRACE_MS: u64 = 10_000;
/// Older batches are dropped: the server's tombstones do not outlive them by much. In milliseconds.
const KEPT_MS: u64 = 30 * 86_400_000;
/// How the execution of a page that died ends.
const ENDED: &str = ",\"status\":\"cancelled\",\"adopted\":true,\"error\":{\"type\":\"page_closed\",\"message\":\"the page was closed\"}}";

impl Recorder {
    /// Takes over queue `name`, whose entries are restored next, as far as they belong to the session's subject.
    /// Gives its number for [`is_drained`](Self::is_drained).
    pub fn adopt(&mut self, name: &str) -> u32 {
        self.shared.journal.adopt(name)
    }

    /// One entry of the queue adopted last, in the order of their keys: what follows its name and the slash, and the
    /// value. What is not readable is ignored.
    pub fn restore(&mut self, key: &str, value: &str, now: Moment) {
        let queue = self.shared.journal.last_adopted();
        let Some((kind, mut rest)) = key.split_at_checked(1) else { return };
        let Some(number) = read_number(&mut rest, b'.').and_then(|number| u32::try_from(number).ok()) else {
            return;
        };
        if kind == "p" {
            return self.restore_part(queue, number, rest, value);
        }
        let Some(batch) = read_batch(queue, number, value, &mut self.shared.owners) else { return };
        if self.shared.owners.may_send(batch.owner) {
            // The page that held it back cannot decide any more, unless another goes on with the execution.
            let held = batch.held && self.writers.iter().any(|slot| slot.is_held(&batch.execution));
            if kind == "o" {
                self.adopt_writer(batch, held, now);
            } else {
                self.adopt_batch(batch, held, now.wall_ms);
            }
        }
    }

    /// Whether nothing is left of an adopted queue that this recorder would still handle.
    pub fn is_drained(&self, queue: u32) -> bool {
        self.shared.outbox.entries().iter().all(|entry| entry.batch.queue != queue)
            && self.writers.iter().filter_map(Slot::writer).all(|writer| writer.batch().queue != queue)
    }

    /// Leaves an adopted queue to whoever takes it next.
    pub fn abandon(&mut self, queue: u32) {
        let pending = self.let_go(false, &|batch| batch.queue == queue);
        self.shared.tally.handed_over(pending);
    }

    /// Somebody else has taken over this recorder's own queue while it could not run: what was in it, its executions
    /// included, is theirs. Begins queue `name`.
    pub fn hand_over(&mut self, name: &str) {
        let pending = self.let_go(false, &|_| true);
        self.shared.tally.handed_over(pending);
        self.shared.journal.rename(name);
    }

    fn adopt_batch(&mut self, mut batch: Box<Batch>, held: bool, wall_ms: u64) {
        let events = batch.undecided();
        self.shared.tally.restored(events);
        if batch.cut_at != 0 && batch.cut_at.saturating_add(KEPT_MS) < wall_ms {
            self.shared.journal.forget(batch.queue, b'b', batch.number, None);
            return self.shared.tally.dropped(events, "expired");
        }
        let saved_in = if held == batch.held { LEFT_BEHIND } else { 0 };
        batch.held = held;
        self.shared.outbox.push_saved(batch, saved_in);
    }

    fn adopt_writer(&mut self, batch: Box<Batch>, held: bool, now: Moment) {
        let seen_at = if batch.cut_at == 0 { now.wall_ms } else { batch.cut_at };
        let orphan = Orphan { seen_at, ends_at: now.monotonic_ms + GRACE_MS };
        let mut writer = Writer::restored(batch, orphan);
        if !held {
            writer.release();
        }
        self.writers.push(Slot::Open(writer));
    }

    fn restore_part(&mut self, queue: u32, number: u32, n: &str, value: &str) {
        let (mut n, mut lines) = (n, value);
        let (Some(n), Some(at)) = (read_number(&mut n, b'.'), read_number(&mut lines, b'\n')) else { return };
        let mut writers = self.writers.iter_mut().filter_map(Slot::writer_mut);
        let is_meant =
            |writer: &&mut Writer| writer.batch().queue == queue && writer.batch().number == number;
        if let Some(writer) = writers.find(is_meant) {
            self.shared.tally.restored(writer.restore(n, at, lines));
        }
    }

    /// When the next orphan is ended.
    pub(super) fn orphans_due(&self) -> Option<u64> {
        self.writers.iter().filter_map(|slot| slot.writer()?.orphan).map(|orphan| orphan.ends_at).min()
    }

    /// Ends the orphans whose grace is over, and those whose executions go on elsewhere.
    pub(super) fn end_orphans(&mut self, now: u64) {
        for at in 0..self.writers.len() {
            let Some(writer) = self.writers[at].writer() else { continue };
            let Some(orphan) = writer.orphan else { continue };
            let goes_on = self.goes_on(&writer.batch().execution);
            if goes_on || orphan.ends_at <= now {
                let how = if writer.batch().main && !goes_on { ENDED } else { RUNNING };
                self.close(at, orphan.seen_at, how, now);
            }
        }
    }

    fn goes_on(&self, execution: &ExecutionId) -> bool {
        let mut writers = self.writers.iter().filter_map(Slot::writer);
        writers.any(|writer| writer.orphan.is_none() && writer.batch().execution == *execution)
    }
}
