//! The recorder as a whole, driven as a host drives it.

use super::writer::LINE_MAX;
use super::{Action, Config, Counts, EventType, Handle, Moment, Recorder, Reply, Role};
use crate::digest::BodyDigest;
use crate::ids::{BatchId, ExecutionId};
use crate::keys::{BatchKey, SessionKey, Signature};
use crate::limits::{KEEPALIVE_BUDGET, SDK_BATCH_MAX};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::{format, vec};

mod survival;

const WALL: u64 = 1_790_000_000_000;
const EXECUTION: &str = "run_0123456789abcdef0123456789abcdef";
const KEY: [u8; 32] = [9; 32];
const TOKEN: &str = "s1.prj_demo.k1.e30";
const OWNER: &str = "prj_demo user_1";

fn execution() -> ExecutionId {
    ExecutionId::parse(EXECUTION).unwrap()
}

fn stored() -> Reply<'static> {
    Reply { status: 200, code: "stored", ..Reply::default() }
}

fn refused(status: u16, code: &str) -> Reply<'_> {
    Reply { status, code, ..Reply::default() }
}

/// An attempt, sealed.
#[derive(Debug)]
struct Attempt {
    id: u32,
    request: Vec<u8>,
    keepalive: bool,
}

impl Attempt {
    /// Seals an attempt as it was handed out.
    fn seal(recorder: &mut Recorder, attempt: &super::Attempt, now: Moment) -> Option<Self> {
        let request = recorder.seal(attempt.id, &attempt.body, now)?;
        Some(Self { id: attempt.id, request, keepalive: attempt.keepalive })
    }
}

/// A recorder with a session, and its host's clocks.
struct Host {
    recorder: Recorder,
    now: Moment,
}

impl Host {
    fn new(config: Config) -> Self {
        let mut host = Self {
            recorder: Recorder::new(config, [5; 32], "q"),
            now: Moment { monotonic_ms: 1_000, wall_ms: WALL },
        };
        assert!(matches!(host.recorder.next_action(host.now), Action::RenewSession));
        host.give_session(TOKEN);
        host
    }

    fn usual() -> Self {
        Self::new(Config::new("test/1"))
    }

    fn give_session(&mut self, token: &str) {
        let expires_at = self.now.wall_ms + 900_000;
        let key = SessionKey::from_bytes(KEY);
        self.recorder
            .accept_session(token, key, expires_at, Some(self.now.wall_ms), OWNER, self.now)
            .unwrap();
    }

    fn open(&mut self) -> Handle {
        self.recorder.open(execution(), Role::Starter)
    }

    fn record(&mut self, handle: Handle, event: EventType, fields: &Value) -> bool {
        self.recorder.record(handle, event, &fields.to_string(), self.now.monotonic_ms)
    }

    fn log(&mut self, handle: Handle, body: &str) -> bool {
        self.record(handle, EventType::Log, &json!({ "body": body }))
    }

    fn pass(&mut self, ms: u64) {
        self.now.monotonic_ms += ms;
        self.now.wall_ms += ms;
    }

    fn next(&mut self) -> Action {
        self.recorder.next_action(self.now)
    }

    fn seal(&mut self, attempt: &super::Attempt) -> Attempt {
        Attempt::seal(&mut self.recorder, attempt, self.now).unwrap()
    }

    fn at_exit(&mut self) -> Option<Attempt> {
        self.recorder.next_at_exit(self.now).map(|attempt| self.seal(&attempt))
    }

    fn send(&mut self) -> Attempt {
        match self.next() {
            Action::Send(attempt) => self.seal(&attempt),
            other => panic!("{other:?} where an attempt is due"),
        }
    }

    fn sends(&mut self) -> Vec<Attempt> {
        core::iter::from_fn(|| match self.next() {
            Action::Send(attempt) => Some(self.seal(&attempt)),
            _ => None,
        })
        .collect()
    }

    fn settle(&mut self, attempt: &Attempt, reply: &Reply<'_>) {
        self.recorder.settle(attempt.id, reply, 20, self.now);
    }

    /// Flushes, and stores all there is.
    fn store_all(&mut self) -> Vec<Sent> {
        self.recorder.flush();
        let mut all = Vec::new();
        loop {
            let attempts = self.sends();
            if attempts.is_empty() {
                return all;
            }
            for attempt in attempts {
                self.settle(&attempt, &stored());
                all.push(Sent::read(&attempt));
            }
        }
    }

    /// Waits until something can be sent again.
    fn send_when_due(&mut self) -> Attempt {
        loop {
            match self.next() {
                Action::Send(attempt) => return self.seal(&attempt),
                Action::Wait(ms) => self.pass(ms),
                other => panic!("{other:?} where an attempt would become due"),
            }
        }
    }

    fn counts(&self) -> (u64, u64, u64, u64) {
        let Counts { stored, rejected, dropped, pending } = self.recorder.counts();
        (stored, rejected, dropped, pending)
    }

    fn reasons(&self) -> Vec<(String, u64)> {
        self.recorder.reasons().to_vec()
    }
}

/// A request as a server reads it; its signature has been verified.
#[derive(Clone, Debug)]
struct Sent {
    token: String,
    id: String,
    ts: u64,
    body: Vec<u8>,
    header: Value,
    events: Vec<Value>,
}

impl Sent {
    fn read(attempt: &Attempt) -> Self {
        let end = attempt.request.iter().position(|byte| *byte == b'\n').unwrap();
        let line = core::str::from_utf8(&attempt.request[..end]).unwrap();
        let [version, token, id, ts, signature] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        assert_eq!(version, "b1");
        let body = attempt.request[end + 1..].to_vec();
        let ts = ts.parse().unwrap();
        let signature = Signature::parse(signature).unwrap();
        assert!(SessionKey::from_bytes(KEY).verifies(&BatchId::parse(id).unwrap(), ts, &body, &signature));
        let text = core::str::from_utf8(&body).unwrap();
        assert!(text.ends_with('\n'));
        let mut lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let header = lines.next().unwrap();
        Self { token: token.into(), id: id.into(), ts, header, events: lines.collect(), body }
    }

    fn key(&self) -> (String, u64) {
        (self.header["w"].as_str().unwrap_or("").into(), self.header["k"].as_u64().unwrap())
    }

    fn numbers(&self) -> Vec<u64> {
        self.events.iter().map(|event| event["n"].as_u64().unwrap()).collect()
    }

    fn types(&self) -> Vec<&str> {
        self.events.iter().map(|event| event["t"].as_str().unwrap()).collect()
    }
}

#[test]
fn an_execution_that_fits_is_one_batch() {
    let mut host = Host::usual();
    let run = host.open();
    host.record(run, EventType::Start, &json!({ "at": 1, "name": "book" }));
    host.record(run, EventType::Step, &json!({ "id": "a", "kind": "tool" }));
    host.record(run, EventType::Log, &json!({}));
    host.record(run, EventType::End, &json!({ "status": "completed" }));
    let attempt = host.send();
    let sent = Sent::read(&attempt);
    assert_eq!(sent.token, TOKEN);
    assert_eq!(sent.ts, WALL / 1_000);
    assert!(sent.id.strip_prefix("bat_").is_some_and(|random| random.len() == 22));
    assert_eq!(
        core::str::from_utf8(&sent.body).unwrap(),
        concat!(
            r#"{"v":1,"x":"run_0123456789abcdef0123456789abcdef","k":0,"prev":"","n":0,"sdk":"test/1"}"#,
            "\n",
            r#"{"t":"start","n":0,"at":1,"name":"book"}"#,
            "\n",
            r#"{"t":"step","n":1,"id":"a","kind":"tool"}"#,
            "\n",
            r#"{"t":"log","n":2}"#,
            "\n",
            r#"{"t":"end","n":3,"status":"completed","last":3}"#,
            "\n",
        )
    );
    assert_eq!(host.counts(), (0, 0, 0, 4));
    host.settle(&attempt, &stored());
    assert_eq!(host.counts(), (4, 0, 0, 0));
    assert!(matches!(host.next(), Action::Rest));
}

#[test]
fn another_writer_says_who_it_is_and_that_it_has_done() {
    let mut host = Host::usual();
    let [a, b] = [Role::Companion, Role::Successor].map(|role| host.recorder.open(execution(), role));
    host.log(a, "x");
    host.recorder.leave(a, 0);
    host.recorder.leave(b, 0);
    host.log(b, "too late");
    let sent = host.store_all();
    assert_ne!(sent[0].header["w"], sent[1].header["w"]);
    for (batch, types) in sent.iter().zip([["log"], ["state"]]) {
        assert_eq!(
            (batch.header["w"].as_str().unwrap().len(), batch.header["fin"].as_bool()),
            (22, Some(true))
        );
        assert_eq!(batch.types(), types);
    }
    assert_eq!(host.reasons(), [("execution_ended".into(), 1)]);
}

#[test]
fn batches_are_cut_by_count_and_chained() {
    let mut host = Host::new(Config { batch_events_max: 3, ..Config::new("test/1") });
    let run = host.open();
    for number in 0..7 {
        host.log(run, &number.to_string());
    }
    let batches = host.store_all();
    assert_eq!(
        batches.iter().map(Sent::numbers).collect::<Vec<_>>(),
        [vec![0, 1, 2], vec![3, 4, 5], vec![6]]
    );
    let mut prev = String::new();
    for (k, batch) in batches.iter().enumerate() {
        assert_eq!(batch.header["k"], k);
        assert_eq!(batch.header["n"], k * 3);
        assert_eq!(batch.header["prev"], prev);
        prev = BodyDigest::of(&batch.body).to_base64url();
    }
    assert_eq!(host.counts(), (7, 0, 0, 0));
}

#[test]
fn a_host_may_hash_what_is_cut_until_the_next_header_needs_it() {
    let mut host = Host::new(Config { batch_events_max: 2, ..Config::new("test/1") });
    let [a, b] = [Role::Starter, Role::Companion].map(|role| host.recorder.open(execution(), role));
    let cut = |host: &mut Host, run| (0..2).for_each(|_| _ = host.log(run, "x"));
    let asked = |host: &Host| host.recorder.unhashed().map(|(body, number)| (body.to_vec(), number));
    assert_eq!(asked(&host), None);
    cut(&mut host, b);
    let (of_b, first) = asked(&host).unwrap();
    cut(&mut host, a);
    let (of_a, second) = asked(&host).unwrap();
    assert_ne!(first, second, "the same number means the same body");
    // Not its digest, so that it shows whose it is.
    let given = "A".repeat(43);
    host.recorder.hashed(&given);
    assert_eq!(asked(&host), Some((of_b.clone(), first)));
    cut(&mut host, b);
    assert_ne!(asked(&host).unwrap().1, first, "the recorder has hashed it: the header needed it");
    cut(&mut host, a);
    for run in [a, b] {
        host.record(run, EventType::End, &json!({}));
    }
    assert_eq!(asked(&host), None, "nothing comes after a last batch");
    host.recorder.hashed(&given);
    let sent = host.store_all();
    let own = |body: &[u8]| BodyDigest::of(body).to_base64url();
    for batch in &sent {
        let before = sent.iter().find(|other| other.key() == (batch.key().0, batch.key().1.wrapping_sub(1)));
        let expected = before.map_or(String::new(), |before| own(&before.body));
        let is_given = before.is_some_and(|before| before.body == of_a);
        assert_eq!(
            batch.header["prev"],
            if is_given { &given } else { &expected }.as_str(),
            "{:?}",
            batch.key()
        );
    }
    assert_eq!(sent.len(), 6);
}

#[test]
fn batches_stay_below_their_size_even_with_the_longest_token() {
    let mut host = Host::usual();
    host.give_session(&format!("s1.{}", "x".repeat(765)));
    let run = host.open();
    for _ in 0..100 {
        host.log(run, &"x".repeat(2_900));
    }
    host.recorder.flush();
    let mut events = 0;
    while events < 100 {
        let attempt = host.send();
        assert!(attempt.request.len() <= SDK_BATCH_MAX, "{}", attempt.request.len());
        host.settle(&attempt, &stored());
        let sent = Sent::read(&attempt);
        events += sent.events.len();
        assert!(sent.events.len() >= 19 || events == 100, "batches are filled");
    }
    assert_eq!(host.counts(), (100, 0, 0, 0));
}

#[test]
fn an_event_waits_a_second_for_company() {
    let mut host = Host::usual();
    let run = host.open();
    assert!(host.log(run, "a"), "a first line starts the wait");
    assert!(!host.log(run, "b"), "a second changes nothing");
    assert!(matches!(host.next(), Action::Wait(1_000)));
    host.pass(400);
    host.log(run, "c");
    assert!(matches!(host.next(), Action::Wait(600)));
    host.pass(600);
    assert_eq!(Sent::read(&host.send()).numbers(), [0, 1, 2]);
}

#[test]
fn a_large_event_travels_alone_and_one_too_large_is_shortened() {
    let mut host = Host::usual();
    let run = host.open();
    host.log(run, "a");
    host.log(run, &"x".repeat(200_000));
    host.log(run, "b");
    host.log(run, &"x".repeat(LINE_MAX));
    host.log(run, "c");
    let batches = host.store_all();
    assert_eq!(batches.iter().map(Sent::numbers).collect::<Vec<_>>(), [[0], [1], [2], [3], [4]]);
    assert_eq!(batches[3].events[0]["body"]["$cut"]["bytes"], LINE_MAX + 2);
    assert!(batches[3].body.len() <= LINE_MAX + super::line::HEADER_MAX);
    assert_eq!(host.counts(), (5, 0, 0, 0));
}

#[test]
fn what_cannot_be_shortened_leaves_a_drop() {
    let mut host = Host::usual();
    let run = host.open();
    host.record(run, EventType::Start, &json!({ "name": "a", "tags": vec!["tag"; LINE_MAX / 5] }));
    host.log(run, "b");
    let batches = host.store_all();
    let drop = json!({ "t": "drop", "n": 0, "reason": "too_large", "count": 1, "from": 0, "to": 0 });
    assert_eq!((&batches[0].events[0], batches[0].numbers()), (&drop, vec![0, 1]));
    assert_eq!(host.reasons(), [("too_large".into(), 1)]);
}

#[test]
fn a_message_too_large_is_shortened_and_known_again() {
    let mut host = Host::usual();
    let run = host.open();
    let step = json!({ "input": [{ "role": "user", "content": "é".repeat(LINE_MAX) }] });
    for _ in 0..2 {
        host.record(run, EventType::Step, &step);
    }
    let batches = host.store_all();
    let events: Vec<&Value> = batches.iter().flat_map(|batch| &batch.events).collect();
    assert_eq!(events.len(), 3, "one message, two steps");
    assert!(events[0]["v"]["content"]["$cut"]["start"].as_str().unwrap().starts_with("éé"));
    assert_eq!(events[2]["input"], json!({ "$msgs": [[0, 1]] }));
}

#[test]
fn what_is_no_json_object_leaves_a_drop() {
    let mut host = Host::usual();
    let run = host.open();
    host.recorder.record(run, EventType::Log, "{\"a\":", 0);
    host.recorder.record(run, EventType::Log, "", 0);
    assert_eq!(host.store_all()[0].types(), ["drop", "drop"]);
    assert_eq!(host.counts(), (0, 0, 2, 0));
    assert_eq!(host.reasons(), [("malformed".into(), 1), ("too_large".into(), 1)]);
}

#[test]
fn nothing_is_recorded_after_the_end() {
    let mut host = Host::usual();
    let run = host.open();
    host.record(run, EventType::End, &json!({ "status": "failed" }));
    assert!(!host.log(run, "late"));
    host.store_all();
    assert_eq!(host.counts(), (1, 0, 1, 0));
    assert_eq!(host.reasons(), [("execution_ended".into(), 1)]);
    assert!(!host.log(Handle(77), "no such writer"));
    assert_eq!(host.counts(), (1, 0, 1, 0));
}

#[test]
fn each_message_travels_once() {
    let mut host = Host::usual();
    let run = host.open();
    let message = |content: &str| json!({ "role": "user", "content": content });
    let (a, b, c) = (message("a"), message("b"), message("c"));
    host.record(
        run,
        EventType::Step,
        &json!({ "id": "1", "input": { "messages": [a, b], "temperature": 0 } }),
    );
    host.record(run, EventType::Step, &json!({ "id": "2", "input": [a, b, c] }));
    host.record(run, EventType::Step, &json!({ "id": "3", "input": [c, a, b] }));
    host.record(run, EventType::Step, &json!({ "id": "4", "input": ["a"], "output": [a] }));
    let events = host.store_all().remove(0).events;
    let shown: Vec<Value> = events
        .into_iter()
        .map(|event| match event["t"].as_str() {
            Some("msg") => json!([event["n"], event["i"], event["v"]["content"]]),
            _ => json!([event["n"], event["input"]]),
        })
        .collect();
    assert_eq!(
        shown,
        [
            json!([0, 0, "a"]),
            json!([1, 1, "b"]),
            json!([2, { "messages": { "$msgs": [[0, 2]] }, "temperature": 0 }]),
            json!([3, 2, "c"]),
            json!([4, { "$msgs": [[0, 3]] }]),
            json!([5, { "$msgs": [[2, 1], [0, 2]] }]),
            json!([6, ["a"]]),
        ]
    );
}

#[test]
fn a_failure_that_may_pass_is_retried_with_the_same_batch() {
    for reply in
        [refused(503, "storage_unavailable"), refused(500, "internal"), refused(0, ""), refused(404, "")]
    {
        let mut host = Host::usual();
        let run = host.open();
        host.log(run, "a");
        host.recorder.flush();
        let attempt = host.send();
        let first = Sent::read(&attempt);
        host.pass(30);
        host.settle(&attempt, &reply);
        host.pass(2_000);
        let attempt = host.send_when_due();
        let second = Sent::read(&attempt);
        assert_eq!((&second.id, &second.body), (&first.id, &first.body));
        assert!(second.ts > first.ts, "each attempt is signed anew");
        assert_eq!(host.counts(), (0, 0, 0, 1));
        host.settle(&attempt, &refused(200, "duplicate"));
        assert_eq!(host.counts(), (1, 0, 0, 0));
    }
}

#[test]
fn after_a_failure_one_batch_goes_ahead() {
    let mut host = Host::new(Config { batch_events_max: 1, ..Config::new("test/1") });
    let run = host.open();
    for _ in 0..6 {
        host.log(run, "x");
    }
    let attempts = host.sends();
    assert_eq!(attempts.len(), 4, "so many are under way at once");
    for attempt in &attempts {
        host.settle(attempt, &refused(0, ""));
    }
    let probe = host.send_when_due();
    assert!(host.sends().is_empty());
    host.settle(&probe, &stored());
    assert_eq!(host.sends().len(), 4);
}

#[test]
fn retry_after_is_honoured() {
    let mut host = Host::usual();
    let run = host.open();
    host.log(run, "a");
    host.recorder.flush();
    let attempt = host.send();
    host.settle(&attempt, &Reply { retry_after_ms: Some(4_000), ..refused(429, "rate_limited") });
    let asked_at = host.now.monotonic_ms;
    assert!(host.at_exit().is_none(), "even while the page goes away");
    host.send_when_due();
    let waited = host.now.monotonic_ms - asked_at;
    assert!((4_000..4_500).contains(&waited), "{waited}");
}

#[test]
fn a_wrong_clock_is_corrected_and_the_batch_signed_anew_at_once() {
    for server_time in [WALL - 86_400_000, WALL + 86_400_000, 1_790_000_000_000 + WALL] {
        let mut host = Host::usual();
        let run = host.open();
        host.log(run, "a");
        host.recorder.flush();
        let attempt = host.send();
        let reply = Reply { server_time_ms: Some(server_time), ..refused(401, "timestamp_outside_window") };
        host.settle(&attempt, &reply);
        let again = host.send();
        assert_eq!(Sent::read(&again).ts, (server_time + 10) / 1_000);
        assert_eq!(Sent::read(&again).body, Sent::read(&attempt).body);
        host.settle(&again, &stored());
        host.log(run, "b");
        let off = i64::try_from(server_time).unwrap() + 10 - i64::try_from(WALL).unwrap();
        assert_eq!(host.store_all()[0].header["off"], off);
    }
}

#[test]
fn a_clock_beyond_ten_digits_still_makes_a_first_line() {
    for wall_ms in [0, u64::MAX / 2] {
        let mut host = Host::usual();
        host.now.wall_ms = wall_ms;
        let run = host.open();
        host.log(run, "a");
        host.recorder.flush();
        assert_eq!(Sent::read(&host.send()).ts.to_string().len(), 10);
    }
}

#[test]
fn a_clock_that_cannot_be_corrected_ends_in_backoff() {
    let mut host = Host::usual();
    let run = host.open();
    host.log(run, "a");
    host.recorder.flush();
    for _ in 0..3 {
        let attempt = host.send();
        host.settle(&attempt, &refused(401, "timestamp_outside_window"));
    }
    assert!(matches!(host.next(), Action::Wait(_)));
}

#[test]
fn an_expired_session_is_renewed_and_the_batch_signed_under_the_next() {
    let mut host = Host::usual();
    let run = host.open();
    host.log(run, "a");
    host.recorder.flush();
    let attempt = host.send();
    host.settle(&attempt, &refused(401, "session_expired"));
    assert!(matches!(host.next(), Action::RenewSession));
    assert!(matches!(host.next(), Action::Rest), "nothing to do until it comes");
    host.give_session("s1.next");
    let again = Sent::read(&host.send());
    assert_eq!(again.token, "s1.next");
    assert_eq!((again.id, again.body), (Sent::read(&attempt).id, Sent::read(&attempt).body));
}

#[test]
fn a_session_is_renewed_before_it_ends_while_an_execution_runs() {
    let mut host = Host::usual();
    assert!(matches!(host.next(), Action::Rest), "no execution, no renewal");
    let run = host.open();
    assert!(matches!(host.next(), Action::Wait(720_000)));
    host.pass(720_000);
    assert!(matches!(host.next(), Action::RenewSession));
    host.log(run, "a");
    host.recorder.flush();
    assert_eq!(Sent::read(&host.send()).token, TOKEN, "the old one serves until the new one comes");
}

#[test]
fn a_failing_provider_is_asked_again_and_nothing_is_lost() {
    let mut recorder = Recorder::new(Config::new("test/1"), [5; 32], "q");
    let mut now = Moment { monotonic_ms: 0, wall_ms: WALL };
    let run = recorder.open(execution(), Role::Starter);
    recorder.record(run, EventType::Log, "{}", 0);
    recorder.flush();
    for _ in 0..20 {
        match recorder.next_action(now) {
            Action::RenewSession => recorder.renewal_failed(now.monotonic_ms),
            Action::Wait(ms) => now.monotonic_ms += ms,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(recorder.counts().pending, 1);
    now.monotonic_ms += 60_000;
    assert!(matches!(recorder.next_action(now), Action::RenewSession));
    recorder.accept_session(TOKEN, SessionKey::from_bytes(KEY), WALL + 900_000, None, OWNER, now).unwrap();
    assert!(matches!(recorder.next_action(now), Action::Send(_)));
}

#[test]
fn a_session_that_does_not_verify_is_replaced_and_then_the_batch_dropped() {
    let mut host = Host::usual();
    let run = host.open();
    host.log(run, "a");
    host.recorder.flush();
    for token in ["s1.b", "s1.c"] {
        let attempt = host.send();
        host.settle(&attempt, &refused(401, "signature_invalid"));
        while !matches!(host.next(), Action::RenewSession) {
            host.pass(100);
        }
        host.give_session(token);
    }
    let attempt = host.send();
    host.settle(&attempt, &refused(401, "signature_invalid"));
    assert_eq!(host.counts(), (0, 0, 1, 0));
    assert_eq!(host.reasons(), [("signature_invalid".into(), 1)]);
}

#[test]
fn without_another_session_an_expired_one_leaves_events_pending_and_a_bad_one_drops_them() {
    for (code, counts) in [("session_expired", (0, 0, 0, 1)), ("signature_invalid", (0, 0, 1, 0))] {
        let mut host = Host::new(Config { renewable: false, ..Config::new("test/1") });
        let run = host.open();
        host.log(run, "a");
        host.recorder.flush();
        let attempt = host.send();
        host.settle(&attempt, &refused(401, code));
        assert_eq!(host.counts(), counts, "{code}");
        assert!(host.recorder.is_stuck());
        assert!(matches!(host.next(), Action::Rest));
    }
}

#[test]
fn a_refused_batch_is_dropped_and_the_next_event_says_so() {
    let mut host = Host::usual();
    let run = host.open();
    let step = json!({ "id": "1", "input": [{ "role": "user", "content": "a" }] });
    host.record(run, EventType::Step, &step);
    host.recorder.flush();
    let attempt = host.send();
    host.settle(&attempt, &refused(403, "project_paused"));
    assert_eq!(host.counts(), (0, 0, 2, 0));
    assert_eq!(host.reasons(), [("project_paused".into(), 2)]);
    assert!(matches!(host.next(), Action::Wait(_)), "the loss alone makes no batch");

    host.record(run, EventType::Step, &step);
    let again = host.store_all().remove(0);
    assert_eq!(again.header["k"], 1);
    assert_eq!(again.numbers(), [2, 3, 4]);
    let drop = json!({ "t": "drop", "n": 2, "reason": "project_paused", "count": 2, "from": 0, "to": 1 });
    assert_eq!(again.events[0], drop);
    assert_eq!(again.events[1]["i"], 1, "the message is sent again under a new index");
    assert_eq!(again.events[2]["input"], json!({ "$msgs": [[1, 1]] }));
    assert_eq!(host.counts(), (3, 0, 2, 0));
}

#[test]
fn the_report_of_a_loss_is_repeated_if_it_is_lost_too() {
    let mut host = Host::usual();
    let run = host.open();
    for _ in 0..2 {
        host.log(run, "x");
        host.recorder.flush();
        let attempt = host.send();
        host.settle(&attempt, &refused(403, "project_paused"));
    }
    host.record(run, EventType::End, &json!({}));
    let last = host.store_all().remove(0);
    let drop = json!({ "t": "drop", "n": 3, "reason": "project_paused", "count": 3, "from": 0, "to": 2 });
    assert_eq!(last.events[0], drop);
    assert_eq!(last.events[1]["last"], 4);
    assert_eq!(host.counts(), (2, 0, 3, 0));
}

#[test]
fn a_key_that_another_batch_has_taken_is_a_drop() {
    let mut host = Host::usual();
    let run = host.open();
    host.log(run, "a");
    host.recorder.flush();
    let attempt = host.send();
    host.settle(&attempt, &refused(409, "batch_conflict"));
    assert_eq!(host.reasons(), [("batch_conflict".into(), 1)]);
}

#[test]
fn rejected_events_are_counted_with_their_reasons() {
    let mut host = Host::usual();
    let run = host.open();
    for _ in 0..5 {
        host.log(run, "a");
    }
    host.recorder.flush();
    let attempt = host.send();
    host.settle(
        &attempt,
        &Reply { rejected: 3, rejected_because: "field `at` is missing\nfield `at` is missing", ..stored() },
    );
    assert_eq!(host.counts(), (2, 3, 0, 0));
    assert_eq!(host.reasons(), [("field `at` is missing".into(), 2), ("unexplained".into(), 1)]);
}

#[test]
fn more_rejections_than_events_change_no_sum() {
    let mut host = Host::usual();
    let run = host.open();
    host.log(run, "a");
    host.recorder.record(run, EventType::Log, "", 0);
    host.recorder.flush();
    let attempt = host.send();
    host.settle(&attempt, &Reply { rejected: u64::MAX, ..stored() });
    assert_eq!(host.counts(), (0, 1, 1, 0));
    host.settle(&attempt, &stored());
    assert_eq!(host.counts(), (0, 1, 1, 0), "an attempt is settled once");
}

#[test]
fn a_page_that_goes_away_sends_what_fits_its_budget() {
    let mut host = Host::new(Config { page: true, ..Config::new("test/1") });
    let run = host.open();
    for _ in 0..5 {
        host.log(run, &"x".repeat(30_000));
    }
    let first = host.send();
    assert!(first.keepalive, "an attempt that outlives the page need not be repeated");
    assert_eq!(Sent::read(&first).numbers(), [0]);
    let second = host.send();
    assert!(second.keepalive);
    let third = host.send();
    assert!(!third.keepalive, "the budget is used up");
    assert!(host.at_exit().is_none());

    host.settle(&first, &stored());
    let at_exit = host.at_exit().unwrap();
    assert!(at_exit.keepalive);
    assert_eq!(Sent::read(&at_exit).numbers(), [2], "the one whose attempt dies with the page");
    assert!(second.request.len() + at_exit.request.len() <= KEEPALIVE_BUDGET);
    assert!(host.at_exit().is_none());

    host.settle(&at_exit, &stored());
    host.settle(&third, &refused(200, "duplicate"));
    host.settle(&second, &stored());
    host.store_all();
    assert_eq!(host.counts(), (5, 0, 0, 0));
}

#[test]
fn a_batch_that_was_packed_is_signed_as_it_is_sent() {
    let mut host = Host::new(Config { page: true, ..Config::new("test/1") });
    let run = host.open();
    for _ in 0..4 {
        host.log(run, &"x".repeat(30_000));
    }
    let Action::Send(attempt) = host.next() else { panic!("a batch is due") };
    host.pass(5_000);
    let request = host.recorder.seal(attempt.id, b"\x1f\x8bpacked", host.now).unwrap();
    let line = request.strip_suffix(b"\n\x1f\x8bpacked").unwrap();
    let [_, _, id, ts, signature] =
        core::str::from_utf8(line).unwrap().split(' ').collect::<Vec<_>>().try_into().unwrap();
    let (id, ts, signature) =
        (BatchId::parse(id).unwrap(), ts.parse().unwrap(), Signature::parse(signature).unwrap());
    assert_eq!(ts, host.now.wall_ms / 1_000, "the time is that of sealing");
    assert!(SessionKey::from_bytes(KEY).verifies(&id, ts, b"\x1f\x8bpacked", &signature));
    assert!(host.send().keepalive);
    assert!(host.send().keepalive, "the page's budget is charged what is sent");
    assert!(!host.send().keepalive);
}

#[test]
fn an_attempt_whose_session_is_another_when_it_is_packed_goes_out_anew_at_once() {
    let mut host = Host::usual();
    let run = host.open();
    host.log(run, "a");
    host.recorder.flush();
    let Action::Send(attempt) = host.next() else { panic!("a batch is due") };
    host.give_session("s1.b");
    assert!(host.recorder.seal(attempt.id, &attempt.body, host.now).is_none());
    assert!(host.recorder.seal(attempt.id, &attempt.body, host.now).is_none(), "it is over");
    let again = host.send();
    assert_eq!(Sent::read(&again).token, "s1.b");
    host.settle(&again, &stored());
    assert_eq!(host.counts(), (1, 0, 0, 0));
}

#[test]
fn what_is_purged_while_it_is_packed_is_not_sent() {
    let mut host = Host::usual();
    let run = host.open();
    host.log(run, "a");
    host.recorder.flush();
    let Action::Send(attempt) = host.next() else { panic!("a batch is due") };
    host.recorder.purge("consent_withdrawn");
    assert!(host.recorder.seal(attempt.id, &attempt.body, host.now).is_none());
    assert_eq!(host.counts(), (0, 0, 1, 0));
}

#[test]
fn a_page_that_goes_away_cuts_and_sends_everything_small() {
    let mut host = Host::new(Config { page: true, ..Config::new("test/1") });
    let (a, b) = (host.open(), host.open());
    host.log(a, "a");
    host.log(b, "b");
    assert!(matches!(host.next(), Action::Wait(_)));
    let sent: Vec<Attempt> = core::iter::from_fn(|| host.at_exit()).collect();
    assert_eq!(sent.len(), 2);
    assert!(sent.iter().all(|attempt| attempt.keepalive));
}

#[test]
fn a_batch_that_failed_once_leaves_the_pages_budget_alone() {
    let mut host = Host::new(Config { page: true, ..Config::new("test/1") });
    let run = host.open();
    host.log(run, "a");
    host.recorder.flush();
    let attempt = host.send();
    host.settle(&attempt, &refused(0, ""));
    assert!(!host.send_when_due().keepalive);
}

#[test]
fn memory_is_bounded_by_dropping_the_oldest() {
    let mut host = Host::usual();
    let run = host.open();
    for _ in 0..80 {
        host.log(run, &"x".repeat(LINE_MAX - 100));
    }
    let (.., dropped, pending) = host.counts();
    assert!(dropped >= 10, "{dropped} dropped");
    assert_eq!(host.reasons(), [("queue_full".into(), dropped)]);
    let sent = host.store_all();
    assert!(sent.iter().map(|batch| batch.body.len()).sum::<usize>() <= (16 << 20) + 900_000);
    let numbers: Vec<u64> = sent.iter().flat_map(Sent::numbers).collect();
    let (first, rest) = numbers.split_first().unwrap();
    assert_eq!(*first, 0, "the first says what it was");
    assert!(rest.iter().copied().eq(dropped + 1..dropped + pending), "the oldest went, in order");
}

#[test]
fn flush_is_settled_by_what_was_recorded_before_it() {
    let mut host = Host::usual();
    let run = host.open();
    host.log(run, "a");
    let mark = host.recorder.flush();
    host.log(run, "b");
    host.recorder.flush();
    let attempt = host.send();
    assert!(!host.recorder.is_settled(mark));
    host.settle(&attempt, &stored());
    assert!(host.recorder.is_settled(mark));
    assert_eq!(host.counts(), (1, 0, 0, 1));
}

/// A server that keeps what it is sent, and fails in every way.
#[derive(Default)]
struct Server {
    /// By writer and index.
    bodies: BTreeMap<(String, u64), Vec<u8>>,
    ids: BTreeMap<String, (String, u64)>,
}

impl Server {
    fn store(&mut self, sent: &Sent) -> &'static str {
        let key = sent.key();
        assert_eq!(
            *self.ids.entry(sent.id.clone()).or_insert_with(|| key.clone()),
            key,
            "a batch keeps its id"
        );
        if let Some(body) = self.bodies.get(&key) {
            assert_eq!(body, &sent.body, "a batch's bytes never change");
            "duplicate"
        } else {
            self.bodies.insert(key, sent.body.clone());
            "stored"
        }
    }

    /// Every writer's batches and numbers follow on from 0 to its last, which says that it is.
    fn assert_writers_are_whole(&self) {
        let mut next: BTreeMap<&str, (u64, u64, bool)> = BTreeMap::new();
        for ((writer, k), body) in &self.bodies {
            let text = core::str::from_utf8(body).unwrap();
            let header: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
            let (next_k, next_n, closed) = next.entry(writer).or_default();
            assert_eq!((*k, header["n"].as_u64().unwrap()), (*next_k, *next_n), "{writer:?}");
            assert!(!*closed, "nothing follows the last");
            *next_k += 1;
            *next_n += text.lines().count() as u64 - 1;
            *closed = header["fin"] == true || text.lines().last().unwrap().starts_with("{\"t\":\"end\"");
        }
        assert!(next.values().all(|(.., closed)| *closed), "{next:?}");
    }

    /// Which event numbers are stored as what they were, and which are said to be dropped.
    fn fates(&self) -> (Vec<u64>, Vec<u64>) {
        let (mut stored, mut dropped) = (Vec::new(), Vec::new());
        for body in self.bodies.values() {
            for line in core::str::from_utf8(body).unwrap().lines().skip(1) {
                let event: Value = serde_json::from_str(line).unwrap();
                let n = event["n"].as_u64().unwrap();
                match (event["from"].as_u64(), event["to"].as_u64()) {
                    (Some(from), Some(to)) => {
                        dropped.extend(from..=to);
                        if !(from..=to).contains(&n) {
                            stored.push(n);
                        }
                    }
                    _ => stored.push(n),
                }
            }
        }
        stored.sort_unstable();
        dropped.sort_unstable();
        dropped.dedup();
        (stored, dropped)
    }
}

mod every_event_has_one_fate {
    use super::{Action, Attempt, Config, EventType, Host, Reply, Sent, Server, Vec, json, refused, stored};
    use proptest::prelude::{ProptestConfig, any, prop, proptest};

    #[derive(Default)]
    struct World {
        server: Server,
        /// Attempts that are handed out and not sealed.
        packing: Vec<crate::record::Attempt>,
        flying: Vec<Attempt>,
        sessions: u32,
    }

    impl World {
        /// Attempts whose session has gone meanwhile are over.
        fn seal_all(&mut self, host: &mut Host) {
            let seal = |attempt| Attempt::seal(&mut host.recorder, &attempt, host.now);
            self.flying.extend(self.packing.drain(..).filter_map(seal));
        }
    }

    /// What the host does for one byte of luck.
    fn act(host: &mut Host, world: &mut World, luck: u8) {
        match host.next() {
            Action::Send(attempt) => world.packing.push(attempt),
            Action::RenewSession if luck.is_multiple_of(3) => {
                host.recorder.renewal_failed(host.now.monotonic_ms);
            }
            Action::RenewSession => {
                world.sessions += 1;
                host.give_session(&std::format!("s1.{}", world.sessions));
            }
            _ => host.pass(u64::from(luck) * 20),
        }
        if luck % 4 < 2 {
            world.seal_all(host);
        }
        if luck.is_multiple_of(16) {
            world.flying.extend(host.at_exit());
        }
        if luck % 2 == 1 && !world.flying.is_empty() {
            let attempt = world.flying.swap_remove(usize::from(luck) % world.flying.len());
            reply(host, &mut world.server, &attempt, luck / 2);
        }
    }

    fn reply(host: &mut Host, server: &mut Server, attempt: &Attempt, luck: u8) {
        let sent = Sent::read(attempt);
        let server_time_ms = Some(host.now.wall_ms + u64::from(luck) * 1_000);
        match luck % 12 {
            0..=3 => {
                let code = server.store(&sent);
                host.settle(attempt, &refused(200, code));
            }
            // The reply is lost after the commit.
            4 => {
                server.store(&sent);
                host.settle(attempt, &refused(0, ""));
            }
            5 => host.settle(attempt, &refused(503, "storage_unavailable")),
            6 => host.settle(attempt, &Reply { retry_after_ms: Some(3_000), ..refused(429, "rate_limited") }),
            7 => host.settle(attempt, &Reply { server_time_ms, ..refused(401, "timestamp_outside_window") }),
            8 => host.settle(attempt, &refused(401, "session_expired")),
            9 => host.settle(attempt, &refused(0, "")),
            10 => host.settle(attempt, &refused(500, "internal")),
            _ if server.bodies.contains_key(&sent.key()) => {
                host.settle(attempt, &refused(200, "duplicate"));
            }
            _ => host.settle(attempt, &refused(403, "project_paused")),
        }
    }

    fn settle_everything(host: &mut Host, world: &mut World) {
        host.recorder.flush();
        for _ in 0..10_000 {
            match host.next() {
                Action::Send(attempt) => world.packing.push(attempt),
                Action::RenewSession => host.give_session("s1.last"),
                Action::Wait(ms) => host.pass(ms),
                Action::Rest if world.flying.is_empty() => return,
                _ => {}
            }
            world.seal_all(host);
            if let Some(attempt) = world.flying.pop() {
                world.server.store(&Sent::read(&attempt));
                host.settle(&attempt, &stored());
            }
        }
        panic!("never at rest");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn whatever_the_network_does(
            page in any::<bool>(),
            events_max in 1_usize..6,
            script in prop::collection::vec((any::<u8>(), 0_u32..3), 1..200),
        ) {
            let config = Config { page, batch_events_max: events_max, ..Config::new("test/1") };
            let (mut host, mut world) = (Host::new(config), World::default());
            let run = host.open();
            for (luck, events) in script {
                for _ in 0..events {
                    match luck % 5 {
                        0 => host.recorder.record(run, EventType::Log, "{", host.now.monotonic_ms),
                        1 => host.record(run, EventType::Step, &json!({ "input": [{ "role": luck % 7 }] })),
                        _ => host.log(run, "x"),
                    };
                }
                act(&mut host, &mut world, luck);
            }
            host.record(run, EventType::End, &json!({}));
            settle_everything(&mut host, &mut world);

            let (stored, _, dropped, pending) = host.counts();
            assert_eq!(pending, 0);
            let (at_server, said_dropped) = world.server.fates();
            // A batch that is refused after its commit is the server's contradiction; this one makes none.
            assert_eq!(stored, at_server.len() as u64);
            let mut all: Vec<u64> = at_server.iter().chain(&said_dropped).copied().collect();
            all.sort_unstable();
            assert_eq!(all.len() as u64, stored + dropped, "no number has two fates");
            assert!(all.iter().copied().eq(0..all.len() as u64), "no number is missing");
        }
    }
}
