//! Pages that die, and what the next one makes of what they left.

use super::{Attempt, EXECUTION, KEY, OWNER, Sent, Server, TOKEN, WALL, execution, refused, stored};
use crate::ids::ExecutionId;
use crate::keys::SessionKey;
use crate::record::{Action, Config, EventType, Handle, Moment, Recorder, Role, Sampling};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::{format, vec};

type Store = BTreeMap<String, Vec<u8>>;

/// A page with a store.
struct Page {
    recorder: Recorder,
    now: Moment,
    /// Changes that the store has not confirmed.
    writing: Option<(u32, Vec<u8>)>,
}

impl Page {
    fn open(config: Config, queue: &str, now: Moment) -> Self {
        let mut recorder = Recorder::new(config, [queue.as_bytes()[0]; 32], queue);
        recorder.store_opened();
        Self { recorder, now, writing: None }
    }

    fn durable(queue: &str) -> Self {
        let config = Config { durable: true, page: true, ..Config::new("test/1") };
        Self::open(config, queue, Moment { monotonic_ms: 1_000, wall_ms: WALL })
    }

    fn sign_in(&mut self, owners: &str) {
        let key = SessionKey::from_bytes(KEY);
        let expires_at = self.now.wall_ms + 900_000;
        self.recorder
            .accept_session(TOKEN, key, expires_at, Some(self.now.wall_ms), owners, self.now)
            .unwrap();
    }

    fn start(&mut self) -> Handle {
        let run = self.recorder.open(execution(), Role::Starter);
        self.record(run, EventType::Start, &json!({ "at": 1, "name": "x" }));
        run
    }

    fn record(&mut self, handle: Handle, event: EventType, fields: &Value) {
        self.recorder.record(handle, event, &fields.to_string(), self.now.monotonic_ms);
    }

    fn end(&mut self, handle: Handle, status: &str) {
        self.record(handle, EventType::End, &json!({ "status": status, "at": 2 }));
    }

    /// Writes what has changed since the last time; says whether anything had.
    fn save(&mut self, store: &mut Store) -> bool {
        self.finish_write(store);
        self.writing = self.recorder.take_changes(self.now.wall_ms);
        let has_changed = self.writing.is_some();
        self.finish_write(store);
        has_changed
    }

    /// The next attempt, sealed.
    fn send(&mut self) -> Option<Attempt> {
        let Action::Send(attempt) = self.recorder.next_action(self.now) else { return None };
        Attempt::seal(&mut self.recorder, &attempt, self.now)
    }

    fn sends(&mut self) -> bool {
        matches!(self.recorder.next_action(self.now), Action::Send(_))
    }

    fn finish_write(&mut self, store: &mut Store) {
        if let Some((transaction, changes)) = self.writing.take() {
            apply(store, &changes);
            self.recorder.saved(transaction);
        }
    }

    /// Takes over every queue in the store, and gives their numbers.
    fn adopt_all(&mut self, store: &Store, own: &str) -> Vec<u32> {
        let mut queues: Vec<&str> = store.keys().map(|key| key.split_once('/').unwrap().0).collect();
        queues.dedup();
        queues.retain(|queue| *queue != own);
        queues
            .into_iter()
            .map(|queue| {
                let number = self.recorder.adopt(queue);
                for (key, value) in store
                    .iter()
                    .filter_map(|(key, value)| Some((key.strip_prefix(queue)?.strip_prefix('/')?, value)))
                {
                    self.recorder.restore(key, core::str::from_utf8(value).unwrap(), self.now);
                }
                number
            })
            .collect()
    }

    /// Sends everything there is, to a server that stores it, until there is nothing more to do.
    fn deliver(&mut self, store: &mut Store) -> Vec<Sent> {
        let mut sent = Vec::new();
        self.recorder.flush();
        loop {
            self.save(store);
            match self.recorder.next_action(self.now) {
                Action::Send(attempt) => {
                    let attempt = Attempt::seal(&mut self.recorder, &attempt, self.now).unwrap();
                    self.recorder.settle(attempt.id, &stored(), 20, self.now);
                    sent.push(Sent::read(&attempt));
                }
                Action::RenewSession => self.sign_in(OWNER),
                Action::Wait(ms) if ms <= 60_000 => {
                    self.now.monotonic_ms += ms;
                    self.now.wall_ms += ms;
                }
                _ if self.save(store) => {}
                _ => return sent,
            }
        }
    }

    fn pending(&self) -> u64 {
        self.recorder.counts().pending
    }
}

fn apply(store: &mut Store, mut changes: &[u8]) {
    while !changes.is_empty() {
        let (lengths, rest) = changes.split_at(8);
        let [key_len, value_len] =
            [0, 4].map(|at| u32::from_le_bytes(lengths[at..at + 4].try_into().unwrap()));
        let (key, rest) = rest.split_at(key_len as usize);
        let key = String::from_utf8(key.to_vec()).unwrap();
        changes = rest;
        if value_len == u32::MAX {
            store.remove(&key);
        } else {
            let (value, rest) = rest.split_at(value_len as usize);
            store.insert(key, value.to_vec());
            changes = rest;
        }
    }
}

fn all_events(sent: &[Sent]) -> Vec<&Value> {
    sent.iter().flat_map(|batch| &batch.events).collect()
}

#[test]
fn nothing_is_sent_before_it_is_durable() {
    let (mut page, mut store) = (Page::durable("a"), Store::new());
    page.sign_in(OWNER);
    let run = page.start();
    page.end(run, "completed");
    assert!(!page.sends());
    let (transaction, changes) = page.recorder.take_changes(WALL).unwrap();
    assert!(!page.sends());
    apply(&mut store, &changes);
    page.recorder.saved(transaction);
    assert_eq!(page.deliver(&mut store).len(), 1);
    assert!(store.is_empty(), "what has its fate is forgotten: {:?}", store.keys());
}

#[test]
fn a_store_that_fails_or_never_opens_leaves_memory() {
    let (mut page, mut store) = (Page::durable("a"), Store::new());
    page.sign_in(OWNER);
    let run = page.start();
    page.end(run, "completed");
    page.recorder.store_failed();
    assert_eq!(page.deliver(&mut store).len(), 1);
    assert!(store.is_empty());
}

#[test]
fn the_next_page_delivers_what_a_dead_one_left_and_ends_its_execution() {
    let mut store = Store::new();
    let mut dead = Page::durable("a");
    let run = dead.start();
    dead.record(run, EventType::Step, &json!({ "id": "1", "input": "cut" }));
    dead.recorder.flush();
    dead.save(&mut store);
    dead.record(run, EventType::Step, &json!({ "id": "2", "input": "not cut" }));
    dead.save(&mut store);
    dead.record(run, EventType::Step, &json!({ "id": "3", "input": "not cut, later" }));
    dead.save(&mut store);
    dead.record(run, EventType::Step, &json!({ "id": "4", "input": "not durable" }));

    let mut next = Page::durable("b");
    next.sign_in(OWNER);
    let queues = next.adopt_all(&store, "b");
    assert_eq!(next.pending(), 4);
    let sent = next.deliver(&mut store);
    let events = all_events(&sent);
    assert_eq!(sent.iter().map(Sent::numbers).collect::<Vec<_>>(), [vec![0, 1], vec![2, 3], vec![4]]);
    assert_eq!((events[3]["id"].as_str(), events[4]["t"].as_str()), (Some("3"), Some("end")));
    let end = events[4];
    assert_eq!(
        (&end["status"], &end["adopted"], &end["last"]),
        (&json!("cancelled"), &json!(true), &json!(4))
    );
    assert_eq!((&end["error"]["type"], &end["at"]), (&json!("page_closed"), &json!(WALL)));
    assert_eq!(sent[1].header["prev"], crate::digest::BodyDigest::of(&sent[0].body).to_base64url());
    assert!(queues.into_iter().all(|queue| next.recorder.is_drained(queue)));
    assert!(store.is_empty(), "{:?}", store.keys());
    assert_eq!(next.recorder.counts().stored, 5);
}

#[test]
fn an_execution_that_is_resumed_goes_on_under_another_writer() {
    let mut store = Store::new();
    let mut dead = Page::durable("a");
    dead.start();
    dead.save(&mut store);

    let mut next = Page::durable("b");
    let run = next.recorder.open(execution(), Role::Successor);
    next.record(run, EventType::Step, &json!({ "id": "1" }));
    next.sign_in(OWNER);
    next.adopt_all(&store, "b");
    next.end(run, "completed");
    // Ended already or not: what counts is that somebody goes on with it within the grace.
    let sent = next.deliver(&mut store);
    let of = |writer: &str| {
        sent.iter().filter(|batch| batch.header["w"].as_str().unwrap_or("") == writer).collect::<Vec<_>>()
    };
    let old = of("");
    assert_eq!(
        old.iter().flat_map(|batch| batch.types()).collect::<Vec<_>>(),
        ["start", "end"],
        "a grace later"
    );

    let mut store = Store::new();
    let mut dead = Page::durable("a");
    dead.start();
    dead.save(&mut store);
    let mut next = Page::durable("b");
    next.sign_in(OWNER);
    next.adopt_all(&store, "b");
    let run = next.recorder.open(execution(), Role::Successor);
    next.recorder.next_action(next.now);
    next.end(run, "completed");
    let sent = next.deliver(&mut store);
    let old: Vec<&Sent> = sent.iter().filter(|batch| batch.header.get("w").is_none()).collect();
    assert_eq!(old.iter().flat_map(|batch| batch.types()).collect::<Vec<_>>(), ["start", "state"]);
    assert_eq!(old.last().unwrap().header["fin"], true);
}

#[test]
fn nothing_is_sent_under_anothers_session() {
    let mut store = Store::new();
    let mut dead = Page::durable("a");
    dead.sign_in("prj_demo alice");
    dead.start();
    dead.recorder.flush();
    dead.save(&mut store);
    let left = store.clone();

    let mut next = Page::durable("b");
    next.recorder.presume_owner("prj_demo alice");
    next.sign_in("prj_demo bob");
    next.adopt_all(&store, "b");
    assert_eq!((next.pending(), next.deliver(&mut store).len()), (0, 0));
    assert_eq!(store, left, "it waits for its own");

    for owners in ["prj_demo alice", "prj_demo carol\nprj_demo alice"] {
        let mut store = left.clone();
        let mut next = Page::durable("c");
        next.sign_in(owners);
        next.adopt_all(&store, "c");
        assert_eq!(next.deliver(&mut store).len(), 2, "{owners}");
    }
}

#[test]
fn what_is_recorded_before_a_session_is_its_subjects_and_stays_so() {
    let mut store = Store::new();
    let mut page = Page::durable("a");
    page.recorder.presume_owner("prj_demo alice");
    page.start();
    page.save(&mut store);
    page.sign_in("prj_demo bob");
    page.save(&mut store);
    // The page's subject changes while it lives.
    page.sign_in("prj_demo carol");
    assert!(matches!(page.recorder.next_action(page.now), Action::Wait(_)));
    page.recorder.flush();
    page.save(&mut store);
    assert!(!page.sends(), "bob's are not carol's");
    let mark = page.recorder.flush();
    assert!(page.recorder.is_settled(mark), "no flush waits for another's session");

    let mut next = Page::durable("b");
    next.sign_in("prj_demo bob");
    next.adopt_all(&store, "b");
    assert_eq!(next.deliver(&mut store).len(), 2);
}

#[test]
fn what_nobody_claims_in_thirty_days_is_dropped() {
    let mut store = Store::new();
    let mut dead = Page::durable("a");
    dead.recorder.next_action(dead.now);
    let run = dead.start();
    dead.end(run, "completed");
    dead.save(&mut store);
    let mut next = Page::durable("b");
    next.now.wall_ms += 31 * 86_400_000;
    next.sign_in(OWNER);
    next.adopt_all(&store, "b");
    assert_eq!(next.recorder.reasons(), [("expired".into(), 2)]);
    next.save(&mut store);
    assert!(store.is_empty());
}

#[test]
fn unreadable_entries_are_ignored() {
    let store: Store = [
        ("b1", "nonsense"),
        ("b2", "bat_0000000000000001 1\n"),
        ("w0", ""),
        ("l0", "x"),
        ("l0.1", "x"),
        ("", "x"),
        ("é", "x"),
    ]
    .into_iter()
    .map(|(key, value)| (format!("a/{key}"), value.as_bytes().to_vec()))
    .collect();
    let mut next = Page::durable("b");
    next.sign_in(OWNER);
    next.adopt_all(&store, "b");
    assert_eq!(next.pending(), 0);
}

#[test]
fn a_page_that_comes_back_after_it_was_taken_for_dead_begins_anew() {
    let mut store = Store::new();
    let mut frozen = Page::durable("a");
    frozen.sign_in(OWNER);
    let run = frozen.start();
    frozen.save(&mut store);
    let mut next = Page::durable("b");
    next.sign_in(OWNER);
    next.adopt_all(&store, "b");
    next.deliver(&mut store);

    frozen.recorder.hand_over("c");
    assert_eq!(frozen.pending(), 0, "its events are the other's");
    frozen.record(run, EventType::Step, &json!({ "id": "1" }));
    assert_eq!(frozen.recorder.reasons(), [("execution_ended".into(), 1)]);
    let run = frozen
        .recorder
        .open(ExecutionId::parse("run_0123456789abcdef0123456789abcdee").unwrap(), Role::Starter);
    frozen.end(run, "completed");
    assert_eq!(frozen.deliver(&mut store).len(), 1);
    assert!(store.is_empty());
}

#[test]
fn when_the_store_is_full_the_oldest_ended_executions_lose_their_contents_first() {
    let mut store = Store::new();
    let mut page = Page::durable("a");
    page.sign_in(OWNER);
    let running = page.start();
    page.record(running, EventType::Log, &json!({ "body": "r".repeat(50_000) }));
    for number in 0..4_u32 {
        let id = ExecutionId::parse(&format!("run_{number:032x}")).unwrap();
        let run = page.recorder.open(id, Role::Starter);
        page.record(run, EventType::Start, &json!({ "name": "x" }));
        for _ in 0..3 {
            page.record(run, EventType::Log, &json!({ "body": "e".repeat(40_000) }));
        }
        page.end(run, "completed");
    }
    page.recorder.flush();
    page.save(&mut store);
    page.recorder.store_is_full();
    let sent = page.deliver(&mut store);
    let drops = |number: u32| {
        let of_execution = sent.iter().filter(|batch| batch.header["x"] == format!("run_{number:032x}"));
        of_execution.flat_map(Sent::types).filter(|t| *t == "drop").count()
    };
    assert_eq!([0, 1, 2, 3].map(drops), [3, 3, 3, 0], "the oldest went first, and no more than had to");
    let body = |execution: &str| {
        sent.iter()
            .filter(|batch| batch.header["x"] == execution)
            .map(|batch| batch.body.len())
            .sum::<usize>()
    };
    assert!(body(EXECUTION) > 50_000, "one that runs keeps its contents");
    assert_eq!(page.recorder.reasons(), [("queue_full".into(), 9)]);
    assert_eq!(page.recorder.counts().stored, 2 + 4 * 5 - 9);
    let mut chains: BTreeMap<String, String> = BTreeMap::new();
    for batch in &sent {
        let prev = chains
            .insert(batch.header["x"].to_string(), crate::digest::BodyDigest::of(&batch.body).to_base64url());
        assert_eq!(batch.header["prev"].as_str(), Some(prev.unwrap_or_default().as_str()), "the chain holds");
    }
}

#[test]
fn what_may_have_been_sent_keeps_its_contents_when_the_store_is_full_and_the_rest_leaves_drops() {
    let mut store = Store::new();
    let mut page = Page::durable("a");
    page.sign_in(OWNER);
    let run = page.start();
    for _ in 0..14 {
        page.record(run, EventType::Log, &json!({ "body": "e".repeat(40_000) }));
    }
    page.end(run, "completed");
    page.save(&mut store);
    let first = page.send().expect("nothing to send");
    page.recorder.settle(first.id, &refused(503, ""), 20, page.now);
    page.recorder.store_is_full();
    let sent = page.deliver(&mut store);
    let mut batches: BTreeMap<u64, &Sent> =
        sent.iter().map(|batch| (batch.header["k"].as_u64().unwrap(), batch)).collect();
    assert_eq!(batches.pop_first().unwrap().1.body, Sent::read(&first).body);
    let dropped = batches.values().flat_map(|batch| batch.types()).filter(|t| *t == "drop").count();
    assert_eq!(dropped, 13, "all but the one that was sent");
    let numbers: Vec<u64> = all_events(&sent).iter().map(|event| event["n"].as_u64().unwrap()).collect();
    assert_eq!(numbers.len(), 16, "no number without a line");
    assert_eq!(page.recorder.counts().dropped, 13);
}

#[test]
fn a_run_beyond_the_room_loses_its_oldest_batches_but_the_first_and_says_so() {
    let mut store = Store::new();
    let mut page = Page::durable("a");
    page.sign_in(OWNER);
    let run = page.start();
    page.save(&mut store);
    page.recorder.store_is_full();
    for _ in 0..14 {
        page.record(run, EventType::Log, &json!({ "body": "e".repeat(40_000) }));
    }
    page.end(run, "completed");
    let sent = page.deliver(&mut store);
    let events = all_events(&sent);
    assert_eq!((events[0]["t"].as_str(), sent[1].header["k"].as_u64() > Some(1)), (Some("start"), true));
    let mut accounted: Vec<u64> = events.iter().map(|event| event["n"].as_u64().unwrap()).collect();
    for drop in events.iter().filter(|event| event["t"] == "drop") {
        accounted.extend(drop["from"].as_u64().unwrap()..=drop["to"].as_u64().unwrap());
    }
    accounted.sort_unstable();
    accounted.dedup();
    let last = events.last().unwrap()["last"].as_u64().unwrap();
    assert!(accounted.into_iter().eq(0..=last), "each number is there or named by a drop");
    assert_eq!(page.recorder.counts().stored + page.recorder.counts().dropped, last + 1);
}

#[test]
fn a_store_that_was_full_has_room_again_once_everything_was_delivered() {
    let mut store = Store::new();
    let mut page = Page::durable("a");
    page.sign_in(OWNER);
    page.recorder.store_is_full();
    let first = page.start();
    page.end(first, "completed");
    page.deliver(&mut store);
    let run = page.start();
    for _ in 0..14 {
        page.record(run, EventType::Log, &json!({ "body": "e".repeat(40_000) }));
    }
    assert_eq!((page.recorder.counts().stored, page.recorder.counts().dropped), (2, 0));
}

#[test]
fn a_store_that_others_have_filled_costs_nothing_that_is_recorded_later() {
    let mut store = Store::new();
    let mut page = Page::durable("a");
    page.sign_in(OWNER);
    page.recorder.store_is_full();
    let run = page.start();
    page.record(run, EventType::Log, &json!({ "body": "e".repeat(40_000) }));
    page.end(run, "completed");
    page.recorder.store_failed();
    page.deliver(&mut store);
    assert_eq!((page.recorder.counts().stored, page.recorder.counts().dropped), (3, 0));
}

mod sampling {
    use super::*;

    fn page(rate: u32, keep_failures: bool) -> Page {
        let sampling = Sampling { rate, keep_failures };
        let config = Config { durable: true, sampling, ..Config::new("test/1") };
        let mut page = Page::open(config, "a", Moment { monotonic_ms: 0, wall_ms: WALL });
        page.sign_in(OWNER);
        page
    }

    #[test]
    fn what_is_not_sampled_leaves_no_trace() {
        let (mut page, mut store) = (page(0, false), Store::new());
        let run = page.start();
        page.end(run, "failed");
        assert_eq!((page.deliver(&mut store).len(), page.recorder.counts().dropped, store.len()), (0, 0, 0));
    }

    #[test]
    fn a_failure_is_kept_and_counts_for_nothing_but_itself() {
        for (status, kept) in [("failed", true), ("completed", false)] {
            let (mut page, mut store) = (page(0, true), Store::new());
            let run = page.start();
            assert!(page.recorder.is_held(run));
            page.recorder.flush();
            page.save(&mut store);
            assert!(!store.is_empty(), "undecided, but durable");
            assert!(!page.sends());
            assert!(page.recorder.next_at_exit(page.now).is_none());
            page.record(run, EventType::Log, &json!({ "body": 1 }));
            page.recorder.decide(run, kept);
            page.end(run, status);
            let sent = page.deliver(&mut store);
            assert_eq!(all_events(&sent).len(), if kept { 3 } else { 0 });
            assert_eq!((page.pending(), store.len()), (0, 0), "{status}: {:?}", store.keys());
        }
    }

    #[test]
    fn what_grows_too_large_to_wait_is_kept() {
        let (mut page, mut store) = (page(0, true), Store::new());
        let run = page.start();
        for _ in 0..30 {
            page.record(run, EventType::Log, &json!({ "body": "x".repeat(40_000) }));
        }
        page.recorder.decide(run, false);
        page.end(run, "completed");
        assert_eq!(all_events(&page.deliver(&mut store)).len(), 32);
    }

    #[test]
    fn what_a_dead_page_held_back_is_sent() {
        let (mut dead, mut store) = (page(0, true), Store::new());
        dead.start();
        dead.recorder.flush();
        dead.save(&mut store);
        let mut next = Page::durable("b");
        next.sign_in(OWNER);
        next.adopt_all(&store, "b");
        assert_eq!(all_events(&next.deliver(&mut store)).len(), 2);
        assert!(store.is_empty());
    }
}

#[test]
fn withdrawn_consent_leaves_nothing_to_send() {
    let (mut page, mut store) = (Page::durable("a"), Store::new());
    page.sign_in(OWNER);
    let run = page.start();
    page.save(&mut store);
    page.recorder.purge("consent_withdrawn");
    page.record(run, EventType::Log, &json!({}));
    store.clear();
    assert_eq!((page.deliver(&mut store).len(), store.len()), (0, 0));
    assert_eq!(page.recorder.reasons(), [("consent_withdrawn".into(), 1), ("execution_ended".into(), 1)]);
}

#[test]
fn only_one_of_several_recorders_sends() {
    let config = Config { turns: true, ..Config::new("test/1") };
    let mut page = Page::open(config, "a", Moment { monotonic_ms: 0, wall_ms: WALL });
    page.sign_in(OWNER);
    assert!(
        matches!(page.recorder.next_action(page.now), Action::Rest),
        "nobody asks for a turn without need"
    );
    let run = page.start();
    page.end(run, "completed");
    assert!(matches!(page.recorder.next_action(page.now), Action::TakeTurn));
    assert!(!page.sends());
    page.recorder.turn_taken();
    let attempt = page.send().expect("it has the turn");
    page.recorder.settle(attempt.id, &refused(503, "storage_unavailable"), 20, page.now);
    assert!(matches!(page.recorder.next_action(page.now), Action::Wait(_)), "a pause keeps the turn");
    page.now.monotonic_ms += 60_000;
    let attempt = page.send().expect("it has the turn");
    page.recorder.settle(attempt.id, &stored(), 20, page.now);
    assert!(matches!(page.recorder.next_action(page.now), Action::YieldTurn));
    assert!(!page.sends());
}

#[test]
fn without_a_store_nobody_waits_for_a_turn() {
    let config = Config { turns: true, durable: true, ..Config::new("test/1") };
    let mut page = Page::open(config, "a", Moment { monotonic_ms: 0, wall_ms: WALL });
    page.sign_in(OWNER);
    let run = page.start();
    page.end(run, "completed");
    assert!(!page.sends(), "the store may open yet");
    page.recorder.store_failed();
    let attempt = page.send().expect("it sends from memory");
    page.recorder.settle(attempt.id, &stored(), 20, page.now);
    assert_eq!(page.recorder.counts().pending, 0);
}

mod pages_that_die_anywhere {
    use super::*;
    use proptest::prelude::{ProptestConfig, any, prop, proptest};

    struct World {
        page: Page,
        run: Handle,
        store: Store,
        server: Server,
        flying: Vec<Attempt>,
        pages: u8,
    }

    impl World {
        /// Loses the page, with or without what was being written, and opens another, which resumes or not.
        fn die(&mut self, luck: u8) {
            if luck & 4 != 0 {
                self.page.finish_write(&mut self.store);
            }
            // Requests that outlive their page may still arrive.
            for attempt in self.flying.drain(..) {
                if luck & 8 != 0 {
                    self.server.store(&Sent::read(&attempt));
                }
            }
            self.pages += 1;
            let name = format!("{}", char::from(b'a' + self.pages));
            let now = Moment { monotonic_ms: 0, wall_ms: self.page.now.wall_ms + 1_000 };
            let config = Config { durable: true, page: true, batch_events_max: 4, ..Config::new("test/1") };
            self.page = Page::open(config, &name, now);
            self.page.sign_in(OWNER);
            self.page.adopt_all(&self.store, &name);
            self.run = self.page.recorder.open(execution(), Role::Successor);
        }

        fn act(&mut self, luck: u8) {
            self.page.now.monotonic_ms += u64::from(luck);
            match luck % 8 {
                0..=2 => self.page.record(self.run, EventType::Log, &json!({ "body": luck })),
                3 => self.page.finish_write(&mut self.store),
                4 if self.page.writing.is_none() => self.page.writing = self.page.recorder.take_changes(WALL),
                5 => self.flying.extend(self.page.send()),
                6 => {
                    if let Some(attempt) = self.flying.pop() {
                        let code = if luck & 16 == 0 {
                            refused(503, "")
                        } else {
                            refused(200, self.server.store(&Sent::read(&attempt)))
                        };
                        self.page.recorder.settle(attempt.id, &code, 20, self.page.now);
                    }
                }
                7 if luck & 0x18 == 0 && self.pages < 20 => self.die(luck >> 1),
                _ => {}
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn leave_no_gap_and_no_number_twice(script in prop::collection::vec(any::<u8>(), 1..400)) {
            let mut page = Page::durable("a");
            page.sign_in(OWNER);
            let run = page.start();
            let mut world = World { page, run, store: Store::new(), server: Server::default(), flying: Vec::new(), pages: 0 };
            for luck in script {
                world.act(luck);
            }
            let World { mut page, run, mut store, mut server, flying, .. } = world;
            for attempt in flying {
                page.recorder.settle(attempt.id, &refused(0, ""), 20, page.now);
            }
            page.end(run, "completed");
            for sent in page.deliver(&mut store) {
                server.store(&sent);
            }
            assert_eq!(page.pending(), 0);
            assert!(store.is_empty(), "{:?}", store.keys());
            server.assert_writers_are_whole();
        }
    }
}
