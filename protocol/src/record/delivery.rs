//! What the recorder tells its host to do, and what it makes of the answers.

use super::line::until;
use super::outbox::{Entry, Flight};
use super::outcome::{Outcome, Reply, judge};
use super::recorder::{Moment, OUTBOX_MAX, Recorder, Slot, Turn};
use super::shared::Shared;
use super::writer::Writer;
use crate::envelope::seal;
use crate::limits::{ENVELOPE_LINE_MAX, KEEPALIVE_BUDGET};
use alloc::vec::Vec;

/// So often a batch may be signed anew at once, for a clock or a session, before that counts as a failure.
const CORRECTIONS_MAX: u32 = 2;

/// First and last time that the first line can carry (ten digits), in Unix seconds. A clock beyond them still
/// has to reach the server to be corrected.
const TS_MIN: u64 = 1_000_000_000;
const TS_MAX: u64 = 9_999_999_999;

/// What the host shall do next.
#[derive(Debug)]
pub enum Action {
    /// Seal and send this, tell [`Recorder::settle`] what came of it, and ask again at once.
    Send(Attempt),
    /// Get a session, tell [`Recorder::accept_session`] or [`Recorder::renewal_failed`], and ask again at once.
    RenewSession,
    /// Ask for the turn among those that send to this server, tell [`Recorder::turn_taken`] when it is there, and ask again at once.
    TakeTurn,
    /// Let another have the turn, and ask again at once.
    YieldTurn,
    /// Ask again after so many milliseconds, or when something else has happened.
    Wait(u64),
    /// Nothing, until something happens.
    Rest,
}

/// A batch to be sent to `POST /v1/batches`.
#[derive(Debug)]
pub struct Attempt {
    /// Names the attempt to [`Recorder::settle`].
    pub id: u32,
    /// The batch, to be packed and passed to [`Recorder::seal`].
    pub body: Vec<u8>,
    /// Whether the request shall outlive the page.
    pub keepalive: bool,
}

impl Recorder {
    /// What to do now. The host asks until it is told to wait or rest.
    pub fn next_action(&mut self, now: Moment) -> Action {
        self.shared.wall_ms = now.wall_ms;
        self.cut_what_waited(now.monotonic_ms);
        self.end_orphans(now.monotonic_ms);
        if self.renewal_due().is_some_and(|at| at <= now.monotonic_ms) {
            self.sessions.renewal_begun();
            return Action::RenewSession;
        }
        if let Some(change) = self.change_turn(now.monotonic_ms) {
            return change;
        }
        match self.next_attempt(now) {
            Some(attempt) => Action::Send(attempt),
            None => self.wait(now.monotonic_ms),
        }
    }

    /// The host has the turn that it was told to take.
    pub fn turn_taken(&mut self) {
        self.turn = Turn::Held;
    }

    /// The host has let go of the turn, or of its request for it, by itself.
    pub fn turn_lost(&mut self) {
        self.turn = Turn::None;
    }

    /// The server asked an earlier recorder of this host to be left alone for so long from now.
    pub fn hold(&mut self, ms: u64, now: Moment) {
        self.pace.hold_until(now.monotonic_ms.saturating_add(ms));
    }

    /// What to send while the page goes away, or `None` once nothing more fits into the page's budget. Does not
    /// wait for a backoff to pass, there being no later; does respect what the server asked for.
    pub fn next_at_exit(&mut self, now: Moment) -> Option<Attempt> {
        self.flush();
        if self.pace.held_until() > now.monotonic_ms {
            return None;
        }
        let bytes_max = self.keepalive_bytes_left().checked_sub(ENVELOPE_LINE_MAX)?;
        let may = |entry: &Entry| entry.batch.body.len() <= bytes_max && is_wanted(entry, &self.shared);
        let entry = self.shared.outbox.next_at_exit(&may)?;
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
            Outcome::ClockOff => self.correct(&flight, reply, now.monotonic_ms),
            Outcome::SessionOver => self.change_session(&flight, reply, now.monotonic_ms),
            Outcome::SessionRefused => self.change_session_or_drop(&flight, reply, now.monotonic_ms),
            Outcome::Retry => self.retry_later(&flight, reply, now.monotonic_ms),
            Outcome::Refused => self.refuse(&flight, reply),
        }
    }

    /// One sender at a time: the turn is kept while there is something to send, a server's pause included, so that
    /// nobody else runs into it.
    fn change_turn(&mut self, now: u64) -> Option<Action> {
        let has_work = self.has_work(now);
        match self.turn {
            Turn::None if self.turns && has_work => {
                self.turn = Turn::Asked;
                Some(Action::TakeTurn)
            }
            Turn::Held if !has_work && self.shared.outbox.in_flight() == 0 => {
                self.turn = Turn::None;
                Some(Action::YieldTurn)
            }
            _ => None,
        }
    }

    /// Whether there is a batch that could be sent, now or when the pace allows.
    fn has_work(&self, now: u64) -> bool {
        self.sessions.usable(now).is_some()
            && self.shared.outbox.next_idle(&|entry| is_sendable(entry, &self.shared)).is_some()
    }

    fn may_send(&self) -> bool {
        !self.turns || self.turn == Turn::Held
    }

    fn cut_what_waited(&mut self, now: u64) {
        for writer in self.writers.iter_mut().filter_map(Slot::writer_mut) {
            if writer.waiting_since().is_some_and(|since| since.saturating_add(self.batch_wait_max_ms) <= now)
            {
                writer.cut(&mut self.shared);
            }
        }
        self.bound_outbox();
    }

    fn renewal_due(&self) -> Option<u64> {
        let has_entry = self.shared.outbox.entries().iter().any(|entry| is_wanted(entry, &self.shared));
        let needed = has_entry || self.writers.iter().any(|slot| slot.writer().is_some());
        self.sessions.renewal_due(needed)
    }

    fn next_attempt(&mut self, now: Moment) -> Option<Attempt> {
        let is_full = self.shared.outbox.in_flight() >= self.pace.in_flight_max();
        if is_full || !self.may_send() || self.pace.open_at() > now.monotonic_ms {
            return None;
        }
        let keepalive_bytes_left = self.keepalive_bytes_left();
        let entry = self.shared.outbox.next_idle(&|entry| is_sendable(entry, &self.shared))?;
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

    /// Hands a batch out to be sealed and sent.
    fn depart(&mut self, key: u32, keepalive: bool, now: Moment) -> Option<Attempt> {
        let session = self.sessions.usable(now.monotonic_ms)?.generation;
        let entry = self.shared.outbox.entry(key)?;
        entry.attempts += 1;
        let body = entry.batch.body.clone();
        let bytes = body.len() + ENVELOPE_LINE_MAX;
        let flight = Flight { attempt: 0, entry: key, session, sent_at: now.monotonic_ms, keepalive, bytes };
        Some(Attempt { id: self.shared.outbox.depart(flight), body, keepalive })
    }

    /// The request of an attempt, signed now: the time is the attempt's, `body` the batch's, as it is or packed by the host as
    /// gzip (SPEC.md, "Body"). `None` if it cannot be sent any more; then the attempt is over, and its batch goes out with another.
    pub fn seal(&mut self, attempt: u32, body: &[u8], now: Moment) -> Option<Vec<u8>> {
        let request = self.request(attempt, body, now);
        if request.is_none() {
            self.shared.outbox.arrive(attempt);
        }
        request
    }

    fn request(&mut self, attempt: u32, body: &[u8], now: Moment) -> Option<Vec<u8>> {
        let (flight, batch) = self.shared.outbox.flight(attempt)?;
        // Another session may be another person's.
        let session =
            self.sessions.usable(now.monotonic_ms).filter(|session| session.generation == flight.session)?;
        let ts = (self.shared.clock.server_time_ms(now.wall_ms) / 1_000).clamp(TS_MIN, TS_MAX);
        let mut request = Vec::new();
        seal(&mut request, &session.token, &batch.id, ts, &session.key, body);
        flight.bytes = request.len();
        Some(request)
    }

    /// Until when there is nothing to do unless something happens.
    fn wait(&self, now: u64) -> Action {
        let writers = self.writers.iter().filter_map(Slot::writer);
        let lines = writers.filter_map(Writer::waiting_since);
        let cut_at = lines.min().map(|since| since.saturating_add(self.batch_wait_max_ms));
        let can_send = self.has_work(now)
            && self.may_send()
            && self.shared.outbox.in_flight() < self.pace.in_flight_max();
        let send_at = Some(self.pace.open_at()).filter(|at| can_send && *at > now);
        match [cut_at, send_at, self.renewal_due(), self.orphans_due()].into_iter().flatten().min() {
            Some(at) => Action::Wait(at.saturating_sub(now)),
            None => Action::Rest,
        }
    }

    fn stored(&mut self, flight: &Flight, reply: &Reply<'_>) {
        self.pace.succeeded();
        self.sessions.proved();
        let Some(entry) = self.shared.outbox.take(flight.entry) else { return };
        self.shared.journal.forget_batch(&entry);
        if self.shared.outbox.entries().is_empty() {
            // The store has room again.
            self.outbox_max = OUTBOX_MAX;
        }
        let undecided = entry.batch.undecided();
        let rejected = reply.rejected.min(undecided);
        let tally = &mut self.shared.tally;
        tally.stored(undecided - rejected);
        tally.rejected(rejected);
        let rest = &mut &*reply.rejected_because;
        for _ in 0..rejected {
            let reason = until(rest, b'\n');
            tally.because(1, if reason.is_empty() { "unexplained" } else { reason });
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

    pub(super) fn drop_batch(&mut self, key: u32, reason: &str) {
        let Some(entry) = self.shared.outbox.take(key) else { return };
        self.shared.journal.forget_batch(&entry);
        let batch = entry.batch;
        self.shared.tally.dropped(batch.undecided(), reason);
        self.shared.lost += u64::from(batch.k == 0 && batch.last);
        let mut writers = self.writers.iter_mut().filter_map(Slot::writer_mut);
        if let Some(writer) = writers.find(|writer| writer.batch().is_beside(&batch)) {
            writer.lost(&batch, reason);
        }
    }
}

/// Whether a batch may be sent by whoever the session is for. It must be durable, so that whoever finds the queue
/// does not use its numbers again.
fn is_sendable(entry: &Entry, shared: &Shared) -> bool {
    is_wanted(entry, shared) && shared.journal.is_durable(entry.saved_in)
}

fn is_wanted(entry: &Entry, shared: &Shared) -> bool {
    !entry.batch.held && shared.owners.may_send(entry.batch.owner)
}
