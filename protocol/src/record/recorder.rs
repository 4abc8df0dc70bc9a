//! The recorder: what the host tells it, and what it tells the host to do.

use super::clock::Clock;
use super::line::HEADER_MAX;
use super::outbox::{Batch, Flight, Outbox};
use super::outcome::{Outcome, Reply, judge};
use super::pace::Pace;
use super::random::Random;
use super::session::{Sessions, UnusableSession, life_ms};
use super::shared::Shared;
use super::tally::{Counts, Tally};
use super::writer::{EventType, Writer};
use crate::digest::BodyDigest;
use crate::envelope::seal;
use crate::ids::{ExecutionId, WriterId};
use crate::keys::SessionKey;
use crate::limits::{ENVELOPE_LINE_MAX, EVENTS_MAX, KEEPALIVE_BUDGET, SDK_BATCH_MAX};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// Beyond this many bytes of unsent batches the oldest is dropped: a recorder must not fill its host's memory.
const OUTBOX_MAX: usize = 16 << 20;
/// So often a batch may be signed anew at once, for a clock or a session, before that counts as a failure.
const CORRECTIONS_MAX: u32 = 2;

/// First and last time that the first line can carry (ten digits), in Unix seconds. A clock beyond them still
/// has to reach the server to be corrected.
const TS_MIN: u64 = 1_000_000_000;
const TS_MAX: u64 = 9_999_999_999;

/// How a recorder works.
#[derive(Clone, Copy, Debug)]
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
    /// Name and version of the host as they stand in each header: at most 32 printable characters without `"` and `\`.
    pub sdk: &'static str,
}

impl Config {
    /// The usual batches: 200 events, 60 kB, one second.
    pub const fn new(sdk: &'static str) -> Self {
        Self {
            batch_events_max: 200,
            batch_bytes_max: SDK_BATCH_MAX,
            batch_wait_max_ms: 1_000,
            page: false,
            renewable: true,
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

/// What the host shall do next.
#[derive(Debug)]
pub enum Action {
    /// Send this, tell [`Recorder::settle`] what came of it, and ask again at once.
    Send(Attempt),
    /// Get a session, tell [`Recorder::accept_session`] or [`Recorder::renewal_failed`], and ask again at once.
    RenewSession,
    /// Ask again after so many milliseconds, or when something else has happened.
    Wait(u64),
    /// Nothing, until something happens.
    Rest,
}

/// A request to `POST /v1/batches`.
#[derive(Debug)]
pub struct Attempt {
    /// Names the attempt to [`Recorder::settle`].
    pub id: u32,
    /// The request's body: the sealed batch.
    pub request: Vec<u8>,
    /// Whether the request shall outlive the page.
    pub keepalive: bool,
}

/// Records executions into batches and sees each to its fate.
pub struct Recorder {
    page: bool,
    batch_wait_max_ms: u64,
    writers: Vec<Option<Box<Writer>>>,
    sessions: Sessions,
    pace: Pace,
    shared: Shared,
}

impl Recorder {
    /// A recorder that has recorded nothing. `seed` must come from a cryptographic source: batch ids derive from it.
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        let batch_bytes_max = config.batch_bytes_max.min(SDK_BATCH_MAX);
        Self {
            page: config.page,
            batch_wait_max_ms: config.batch_wait_max_ms,
            writers: Vec::new(),
            sessions: Sessions::new(config.renewable),
            pace: Pace::default(),
            shared: Shared {
                sdk: config.sdk,
                batch_events_max: config.batch_events_max.clamp(1, EVENTS_MAX) as u64,
                batch_bytes_max: batch_bytes_max.saturating_sub(ENVELOPE_LINE_MAX + HEADER_MAX),
                clock: Clock::default(),
                random: Random::new(seed),
                outbox: Outbox::default(),
                tally: Tally::default(),
            },
        }
    }

    /// Begins to write to `execution`. The writer that starts it is the empty one.
    pub fn open(&mut self, execution: ExecutionId, writer: WriterId) -> Handle {
        let slot = self.writers.len();
        self.writers.push(Some(Box::new(Writer::new(slot, execution, writer))));
        #[expect(clippy::cast_possible_truncation, reason = "memory ends before 2^32 executions")]
        Handle(slot as u32)
    }

    /// Records one event. `fields` is its JSON object without `t` and `n`, compact, its recorded keys escaped; empty if it is too large even to be passed.
    /// What does not fit is counted as dropped, never an error. Says whether [`next_action`](Self::next_action)
    /// may have something new.
    pub fn record(&mut self, handle: Handle, event: EventType, fields: &str, monotonic_ms: u64) -> bool {
        let Some(slot) = self.writers.get_mut(handle.0 as usize) else { return false };
        let Some(writer) = slot else {
            self.shared.tally.recorded();
            self.shared.tally.dropped(1, "execution_ended");
            return false;
        };
        let (was_waiting, cut_before) = (writer.waiting_since(), self.shared.outbox.end());
        writer.record(event, fields, monotonic_ms, &mut self.shared);
        let is_waiting = writer.waiting_since();
        if event == EventType::End {
            *slot = None;
        }
        let has_cut = self.shared.outbox.end() != cut_before;
        if has_cut {
            self.bound_outbox();
        }
        has_cut || was_waiting.is_none() && is_waiting.is_some()
    }

    /// Cuts everything recorded into batches, to be sent without waiting for more.
    pub fn flush(&mut self) -> Mark {
        for writer in self.writers.iter_mut().flatten() {
            writer.cut(&mut self.shared);
        }
        self.bound_outbox();
        Mark(self.shared.outbox.end())
    }

    /// Whether everything up to `mark` has its fate.
    pub fn is_settled(&self, mark: Mark) -> bool {
        self.shared.outbox.settled_before(mark.0)
    }

    /// Whether nothing can be sent any more: the session is over and the host has no means to get another.
    pub fn is_stuck(&self) -> bool {
        self.sessions.ended()
    }

    /// Takes the session to sign with from now on. `server_time_ms` is the clock of whoever made it.
    pub fn accept_session(
        &mut self,
        token: &str,
        key: SessionKey,
        expires_at_ms: u64,
        server_time_ms: Option<u64>,
        now: Moment,
    ) -> Result<(), UnusableSession> {
        let life = life_ms(expires_at_ms, server_time_ms, &self.shared.clock, now);
        self.sessions.accept(token, key, life, now.monotonic_ms)
    }

    /// The host could not get a session; it will be asked again later.
    pub fn renewal_failed(&mut self, monotonic_ms: u64) {
        self.sessions.renewal_failed(monotonic_ms, &mut self.shared.random);
    }

    /// What to do now. The host asks until it is told to wait or rest.
    pub fn next_action(&mut self, now: Moment) -> Action {
        self.cut_what_waited(now.monotonic_ms);
        if self.renewal_due().is_some_and(|at| at <= now.monotonic_ms) {
            self.sessions.renewal_begun();
            return Action::RenewSession;
        }
        match self.next_attempt(now) {
            Some(attempt) => Action::Send(attempt),
            None => self.wait(now.monotonic_ms),
        }
    }

    /// What to send while the page goes away, or `None` once nothing more fits into the page's budget. Does not
    /// wait for a backoff to pass, there being no later; does respect what the server asked for.
    pub fn next_at_exit(&mut self, now: Moment) -> Option<Attempt> {
        self.flush();
        if self.pace.held_until() > now.monotonic_ms {
            return None;
        }
        let bytes_max = self.keepalive_bytes_left().checked_sub(ENVELOPE_LINE_MAX)?;
        let entry = self.shared.outbox.next_at_exit(bytes_max)?.key;
        self.depart(entry, true, now)
    }

    /// Takes in what came of an attempt, which took `round_trip_ms`.
    pub fn settle(&mut self, attempt: u32, reply: &Reply<'_>, round_trip_ms: u64, now: Moment) {
        let Some(flight) = self.shared.outbox.arrive(attempt) else { return };
        if let Some(server_time_ms) = reply.server_time_ms {
            self.shared.clock.observe(server_time_ms, now.wall_ms, round_trip_ms);
        }
        match judge(reply) {
            Outcome::Stored => self.stored(&flight, reply),
            Outcome::Conflict => self.conflicted(&flight, reply),
            Outcome::ClockOff => self.correct(&flight, reply, now.monotonic_ms),
            Outcome::SessionOver => self.change_session(&flight, reply, now.monotonic_ms),
            Outcome::SessionRefused => self.change_session_or_drop(&flight, reply, now.monotonic_ms),
            Outcome::Retry => self.retry_later(&flight, reply, now.monotonic_ms),
            Outcome::Refused => self.refuse(&flight, reply),
        }
    }

    /// How many events have met which fate.
    pub fn counts(&self) -> Counts {
        self.shared.tally.counts()
    }

    /// Why events were rejected or dropped, and how many for each reason.
    pub fn reasons(&self) -> impl Iterator<Item = (&str, u64)> {
        self.shared.tally.reasons()
    }

    fn cut_what_waited(&mut self, now: u64) {
        for writer in self.writers.iter_mut().flatten() {
            if writer.waiting_since().is_some_and(|since| since.saturating_add(self.batch_wait_max_ms) <= now)
            {
                writer.cut(&mut self.shared);
            }
        }
        self.bound_outbox();
    }

    fn renewal_due(&self) -> Option<u64> {
        let needed = !self.shared.outbox.is_empty() || self.writers.iter().any(Option::is_some);
        self.sessions.renewal_due(needed)
    }

    fn next_attempt(&mut self, now: Moment) -> Option<Attempt> {
        let is_full = self.shared.outbox.in_flight() >= self.pace.in_flight_max();
        if is_full || self.pace.open_at() > now.monotonic_ms {
            return None;
        }
        let keepalive_bytes_left = self.keepalive_bytes_left();
        let entry = self.shared.outbox.next_idle()?;
        // A first attempt that outlives the page need not be made again when the page goes away. Later ones
        // may have failed for want of the budget, which other scripts share.
        let keepalive = self.page
            && entry.attempts == 0
            && entry.batch.body.len() + ENVELOPE_LINE_MAX <= keepalive_bytes_left;
        let key = entry.key;
        self.depart(key, keepalive, now)
    }

    fn keepalive_bytes_left(&self) -> usize {
        KEEPALIVE_BUDGET.saturating_sub(self.shared.outbox.keepalive_bytes())
    }

    /// Signs a batch anew: the time and the session are the attempt's, the body is the batch's.
    fn depart(&mut self, key: u32, keepalive: bool, now: Moment) -> Option<Attempt> {
        let session = self.sessions.usable(now.monotonic_ms)?;
        let ts = (self.shared.clock.server_time_ms(now.wall_ms) / 1_000).clamp(TS_MIN, TS_MAX);
        let entry = self.shared.outbox.entry(key)?;
        entry.attempts += 1;
        let batch = &entry.batch;
        let mut request = Vec::with_capacity(ENVELOPE_LINE_MAX + batch.body.len());
        seal(&mut request, &session.token, &batch.id, ts, &session.key, &batch.body);
        let id = self.shared.outbox.depart(Flight {
            attempt: 0,
            entry: key,
            session: session.generation,
            sent_at: now.monotonic_ms,
            keepalive,
            bytes: request.len(),
        });
        Some(Attempt { id, request, keepalive })
    }

    /// Until when there is nothing to do unless something happens.
    fn wait(&self, now: u64) -> Action {
        let lines = self.writers.iter().flatten().filter_map(|writer| writer.waiting_since());
        let cut_at = lines.min().map(|since| since.saturating_add(self.batch_wait_max_ms));
        let can_send = self.sessions.usable(now).is_some()
            && !self.shared.outbox.is_empty()
            && self.shared.outbox.in_flight() < self.pace.in_flight_max();
        let send_at = Some(self.pace.open_at()).filter(|at| can_send && *at > now);
        match [cut_at, send_at, self.renewal_due()].into_iter().flatten().min() {
            Some(at) => Action::Wait(at.saturating_sub(now)),
            None => Action::Rest,
        }
    }

    fn stored(&mut self, flight: &Flight, reply: &Reply<'_>) {
        self.pace.succeeded();
        self.sessions.proved();
        let Some(batch) = self.shared.outbox.take(flight.entry) else { return };
        let undecided = batch.count - batch.dropped;
        let rejected = reply.rejected.min(undecided);
        let tally = &mut self.shared.tally;
        tally.stored(undecided - rejected);
        tally.rejected(rejected);
        let mut reasons = reply.rejected_because.lines();
        for _ in 0..rejected {
            tally.because(1, reasons.next().unwrap_or("unexplained"));
        }
    }

    fn conflicted(&mut self, flight: &Flight, reply: &Reply<'_>) {
        let Some(entry) = self.shared.outbox.entry(flight.entry) else { return };
        if BodyDigest::of(&entry.batch.body).to_hex() == reply.stored_sha256 {
            self.stored(flight, reply);
        } else {
            self.refuse(flight, reply);
        }
    }

    /// The reply has set the clock right; the next attempt is signed by it.
    fn correct(&mut self, flight: &Flight, reply: &Reply<'_>, now: u64) {
        if !self.may_correct(flight.entry) {
            self.retry_later(flight, reply, now);
        }
    }

    fn change_session(&mut self, flight: &Flight, reply: &Reply<'_>, now: u64) {
        self.sessions.refused(flight.session, now, &mut self.shared.random);
        self.correct(flight, reply, now);
    }

    fn change_session_or_drop(&mut self, flight: &Flight, reply: &Reply<'_>, now: u64) {
        let has_another = !self.sessions.ended();
        self.sessions.refused(flight.session, now, &mut self.shared.random);
        if !has_another || self.sessions.ended() || !self.may_correct(flight.entry) {
            self.refuse(flight, reply);
        }
    }

    /// Counts a correction; says whether the batch may go out again because of it.
    fn may_correct(&mut self, key: u32) -> bool {
        let Some(entry) = self.shared.outbox.entry(key) else { return true };
        entry.corrections += 1;
        entry.corrections <= CORRECTIONS_MAX
    }

    fn retry_later(&mut self, flight: &Flight, reply: &Reply<'_>, now: u64) {
        self.pace.failed(flight.sent_at, now, reply.retry_after_ms, &mut self.shared.random);
        if let Some(entry) = self.shared.outbox.entry(flight.entry) {
            entry.corrections = 0;
        }
        self.shared.outbox.put_last(flight.entry);
    }

    /// Drops the batch, unless another attempt at it is under way: that one may have been stored.
    fn refuse(&mut self, flight: &Flight, reply: &Reply<'_>) {
        if !self.shared.outbox.is_under_way(flight.entry) {
            self.drop_batch(flight.entry, reply.code);
        }
    }

    fn drop_batch(&mut self, key: u32, reason: &str) {
        let Some(batch) = self.shared.outbox.take(key) else { return };
        self.count_lost(&batch, reason);
    }

    fn count_lost(&mut self, batch: &Batch, reason: &str) {
        self.shared.tally.dropped(batch.count - batch.dropped, reason);
        if let Some(Some(writer)) = self.writers.get_mut(batch.writer) {
            writer.lost(batch, reason);
        }
    }

    fn bound_outbox(&mut self) {
        while self.shared.outbox.bytes() > OUTBOX_MAX {
            let Some(oldest) = self.shared.outbox.next_idle().map(|entry| entry.key) else { return };
            self.drop_batch(oldest, "queue_full");
        }
    }
}
