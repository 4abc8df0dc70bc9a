//! The functions that JavaScript calls. Times are milliseconds; they go by [`sdk_time`]. What may be large is `f64`,
//! because that is what JavaScript has; it stays below 2^53.
//!
//! The prefix tells the build which names it may shorten, here and in JavaScript (`scripts/build-sdk.mjs`).

#![allow(
    unsafe_code,
    reason = "an exported name is unsafe because it could clash; these are the module's own"
)]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "what crosses the boundary is small by construction, and `as` saturates where a host's clock is mad"
)]

use crate::state::state;
use stepseal_protocol::ids::ExecutionId;
use stepseal_protocol::keys::SessionKey;
use stepseal_protocol::record::{
    Action, Config, EventType, Handle, Mark, Moment, Recorder, Reply, Role, Sampling, until,
};

/// As it stands in every batch's header.
const SDK: &str = concat!("stepseal-js/", env!("CARGO_PKG_VERSION"));
/// Length of a seed and of a session's key.
pub(crate) const KEY_LEN: usize = 32;
/// More unused input than this is given back.
const INPUT_KEPT: usize = 1 << 20;

/// What [`sdk_next`] answers: an attempt is ready; see [`sdk_attempt`].
pub const SEND: f64 = -1.0;
/// What [`sdk_next`] answers: get a session.
pub const RENEW_SESSION: f64 = -2.0;
/// What [`sdk_next`] answers: there is nothing to do until something happens.
pub const REST: f64 = -3.0;
/// What [`sdk_next`] answers: ask for the turn; see [`sdk_turn`].
pub const TAKE_TURN: f64 = -4.0;
/// What [`sdk_next`] answers: let another have the turn.
pub const YIELD_TURN: f64 = -5.0;

/// What the host is, in [`sdk_start`]: a page, whose requests may outlive it.
pub const HOST_IS_PAGE: u32 = 1;
/// Able to get another session.
pub const HOST_RENEWS: u32 = 2;
/// In possession of a store that outlives it, or opening one, and of locks for turns.
pub const HOST_STORES: u32 = 4;
/// To keep executions that failed, sampled or not.
pub const HOST_KEEPS_FAILURES: u32 = 8;

/// Makes room for `len` bytes that the next call reads; gives where to write them.
#[unsafe(no_mangle)]
pub extern "C" fn sdk_input(len: usize) -> *mut u8 {
    let input = &mut state().input;
    if input.len() < len || input.len() > INPUT_KEPT {
        // Replaced and not resized: what stood there need not be copied.
        *input = alloc::vec![0; len];
    }
    input.as_mut_ptr()
}

/// Sets what everything goes by until the next call: `now` on the monotonic clock, `wall` in Unix time.
#[unsafe(no_mangle)]
pub extern "C" fn sdk_time(now: f64, wall: f64) {
    state().now = Moment { monotonic_ms: now as u64, wall_ms: wall as u64 };
}

/// Starts the instance, once, before anything else. Input: 32 random bytes and the name of the queue. `rate` is the part
/// of all executions that is recorded, where 2^32 - 1 is all.
#[unsafe(no_mangle)]
pub extern "C" fn sdk_start(
    len: usize,
    events_max: usize,
    bytes_max: usize,
    wait_max_ms: f64,
    host: u32,
    rate: u32,
) {
    let Some((seed, queue, _, recorder)) = state().secret_and_text(len) else { return };
    let config = Config {
        batch_events_max: events_max,
        batch_bytes_max: bytes_max,
        batch_wait_max_ms: wait_max_ms as u64,
        page: host & HOST_IS_PAGE != 0,
        renewable: host & HOST_RENEWS != 0,
        durable: host & HOST_STORES != 0,
        turns: host & HOST_STORES != 0,
        sampling: Sampling { rate, keep_failures: host & HOST_KEEPS_FAILURES != 0 },
        ..Config::new(SDK)
    };
    // There was none. Saying so saves the code that would drop one.
    core::mem::forget(recorder.replace(Recorder::new(config, seed, queue)));
}

/// The handle of a new writer, or -1 if the input is no execution id. `role`: 0 starter, 1 successor, 2 companion.
#[unsafe(no_mangle)]
pub extern "C" fn sdk_open(len: usize, role: u32) -> i32 {
    let Some((id, _, recorder)) = state().text_and_recorder(len) else { return -1 };
    let role = match role {
        0 => Role::Starter,
        1 => Role::Successor,
        _ => Role::Companion,
    };
    ExecutionId::read(id.as_bytes()).map_or(-1, |execution| recorder.open(execution, role).0 as i32)
}

/// Whether the end of a writer's execution decides if it is wanted.
#[unsafe(no_mangle)]
pub extern "C" fn sdk_held(handle: u32) -> bool {
    state().recorder.as_ref().is_some_and(|recorder| recorder.is_held(Handle(handle)))
}

/// Whether an execution is wanted whose end decides that.
#[unsafe(no_mangle)]
pub extern "C" fn sdk_decide(handle: u32, is_wanted: bool) {
    if let Some(recorder) = &mut state().recorder {
        recorder.decide(Handle(handle), is_wanted);
    }
}

/// Ends a writer whose execution goes on without it.
#[unsafe(no_mangle)]
pub extern "C" fn sdk_leave(handle: u32) {
    let state = state();
    if let Some(recorder) = &mut state.recorder {
        recorder.leave(Handle(handle), state.now.monotonic_ms);
    }
}

/// Forgets everything that has no fate. Input: the reason.
#[unsafe(no_mangle)]
pub extern "C" fn sdk_purge(len: usize) {
    if let Some((reason, _, recorder)) = state().text_and_recorder(len) {
        recorder.purge(reason);
    }
}

/// How the store is: 0 absent, 1 opened, 2 full.
#[unsafe(no_mangle)]
pub extern "C" fn sdk_store(condition: u32) {
    let Some(recorder) = &mut state().recorder else { return };
    match condition {
        0 => recorder.store_failed(),
        1 => recorder.store_opened(),
        _ => recorder.store_is_full(),
    }
}

/// All changes for the store since the last call: their number for [`sdk_saved`], to be read at [`sdk_output`], or 0 if there
/// are none. For each change: the lengths of key and value, four bytes each, little-endian (the value's is 2^32 - 1 if the key
/// is to be deleted); key; value.
#[unsafe(no_mangle)]
pub extern "C" fn sdk_changes() -> u32 {
    let state = state();
    let changes = state.recorder.as_mut().and_then(|recorder| recorder.take_changes(state.now.wall_ms));
    let (transaction, output) = changes.unwrap_or_default();
    state.output = output;
    transaction
}

/// The store has made all changes up to this number.
#[unsafe(no_mangle)]
pub extern "C" fn sdk_saved(transaction: u32) {
    if let Some(recorder) = &mut state().recorder {
        recorder.saved(transaction);
    }
}

/// Takes over a queue whose entries are restored next; gives its number. Input: its name.
#[unsafe(no_mangle)]
pub extern "C" fn sdk_adopt(len: usize) -> u32 {
    state().text_and_recorder(len).map_or(0, |(name, _, recorder)| recorder.adopt(name))
}

/// One entry of the queue adopted last. Input: the key without the queue's name and slash, and the value.
#[unsafe(no_mangle)]
pub extern "C" fn sdk_restore(key_len: usize, len: usize) {
    let Some((text, now, recorder)) = state().text_and_recorder(len) else { return };
    if let Some((key, value)) = text.split_at_checked(key_len) {
        recorder.restore(key, value, now);
    }
}

/// Whether nothing is left of an adopted queue that this recorder would handle.
#[unsafe(no_mangle)]
pub extern "C" fn sdk_drained(queue: u32) -> bool {
    state().recorder.as_ref().is_none_or(|recorder| recorder.is_drained(queue))
}

/// Leaves an adopted queue to whoever takes it next.
#[unsafe(no_mangle)]
pub extern "C" fn sdk_abandon(queue: u32) {
    if let Some(recorder) = &mut state().recorder {
        recorder.abandon(queue);
    }
}

/// Somebody else has taken over the own queue. Input: the name of the next.
#[unsafe(no_mangle)]
pub extern "C" fn sdk_hand_over(len: usize) {
    if let Some((name, _, recorder)) = state().text_and_recorder(len) {
        recorder.hand_over(name);
    }
}

/// Whether it is this recorder's turn to send.
#[unsafe(no_mangle)]
pub extern "C" fn sdk_turn(is_taken: bool) {
    let Some(recorder) = &mut state().recorder else { return };
    if is_taken { recorder.turn_taken() } else { recorder.turn_lost() }
}

/// The server asked an earlier recorder to be left alone for so long from now.
#[unsafe(no_mangle)]
pub extern "C" fn sdk_hold(ms: f64) {
    let state = state();
    if let Some(recorder) = &mut state.recorder {
        recorder.hold(ms as u64, state.now);
    }
}

/// Whom the host saw last. Input: the owner's name.
#[unsafe(no_mangle)]
pub extern "C" fn sdk_presume_owner(len: usize) {
    if let Some((owner, _, recorder)) = state().text_and_recorder(len) {
        recorder.presume_owner(owner);
    }
}

/// Records the event of type number `event`, whose fields are the input. Whether [`sdk_next`] may have something new.
#[unsafe(no_mangle)]
pub extern "C" fn sdk_record(handle: u32, event: u32, len: usize) -> bool {
    let Some((fields, now, recorder)) = state().text_and_recorder(len) else { return false };
    recorder.record(Handle(handle), event_type(event), fields, now.monotonic_ms)
}

/// Makes at [`sdk_output`] a body whose SHA-256 is wanted; gives a number that says which body it is, or -1 if none is.
#[unsafe(no_mangle)]
pub extern "C" fn sdk_unhashed() -> i32 {
    let state = state();
    let Some((body, key)) = state.recorder.as_ref().and_then(Recorder::unhashed) else { return -1 };
    state.output.clear();
    state.output.extend_from_slice(body);
    key as i32
}

/// Takes the SHA-256 of the body that [`sdk_unhashed`] gives now. Input: its base64url.
#[unsafe(no_mangle)]
pub extern "C" fn sdk_hashed(len: usize) {
    if let Some((digest, _, recorder)) = state().text_and_recorder(len) {
        recorder.hashed(digest);
    }
}

/// Cuts all there is; gives the mark to ask [`sdk_settled`] about.
#[unsafe(no_mangle)]
pub extern "C" fn sdk_flush() -> u32 {
    state().recorder.as_mut().map_or(0, |recorder| recorder.flush().0)
}

/// Whether everything up to `mark` has its fate, or nothing further can happen to it.
#[unsafe(no_mangle)]
pub extern "C" fn sdk_settled(mark: u32) -> bool {
    state().recorder.as_ref().is_none_or(|recorder| recorder.is_settled(Mark(mark)) || recorder.is_stuck())
}

/// Takes a session; false if it cannot be used. Input: its key's 32 bytes, a line with its token, and its owners, one a
/// line: whom it is for, and whose recordings it may continue. A `server_time` below 0
/// is unknown.
#[unsafe(no_mangle)]
pub extern "C" fn sdk_session(len: usize, expires_at: f64, server_time: f64) -> bool {
    let Some((key, text, now, Some(recorder))) = state().secret_and_text(len) else { return false };
    let owners = &mut &*text;
    let token = until(owners, b'\n');
    let key = SessionKey::from_bytes(key);
    recorder.accept_session(token, key, expires_at as u64, known(server_time), owners, now).is_ok()
}

/// No session could be got.
#[unsafe(no_mangle)]
pub extern "C" fn sdk_renewal_failed() {
    let state = state();
    if let Some(recorder) = &mut state.recorder {
        recorder.renewal_failed(state.now.monotonic_ms);
    }
}

/// What to do: [`SEND`], [`RENEW_SESSION`], [`REST`], or how many milliseconds to wait.
#[unsafe(no_mangle)]
pub extern "C" fn sdk_next() -> f64 {
    let state = state();
    let Some(recorder) = &mut state.recorder else { return REST };
    match recorder.next_action(state.now) {
        Action::Send(attempt) => {
            state.hand_out(attempt);
            SEND
        }
        Action::RenewSession => RENEW_SESSION,
        Action::TakeTurn => TAKE_TURN,
        Action::YieldTurn => YIELD_TURN,
        Action::Wait(ms) => ms as f64,
        Action::Rest => REST,
    }
}

/// Like [`sdk_next`] while the page goes away: whether there is one more attempt to send.
#[unsafe(no_mangle)]
pub extern "C" fn sdk_next_at_exit() -> bool {
    let state = state();
    let attempt = state.recorder.as_mut().and_then(|recorder| recorder.next_at_exit(state.now));
    attempt.map(|attempt| state.hand_out(attempt)).is_some()
}

/// The attempt just handed out, whose body is to be read at [`sdk_output`]: twice its number, and 1 if it shall outlive the page.
#[unsafe(no_mangle)]
pub extern "C" fn sdk_attempt() -> u32 {
    state().attempt
}

/// Makes at [`sdk_output`] an attempt's request; false if it cannot be sent any more. Input: its body, as it was given or packed as gzip.
#[unsafe(no_mangle)]
pub extern "C" fn sdk_seal(attempt: u32, len: usize) -> bool {
    let state = state();
    let (Some(body), Some(recorder)) = (state.input.get(..len), &mut state.recorder) else { return false };
    let request = recorder.seal(attempt, body, state.now);
    request.map(|request| state.output = request).is_some()
}

/// Takes in an attempt's outcome. Times below 0 are unknown. Input, a line each: the reply's code, and the
/// reasons of its verdicts.
#[unsafe(no_mangle)]
#[allow(clippy::too_many_arguments, reason = "a reply has this many numbers")]
pub extern "C" fn sdk_settle(
    attempt: u32,
    len: usize,
    status: u32,
    server_time: f64,
    retry_after_ms: f64,
    rejected: f64,
    round_trip: f64,
) {
    let Some((text, now, recorder)) = state().text_and_recorder(len) else { return };
    let rest = &mut &*text;
    let reply = Reply {
        status: status as u16,
        code: until(rest, b'\n'),
        rejected_because: rest,
        server_time_ms: known(server_time),
        retry_after_ms: known(retry_after_ms),
        rejected: rejected as u64,
    };
    recorder.settle(attempt, &reply, round_trip as u64, now);
}

/// Makes at [`sdk_output`] a line for each fate, and then for each reason why events were rejected or dropped: how many events
/// met it, a space, its name.
#[unsafe(no_mangle)]
pub extern "C" fn sdk_fates() {
    let state = state();
    state.output.clear();
    let Some(recorder) = &state.recorder else { return };
    recorder.push_fates(&mut state.output);
}

/// Where what the last call made stands in memory.
#[unsafe(no_mangle)]
pub extern "C" fn sdk_output() -> *const u8 {
    state().output.as_ptr()
}

/// How long that is, in bytes.
#[unsafe(no_mangle)]
pub extern "C" fn sdk_output_len() -> usize {
    state().output.len()
}

fn event_type(number: u32) -> EventType {
    match number {
        0 => EventType::Start,
        1 => EventType::State,
        2 => EventType::Open,
        3 => EventType::Step,
        4 => EventType::Log,
        5 => EventType::Score,
        _ => EventType::End,
    }
}

fn known(number: f64) -> Option<u64> {
    (number >= 0.0).then_some(number as u64)
}
