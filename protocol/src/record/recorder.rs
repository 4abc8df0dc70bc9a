//! The recorder: what the host tells it. What it tells the host to do is in `delivery`.

use super::clock::Clock;
use super::journal::{Journal, Store};
use super::line::{self, HEADER_MAX};
use super::outbox::{Batch, Entry, Outbox, Prev};
use super::owners::Owners;
use super::pace::Pace;
use super::random::Random;
use super::sampling::{Sampling, is_sampled};
use super::session::{Sessions, UnusableSession, life_ms};
use super::shared::Shared;
use super::tally::{Counts, Tally};
use super::writer::{EventType, Writer};
use crate::ids::{ExecutionId, WriterId};
use crate::keys::SessionKey;
use crate::limits::{ENVELOPE_LINE_MAX, EVENTS_MAX, SDK_BATCH_MAX};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

/// Beyond this many bytes of unsent batches something has to go: a recorder must not fill its host's memory.
pub(super) const OUTBOX_MAX: usize = 16 << 20;
/// So much is kept however full the store is: if it has no room for that, others have filled it.
const OUTBOX_MIN: usize = 1 << 18;
/// An execution whose end is to decide if it is wanted is kept, wanted or not, beyond this many bytes.
const HELD_MAX: usize = 1 << 20;

/// How a writer ends whose execution goes on.
pub(super) const RUNNING: &str = ",\"state\":\"running\"}";

/// How a recorder works.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact about the host, independent of the others")]
pub struct Config {
    /// Most events of a batch, 1 to [`EVENTS_MAX`].
    pub batch_events_max: usize,
    /// Most bytes of a batch as sent, up to [`SDK_BATCH_MAX`]; an event that is larger travels alone.
    pub batch_bytes_max: usize,
    /// An event waits at most this long for company, in milliseconds.
    pub batch_wait_max_ms: u64,
    /// Whether the host is a page: its attempts are keepalive requests as far as the page's budget goes.
    pub page: bool,
    /// Whether the host can get another session when one ends.
    pub renewable: bool,
    /// Whether the host has a store that outlives it, or is opening one.
    pub durable: bool,
    /// Whether the host takes turns with others that send to the same server.
    pub turns: bool,
    /// Which part of all executions is recorded.
    pub sampling: Sampling,
    /// Name and version of the host as they stand in each header: at most 32 printable characters without `"` and `\`.
    pub sdk: &'static str,
}

impl Config {
    /// The usual batches, 200 events, 60 kB, one second; in memory, alone, of every execution.
    pub const fn new(sdk: &'static str) -> Self {
        Self {
            batch_events_max: 200,
            batch_bytes_max: SDK_BATCH_MAX,
            batch_wait_max_ms: 1_000,
            page: false,
            renewable: true,
            durable: false,
            turns: false,
            sampling: Sampling::ALL,
            sdk,
        }
    }
}

/// A moment on the host's two clocks.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The clock that only runs forward, in milliseconds from any beginning. Waiting goes by it.
    pub monotonic_ms: u64,
    /// The clock that people set, in Unix milliseconds. Signing goes by it.
    pub wall_ms: u64,
}

/// One writer of one execution, as the host names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Handle(
    /// A small number, for hosts that cannot keep a type.
    pub u32,
);

/// Everything recorded up to a moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark(
    /// A small number, for hosts that cannot keep a type.
    pub u32,
);

/// What a writer is to its execution.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// It starts the execution.
    Starter,
    /// It goes on where another, which is gone, has ended.
    Successor,
    /// It writes beside others.
    Companion,
}

/// What [`Recorder::open`] has become of a writer.
pub(super) enum Slot {
    Open(Box<Writer>),
    /// Nothing can be recorded any more.
    Ended,
    /// Nothing is to be recorded.
    Unwanted,
}

impl Slot {
    pub(super) fn writer(&self) -> Option<&Writer> {
        if let Self::Open(writer) = self { Some(writer) } else { None }
    }

    pub(super) fn writer_mut(&mut self) -> Option<&mut Writer> {
        if let Self::Open(writer) = self { Some(writer) } else { None }
    }

    /// Whether this writes to `execution`, whose end is to decide if it is wanted.
    pub(super) fn is_held(&self, execution: &ExecutionId) -> bool {
        self.writer().is_some_and(|writer| writer.orphan.is_none() && is_held(writer.batch(), execution))
    }
}

fn is_held(batch: &Batch, execution: &ExecutionId) -> bool {
    batch.held && batch.execution == *execution
}

/// Records executions into batches and sees each to its fate.
pub struct Recorder {
    pub(super) page: bool,
    pub(super) batch_wait_max_ms: u64,
    pub(super) turns: bool,
    pub(super) turn: Turn,
    sampling: Sampling,
    pub(super) writers: Vec<Slot>,
    pub(super) sessions: Sessions,
    pub(super) pace: Pace,
    pub(super) shared: Shared,
    pub(super) outbox_max: usize,
}

/// Whether it is this recorder's turn to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Turn {
    None,
    Asked,
    Held,
}

impl Recorder {
    /// A recorder that has recorded nothing. `seed` must come from a cryptographic source: batch ids derive from it.
    /// `queue` is the name of its queue in the host's store.
    pub fn new(config: Config, seed: [u8; 32], queue: &str) -> Self {
        let batch_bytes_max = config.batch_bytes_max.min(SDK_BATCH_MAX);
        let store = if config.durable { Store::Opening } else { Store::Absent };
        Self {
            page: config.page,
            batch_wait_max_ms: config.batch_wait_max_ms,
            turns: config.turns,
            turn: Turn::None,
            sampling: config.sampling,
            writers: Vec::new(),
            sessions: Sessions::new(config.renewable),
            pace: Pace::default(),
            shared: Shared {
                sdk: config.sdk,
                batch_events_max: config.batch_events_max.clamp(1, EVENTS_MAX) as u64,
                batch_bytes_max: batch_bytes_max.saturating_sub(ENVELOPE_LINE_MAX + HEADER_MAX),
                wall_ms: 0,
                lost: 0,
                clock: Clock::default(),
                random: Random::new(seed),
                outbox: Outbox::default(),
                journal: Journal::new(store, queue),
                owners: Owners::default(),
                tally: Tally::default(),
            },
            outbox_max: OUTBOX_MAX,
        }
    }

    /// Begins to write to `execution`. The writer that starts it is the empty one.
    pub fn open(&mut self, execution: ExecutionId, role: Role) -> Handle {
        let sampled = is_sampled(&execution, self.sampling.rate);
        let slot = if sampled || self.sampling.keep_failures {
            let id = match role {
                Role::Starter => WriterId::default(),
                _ => self.shared.random.writer_id(),
            };
            let mut batch = Batch::first(self.shared.random.batch_id(), execution, id);
            batch.number = self.next_handle();
            batch.owner = self.shared.owners.current();
            batch.main = role != Role::Companion;
            batch.held = !sampled;
            Slot::Open(Writer::new(batch))
        } else {
            Slot::Unwanted
        };
        let handle = Handle(self.next_handle());
        self.writers.push(slot);
        handle
    }

    /// Whether the end of a writer's execution decides if it is wanted. In statistics it then counts for nothing but itself:
    /// its `start` has a `rate` of 0.
    pub fn is_held(&self, handle: Handle) -> bool {
        self.writers.get(handle.0 as usize).and_then(Slot::writer).is_some_and(|writer| writer.batch().held)
    }

    /// Records one event. `fields` is its JSON object without `t` and `n`, compact, its recorded keys escaped; or why there is
    /// none: empty if it is too large even to be passed, `!` if the host's redaction wants none, `?` if that has failed.
    /// What does not fit is counted as dropped, never an error. Says whether [`next_action`](Self::next_action)
    /// may have something new.
    pub fn record(&mut self, handle: Handle, event: EventType, fields: &str, monotonic_ms: u64) -> bool {
        let Some(slot) = self.writers.get_mut(handle.0 as usize) else { return false };
        let writer = match slot {
            Slot::Open(writer) => writer,
            Slot::Unwanted => return false,
            Slot::Ended => {
                self.shared.tally.recorded();
                self.shared.tally.dropped(1, "execution_ended");
                return false;
            }
        };
        let (was_waiting, cut_before) = (writer.waiting_since(), self.shared.outbox.end());
        writer.record(event, fields, monotonic_ms, &mut self.shared);
        let is_waiting = writer.waiting_since();
        let is_kept = writer.held_bytes() <= HELD_MAX;
        if event == EventType::End {
            *slot = Slot::Ended;
        }
        if !is_kept {
            self.decide(handle, true);
        }
        let has_cut = self.shared.outbox.end() != cut_before;
        if has_cut {
            self.bound_outbox();
        }
        has_cut || was_waiting.is_none() && is_waiting.is_some() || self.shared.journal.store == Store::Open
    }

    /// The body of a cut batch whose digest is needed soon, and a number that says which. A host that can hash elsewhere than on its
    /// main thread may; where it has not done so in time, the recorder does.
    pub fn unhashed(&self) -> Option<(&[u8], u32)> {
        self.writers.iter().filter_map(Slot::writer).find_map(Writer::unhashed)
    }

    /// Takes the SHA-256, as base64url, of what [`unhashed`](Self::unhashed) gives now. A host that was given the body a while ago sees
    /// by the number whether it is the same.
    pub fn hashed(&mut self, digest: &str) {
        let mut writers = self.writers.iter_mut().filter_map(Slot::writer_mut);
        let writer = writers.find(|writer| writer.unhashed().is_some());
        if let (Some(writer), Some(digest)) = (writer, Prev::parse(digest.as_bytes(), 0, 43)) {
            writer.hashed(digest);
        }
    }

    /// Ends a writer whose execution goes on without it.
    pub fn leave(&mut self, handle: Handle, monotonic_ms: u64) {
        self.close(handle.0 as usize, self.shared.wall_ms, RUNNING, monotonic_ms);
    }

    /// Records `how` a writer ends, and lets go of it. Where its execution goes on the header of its last batch says so, which
    /// needs an event only if there is none.
    #[inline(never)]
    pub(super) fn close(&mut self, at: usize, when: u64, how: &str, now: u64) {
        let Some(slot) = self.writers.get_mut(at) else { return };
        let Some(writer) = slot.writer_mut() else { return };
        let goes_on = how == RUNNING;
        if !goes_on || writer.waiting_since().is_none() {
            let mut fields = Vec::new();
            line::text(&mut fields, "{\"at\":");
            line::number(&mut fields, when);
            line::text(&mut fields, how);
            let event = if goes_on { EventType::State } else { EventType::End };
            writer.record_own(event, fields, now, &mut self.shared);
        }
        writer.cut_last(goes_on, &mut self.shared);
        *slot = Slot::Ended;
    }

    /// Decides if an execution is wanted whose end was to decide. Nothing changes where that is decided already.
    pub fn decide(&mut self, handle: Handle, is_wanted: bool) {
        let writer = self.writers.get(handle.0 as usize).and_then(Slot::writer);
        let Some(execution) = writer.map(|writer| writer.batch().execution) else { return };
        let is_held = |batch: &Batch| is_held(batch, &execution);
        if !is_wanted {
            let events = self.let_go(true, &is_held);
            return self.shared.tally.handed_over(events);
        }
        for writer in
            self.writers.iter_mut().filter_map(Slot::writer_mut).filter(|writer| is_held(writer.batch()))
        {
            writer.release();
        }
        for entry in self.shared.outbox.entries_mut().iter_mut().filter(|entry| is_held(&entry.batch)) {
            entry.batch.held = false;
            entry.saved_in = 0;
        }
    }

    /// Forgets everything that has no fate yet, as dropped because of `reason`, and every execution. The host
    /// empties its store.
    pub fn purge(&mut self, reason: &str) {
        let events = self.let_go(false, &|_| true);
        self.shared.journal.clear();
        self.shared.tally.dropped(events, reason);
    }

    /// Lets go of the batches that are `which`, cut or not, and `forget`s them in the store; gives how many events
    /// that leaves without a fate.
    #[inline(never)]
    pub(super) fn let_go(&mut self, forget: bool, which: &dyn Fn(&Batch) -> bool) -> u64 {
        let Shared { outbox, journal, .. } = &mut self.shared;
        let mut events = 0;
        for slot in &mut self.writers {
            if let Slot::Open(writer) = slot
                && which(writer.batch())
            {
                events += writer.batch().undecided();
                if forget {
                    writer.forget(journal);
                }
                *slot = if forget { Slot::Unwanted } else { Slot::Ended };
            }
        }
        while let Some(entry) = outbox.entries().iter().find(|entry| which(&entry.batch)) {
            let Some(entry) = outbox.take(entry.key) else { break };
            events += entry.batch.undecided();
            if forget {
                journal.forget_batch(&entry);
            }
        }
        events
    }

    /// Cuts everything recorded into batches, to be sent without waiting for more.
    pub fn flush(&mut self) -> Mark {
        for writer in self.writers.iter_mut().filter_map(Slot::writer_mut) {
            writer.cut(&mut self.shared);
        }
        self.bound_outbox();
        Mark(self.shared.outbox.end())
    }

    /// Whether everything up to `mark` has its fate that this session may send.
    pub fn is_settled(&self, mark: Mark) -> bool {
        let Shared { outbox, owners, .. } = &self.shared;
        outbox
            .entries()
            .iter()
            .all(|Entry { key, batch, .. }| *key >= mark.0 || batch.held || !owners.may_send(batch.owner))
    }

    /// Whether nothing can be sent any more: the session is over and the host has no means to get another.
    pub fn is_stuck(&self) -> bool {
        self.sessions.ended()
    }

    /// The host saw sessions of `owner` last, before this one.
    pub fn presume_owner(&mut self, owner: &str) {
        self.shared.owners.presume(owner);
    }

    /// Takes the session to sign with from now on. `server_time_ms` is the clock of whoever made it. `owners`, one a
    /// line, are whom it is for, and whose recordings it may continue.
    pub fn accept_session(
        &mut self,
        token: &str,
        key: SessionKey,
        expires_at_ms: u64,
        server_time_ms: Option<u64>,
        owners: &str,
        now: Moment,
    ) -> Result<(), UnusableSession> {
        let life = life_ms(expires_at_ms, server_time_ms, &self.shared.clock, now);
        self.sessions.accept(token, key, life, now.monotonic_ms)?;
        let before = self.shared.owners.current();
        let Some(owner) = self.shared.owners.accept(owners) else { return Ok(()) };
        for writer in self.writers.iter_mut().filter_map(Slot::writer_mut) {
            if writer.batch().owner == before {
                writer.belong_to(owner);
            }
        }
        for entry in self.shared.outbox.entries_mut() {
            if entry.batch.owner == before {
                entry.batch.owner = owner;
                entry.saved_in = 0;
            }
        }
        Ok(())
    }

    /// The host could not get a session; it will be asked again later.
    pub fn renewal_failed(&mut self, monotonic_ms: u64) {
        self.sessions.renewal_failed(monotonic_ms, &mut self.shared.random);
    }

    /// The host has opened its store.
    pub fn store_opened(&mut self) {
        if self.shared.journal.store == Store::Opening {
            self.shared.journal.store = Store::Open;
        }
    }

    /// The host has no store, or it has failed: from now on everything lives in memory, and nobody waits for a turn that
    /// a place without storage may never give.
    pub fn store_failed(&mut self) {
        self.shared.journal.store = Store::Absent;
        self.turns = false;
        self.outbox_max = OUTBOX_MAX;
    }

    /// The store has no more room: makes do with half of what is kept, until nothing is left to be kept.
    pub fn store_is_full(&mut self) {
        self.outbox_max = (self.shared.outbox.bytes() / 2).max(OUTBOX_MIN);
        self.bound_outbox();
    }

    /// All changes for the store since the last call, and their number for [`saved`](Self::saved).
    pub fn take_changes(&mut self, wall_ms: u64) -> Option<(u32, Vec<u8>)> {
        let Shared { outbox, journal, owners, .. } = &mut self.shared;
        journal.take(outbox.entries_mut(), &mut self.writers, owners, wall_ms)
    }

    /// The store has made all changes up to `transaction`.
    pub fn saved(&mut self, transaction: u32) {
        self.shared.journal.confirm(transaction);
    }

    /// How many events have met which fate.
    pub fn counts(&self) -> Counts {
        self.shared.tally.counts()
    }

    /// Appends how many events are stored, rejected, dropped and pending, a line each, and then a line for each of the
    /// [`reasons`](Self::reasons): its number, a space and its name.
    pub fn push_fates(&self, out: &mut Vec<u8>) {
        let Counts { stored, rejected, dropped, pending } = self.counts();
        for count in [stored, rejected, dropped, pending] {
            line::number(out, count);
            line::text(out, "\n");
        }
        for (reason, count) in self.reasons() {
            line::number(out, *count);
            line::text(out, " ");
            line::text(out, reason);
            line::text(out, "\n");
        }
    }

    /// Why events were rejected or dropped, and how many for each reason.
    pub fn reasons(&self) -> &[(String, u64)] {
        self.shared.tally.reasons()
    }

    fn next_handle(&self) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "memory ends before 2^32 executions")]
        return self.writers.len() as u32;
    }

    /// Makes room: first by emptying executions that have ended, the oldest first, then by dropping batches.
    pub(super) fn bound_outbox(&mut self) {
        while self.shared.outbox.bytes() > self.outbox_max {
            if let Some(events) = self.shared.outbox.empty_oldest_ended("queue_full") {
                self.shared.tally.dropped(events, "queue_full");
                continue;
            }
            let outbox = &self.shared.outbox;
            // A writer's first says what it writes to. One that the server may have is dropped last: it would have two fates.
            let oldest = outbox
                .next_idle(&|entry| entry.is_unsent() && entry.batch.k != 0)
                .or_else(|| outbox.next_idle(&Entry::is_unsent))
                .or_else(|| outbox.next_idle(&|_| true));
            let Some(oldest) = oldest.map(|entry| entry.key) else { return };
            self.drop_batch(oldest, "queue_full");
        }
    }
}
