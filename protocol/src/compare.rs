//! What two executions did alike and otherwise.
//!
//! Steps are aligned by the longest common subsequence of what they are: kind, name and the kinds and names above them.
//! Aligned steps are compared member by member, histories message by message. Everything is bounded: how much of each
//! execution is taken, how many members are looked at, how many differences are told; what was not looked at is said.

use crate::batch::{Batch, Event, Kind, Step, Usage};
use crate::messages::{MESSAGES_MAX, MessageTable, ranges_of};
use crate::prices::PriceTable;
use crate::query::usd;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

/// Steps of each execution that are compared, at most: the table of the alignment has a cell for each pair.
pub const STEPS_MAX: usize = 1_000;
/// Bytes of batches, inflated, after which no more of an execution is taken.
pub const BYTES_MAX: usize = 4_000_000;
/// Values that are looked at, at most.
const WORK_MAX: usize = 300_000;
/// Differences that are told: of one step, and of all.
const DIFFERENCES_OF_STEP_MAX: usize = 50;
const DIFFERENCES_MAX: usize = 2_000;
/// Bytes of a differing value that are shown.
const SHOWN_MAX: usize = 200;
/// Levels above a step that say where it stands.
const LEVELS_MAX: usize = 32;

/// As much of an execution as is compared.
#[derive(Debug, Default)]
pub struct Side {
    steps: Vec<SideStep>,
    tables: BTreeMap<String, MessageTable>,
    bytes: usize,
    /// Whether there was more.
    pub truncated: bool,
}

#[derive(Debug)]
struct SideStep {
    writer: String,
    n: u64,
    id: String,
    parent: Option<String>,
    kind: &'static str,
    name: String,
    at: i64,
    status: &'static str,
    model: Option<String>,
    usage: Usage,
    cost_nano_usd: Option<u64>,
    said: Said,
}

/// What is compared member by member.
#[derive(Debug, Default, Deserialize)]
struct Said {
    #[serde(default)]
    duration_ms: f64,
    #[serde(default)]
    parent: Value,
    #[serde(default)]
    input: Value,
    #[serde(default)]
    output: Value,
    #[serde(default)]
    error: Value,
}

impl Side {
    /// Takes in a batch of `bytes`, inflated. Batches come in order of (writer, k).
    pub fn add(&mut self, batch: &Batch<'_>, bytes: usize, prices: Option<&PriceTable>) {
        self.bytes += bytes;
        let writer = batch.header.writer.as_str();
        self.tables.entry(writer.to_string()).or_default().add(batch);
        for event in &batch.events {
            let Kind::Step(step) = &event.kind else { continue };
            if self.steps.len() == STEPS_MAX {
                self.truncated = true;
                return;
            }
            self.steps.push(SideStep::of(writer, event, step, prices));
        }
    }

    /// Whether no further batch is to be taken in.
    pub fn is_full(&self) -> bool {
        self.truncated || self.bytes >= BYTES_MAX
    }

    /// How many steps were taken in.
    pub fn steps(&self) -> usize {
        self.steps.len()
    }

    /// Steps in the order in which they began.
    fn sort(&mut self) {
        self.steps
            .sort_by(|one, other| (one.at, &one.writer, one.n).cmp(&(other.at, &other.writer, other.n)));
    }

    /// What each step is, and what it stands under: the outermost first.
    fn paths(&self) -> Vec<Vec<(&'static str, &str)>> {
        let mut by_id: HashMap<&str, &SideStep> = HashMap::new();
        for step in &self.steps {
            by_id.entry(&step.id).or_insert(step);
        }
        self.steps
            .iter()
            .map(|step| {
                let mut path = std::vec![(step.kind, step.name.as_str())];
                let mut above = step.parent.as_deref().and_then(|id| by_id.get(id).copied());
                // Recorded parents may form a ring: the levels are bounded.
                while let Some(step) = above.filter(|_| path.len() < LEVELS_MAX) {
                    path.push((step.kind, step.name.as_str()));
                    above = step.parent.as_deref().and_then(|id| by_id.get(id).copied());
                }
                path.reverse();
                path
            })
            .collect()
    }
}

impl SideStep {
    fn of(writer: &str, event: &Event<'_>, step: &Step<'_>, prices: Option<&PriceTable>) -> Self {
        let mut said: Said = serde_json::from_str(event.text).unwrap_or_default();
        let parent = if let Value::String(id) = said.parent.take() { Some(id) } else { None };
        Self {
            writer: writer.to_string(),
            n: event.n,
            id: step.id.to_string(),
            parent,
            kind: step.kind.as_str(),
            name: step.name.to_string(),
            at: step.at,
            status: step.status.map_or("", |status| status.as_str()),
            model: step.model.as_deref().map(ToString::to_string),
            usage: step.usage,
            cost_nano_usd: step.cost_nano_usd.or_else(|| prices?.derive(step)),
            said,
        }
    }

    fn shown(&self) -> Value {
        json!({
            "id": self.id, "writer": self.writer, "n": self.n, "at": self.at, "status": self.status,
            "duration_ms": self.said.duration_ms, "model": self.model, "usage": self.usage,
            "cost_usd": self.cost_nano_usd.map(usd),
        })
    }
}

/// Two steps that stand for each other, or one that has no counterpart.
type Pair = (Option<usize>, Option<usize>);

/// Compares two executions: steps in the order of both, and whether anything was left out.
pub fn compare(mut a: Side, mut b: Side) -> Value {
    a.sort();
    b.sort();
    let (paths_a, paths_b) = (a.paths(), b.paths());
    let mut diff =
        Diff { a: &a.tables, b: &b.tables, work: WORK_MAX, left: DIFFERENCES_MAX, equal: HashSet::new() };
    let mut counts = BTreeMap::from([("same", 0_u64), ("changed", 0), ("only_a", 0), ("only_b", 0)]);
    let mut steps = Vec::new();
    for (one, other) in align(&paths_a, &paths_b) {
        let path = one.map(|at| &paths_a[at]).or_else(|| other.map(|at| &paths_b[at]));
        let (one, other) = (one.map(|at| &a.steps[at]), other.map(|at| &b.steps[at]));
        let mut shown = described(path.map_or(&[], Vec::as_slice));
        shown.insert("a".into(), one.map_or(Value::Null, SideStep::shown));
        shown.insert("b".into(), other.map_or(Value::Null, SideStep::shown));
        let change = match (one, other) {
            (Some(one), Some(other)) => {
                let found = diff.steps(one, other);
                let change = if found.list.is_empty() && !found.more { "same" } else { "changed" };
                shown.insert("differences".into(), Value::Array(found.list));
                shown.insert("more_differences".into(), found.more.into());
                change
            }
            (Some(_), None) => "only_a",
            _ => "only_b",
        };
        shown.insert("change".into(), change.into());
        *counts.entry(change).or_default() += 1;
        steps.push(Value::Object(shown));
    }
    let truncated = a.truncated || b.truncated || diff.work == 0 || diff.left == 0;
    json!({ "steps": steps, "counts": counts, "truncated": truncated })
}

fn described(path: &[(&'static str, &str)]) -> Map<String, Value> {
    let mut shown = Map::new();
    let (above, own) = path.split_at(path.len().saturating_sub(1));
    let (kind, name) = own.first().copied().unwrap_or_default();
    shown.insert("kind".into(), kind.into());
    shown.insert("name".into(), name.into());
    shown.insert("under".into(), above.iter().map(|(_, name)| *name).collect());
    shown
}

/// The longest common subsequence of two sequences, in order; what is in one only stands where it belongs.
fn align<K: Eq + std::hash::Hash>(a: &[K], b: &[K]) -> Vec<Pair> {
    let mut numbers: HashMap<&K, u32> = HashMap::new();
    let mut number = |key| {
        let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
        *numbers.entry(key).or_insert(next)
    };
    let (a, b): (Vec<u32>, Vec<u32>) =
        (a.iter().map(&mut number).collect(), b.iter().map(&mut number).collect());
    let width = b.len() + 1;
    // Length of the longest of what begins at each pair.
    let mut longest = std::vec![0_u16; (a.len() + 1) * width];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            longest[i * width + j] = if a[i] == b[j] {
                longest[(i + 1) * width + j + 1] + 1
            } else {
                longest[(i + 1) * width + j].max(longest[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut pairs = Vec::with_capacity(a.len().max(b.len()));
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            pairs.push((Some(i), Some(j)));
            (i, j) = (i + 1, j + 1);
        } else if j == b.len() || i < a.len() && longest[(i + 1) * width + j] >= longest[i * width + j + 1] {
            pairs.push((Some(i), None));
            i += 1;
        } else {
            pairs.push((None, Some(j)));
            j += 1;
        }
    }
    pairs
}

/// Differences that were found, and whether there may be others.
#[derive(Clone, Debug, Default)]
struct Found {
    list: Vec<Value>,
    more: bool,
}

impl Found {
    fn push(&mut self, path: impl Into<String>, change: &str, a: &Value, b: &Value) {
        if self.list.len() == DIFFERENCES_OF_STEP_MAX {
            self.more = true;
            return;
        }
        self.list.push(json!({ "path": path.into(), "change": change, "a": excerpt(a), "b": excerpt(b) }));
    }
}

/// A value and the writer whose messages its ranges name; none within a message, which names none.
type Of<'v> = (Option<&'v str>, &'v Value);

struct Diff<'a> {
    a: &'a BTreeMap<String, MessageTable>,
    b: &'a BTreeMap<String, MessageTable>,
    work: usize,
    left: usize,
    /// Pairs of messages that are equal: histories repeat them.
    equal: HashSet<(String, u64, String, u64)>,
}

impl Diff<'_> {
    fn steps(&mut self, one: &SideStep, other: &SideStep) -> Found {
        let mut found = Found::default();
        if self.work == 0 || self.left == 0 {
            found.more = true;
            return found;
        }
        let plain = [
            ("status", Value::from(one.status), Value::from(other.status)),
            ("model", json!(one.model), json!(other.model)),
        ];
        for (name, a, b) in plain {
            if a != b {
                found.push(format!("/{name}"), "changed", &a, &b);
            }
        }
        let said = [
            ("input", &one.said.input, &other.said.input),
            ("output", &one.said.output, &other.said.output),
            ("error", &one.said.error, &other.said.error),
        ];
        for (name, a, b) in said {
            self.values(&format!("/{name}"), (Some(&one.writer), a), (Some(&other.writer), b), &mut found);
        }
        found.list.truncate(self.left);
        self.left -= found.list.len();
        found
    }

    /// Whether there is work left for one value more.
    fn spend(&mut self, found: &mut Found) -> bool {
        if self.work == 0 || found.more {
            found.more = true;
            return false;
        }
        self.work -= 1;
        true
    }

    fn values(&mut self, path: &str, a: Of<'_>, b: Of<'_>, found: &mut Found) {
        if !self.spend(found) {
            return;
        }
        match (a.1, b.1) {
            _ if refers(a) || refers(b) => self.histories(path, a, b, found),
            (Value::Object(one), Value::Object(other)) => {
                for (name, value) in one {
                    let path = format!("{path}/{}", escaped(name));
                    match other.get(name) {
                        Some(counterpart) => self.values(&path, (a.0, value), (b.0, counterpart), found),
                        None => found.push(path, "only_a", value, &Value::Null),
                    }
                }
                for (name, value) in other.iter().filter(|(name, _)| !one.contains_key(*name)) {
                    found.push(format!("{path}/{}", escaped(name)), "only_b", &Value::Null, value);
                }
            }
            (Value::Array(one), Value::Array(other)) => {
                for (index, (value, counterpart)) in one.iter().zip(other).enumerate() {
                    self.values(&format!("{path}/{index}"), (a.0, value), (b.0, counterpart), found);
                }
                self.rest(path, one.len().min(other.len()), one, other, found);
            }
            (one, other) if one != other => found.push(path.to_string(), "changed", one, other),
            _ => {}
        }
    }

    /// What the longer of two arrays has more.
    fn rest(&mut self, path: &str, common: usize, a: &[Value], b: &[Value], found: &mut Found) {
        for (index, value) in a.iter().enumerate().skip(common) {
            if !self.spend(found) {
                return;
            }
            found.push(format!("{path}/{index}"), "only_a", value, &Value::Null);
        }
        for (index, value) in b.iter().enumerate().skip(common) {
            if !self.spend(found) {
                return;
            }
            found.push(format!("{path}/{index}"), "only_b", &Value::Null, value);
        }
    }

    /// Compares lists of messages, either of which may stand as ranges of its writer's table.
    fn histories(&mut self, path: &str, a: Of<'_>, b: Of<'_>, found: &mut Found) {
        let ((Some(of_a), Some(one)), (Some(of_b), Some(other))) = ((a.0, indexes(a.1)), (b.0, indexes(b.1)))
        else {
            let (one, other) = (resolved(self.a, a), resolved(self.b, b));
            return self.values(path, (None, &one), (None, &other), found);
        };
        for index in 0..one.len().max(other.len()) {
            if !self.spend(found) {
                return;
            }
            let path = format!("{path}/{index}");
            match (one.get(index), other.get(index)) {
                (Some(from), Some(to)) => self.message(&path, (of_a, *from), (of_b, *to), found),
                (Some(from), None) => found.push(path, "only_a", &message(self.a, of_a, *from), &Value::Null),
                (None, Some(to)) => found.push(path, "only_b", &Value::Null, &message(self.b, of_b, *to)),
                (None, None) => {}
            }
        }
    }

    fn message(&mut self, path: &str, a: (&str, u64), b: (&str, u64), found: &mut Found) {
        let key = (a.0.to_string(), a.1, b.0.to_string(), b.1);
        if self.equal.contains(&key) {
            return;
        }
        let (one, other) = (message(self.a, a.0, a.1), message(self.b, b.0, b.1));
        let before = found.list.len();
        self.values(path, (None, &one), (None, &other), found);
        if found.list.len() == before && !found.more {
            self.equal.insert(key);
        }
    }
}

/// Whether a value stands for messages of its writer.
fn refers((writer, value): Of<'_>) -> bool {
    writer.is_some() && ranges_of(value).is_some()
}

/// The messages that ranges stand for; none of what is no ranges.
fn indexes(value: &Value) -> Option<Vec<u64>> {
    let ranges = ranges_of(value)?;
    let all = ranges.into_iter().flat_map(|(from, count)| from..from.saturating_add(count));
    Some(all.take(MESSAGES_MAX).collect())
}

fn message(tables: &BTreeMap<String, MessageTable>, writer: &str, index: u64) -> Value {
    tables.get(writer).map_or(Value::Null, |table| table.message(index))
}

fn resolved(tables: &BTreeMap<String, MessageTable>, (writer, value): Of<'_>) -> Value {
    let mut value = value.clone();
    if let Some(table) = writer.and_then(|writer| tables.get(writer)) {
        table.resolve(&mut value);
    }
    value
}

/// A value as JSON text, its beginning if it is long.
fn excerpt(value: &Value) -> Option<String> {
    if value.is_null() {
        return None;
    }
    let mut text = value.to_string();
    if text.len() > SHOWN_MAX {
        text.truncate(text.floor_char_boundary(SHOWN_MAX));
        text.push('…');
    }
    Some(text)
}

/// A member's name in a JSON pointer (RFC 6901, section 3).
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::{STEPS_MAX, Side, align, compare};
    use crate::batch::Batch;
    use serde_json::{Value, json};
    use std::fmt::Write;
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    fn side(events: &[Value]) -> Side {
        let mut body =
            String::from("{\"v\":1,\"x\":\"run_0000000000000001\",\"k\":0,\"prev\":\"\",\"n\":0}\n");
        for (n, event) in events.iter().enumerate() {
            let mut event = event.clone();
            event["n"] = n.into();
            writeln!(body, "{event}").unwrap();
        }
        let batch = Batch::parse(body.as_bytes()).unwrap();
        assert!(batch.verdicts.is_empty(), "{:?}", batch.verdicts);
        let mut side = Side::default();
        side.add(&batch, body.len(), None);
        side
    }

    fn step(name: &str, more: &Value) -> Value {
        let mut step = json!({ "t": "step", "id": name, "kind": "tool", "name": name, "at": 5, "duration_ms": 1, "status": "ok" });
        for (field, value) in more.as_object().unwrap() {
            step[field] = value.clone();
        }
        step
    }

    fn changes(compared: &Value) -> Vec<(String, String)> {
        let text = |value: &Value| String::from(value.as_str().unwrap());
        compared["steps"]
            .as_array()
            .unwrap()
            .iter()
            .map(|step| (text(&step["name"]), text(&step["change"])))
            .collect()
    }

    fn paths(compared: &Value, index: usize) -> Vec<String> {
        let differences = compared["steps"][index]["differences"].as_array().unwrap();
        differences
            .iter()
            .map(|difference| {
                format!("{} {}", difference["change"].as_str().unwrap(), difference["path"].as_str().unwrap())
            })
            .collect()
    }

    #[test]
    fn the_longest_common_sequence_is_found() {
        let aligned = |a: &str, b: &str| {
            let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
            let pairs = align(&a, &b);
            pairs
                .iter()
                .filter_map(|(i, j)| {
                    i.zip(*j).map(|(i, j)| {
                        assert_eq!(a[i], b[j]);
                        a[i]
                    })
                })
                .collect::<String>()
        };
        assert_eq!(aligned("abcbdab", "bdcaba").len(), 4);
        assert_eq!(aligned("abc", "abc"), "abc");
        assert_eq!(aligned("abc", ""), "");
        assert_eq!(aligned("xaybz", "ab"), "ab");
    }

    #[test]
    fn members_that_differ_are_named_by_their_path() {
        let none = json!({});
        let a = side(&[
            step("plan", &json!({ "input": { "q": "SEA", "list": [1, 2], "a/b": 1 }, "output": "x" })),
            step("gone", &none),
            step("book", &none),
        ]);
        let b = side(&[
            step(
                "plan",
                &json!({ "input": { "q": "JFK", "list": [1, 2, 3], "new": {} }, "output": "x", "status": "error" }),
            ),
            step("book", &none),
            step("more", &none),
        ]);
        let compared = compare(a, b);
        let expected = [("plan", "changed"), ("gone", "only_a"), ("book", "same"), ("more", "only_b")];
        assert_eq!(changes(&compared), expected.map(|(name, change)| (name.into(), change.into())));
        let mut found = paths(&compared, 0);
        found.sort();
        assert_eq!(
            found,
            [
                "changed /input/q",
                "changed /status",
                "only_a /input/a~1b",
                "only_b /input/list/2",
                "only_b /input/new"
            ]
        );
        assert_eq!((&compared["counts"]["same"], &compared["truncated"]), (&json!(1), &json!(false)));
        let q = compared["steps"][0]["differences"]
            .as_array()
            .unwrap()
            .iter()
            .find(|found| found["path"] == "/input/q")
            .unwrap();
        assert_eq!((&q["a"], &q["b"]), (&json!("\"SEA\""), &json!("\"JFK\"")));
    }

    #[test]
    fn steps_of_one_name_are_told_apart_by_what_they_stand_under() {
        let under = |parent: &str| json!({ "parent": parent });
        let a = side(&[step("one", &json!({})), step("two", &json!({})), step("search", &under("one"))]);
        let b = side(&[step("one", &json!({})), step("two", &json!({})), step("search", &under("two"))]);
        let compared = compare(a, b);
        assert_eq!(compared["counts"], json!({ "same": 2, "changed": 0, "only_a": 1, "only_b": 1 }));
        let ring = side(&[step("one", &under("two")), step("two", &under("one"))]);
        assert_eq!(compare(ring, Side::default())["counts"]["only_a"], 2);
    }

    #[test]
    fn histories_are_compared_message_by_message() {
        let message =
            |i: u64, text: &str| json!({ "t": "msg", "i": i, "v": { "role": "user", "content": text } });
        let a = side(&[
            message(0, "hello"),
            message(1, "SEA"),
            step("plan", &json!({ "input": { "$msgs": [[0, 2]] } })),
        ]);
        // The same history under other indexes, and one message more.
        let b = side(&[
            message(4, "hello"),
            message(5, "JFK"),
            message(6, "bye"),
            step("plan", &json!({ "input": { "$msgs": [[4, 3]] } })),
        ]);
        assert_eq!(paths(&compare(a, b), 0), ["changed /input/1/content", "only_b /input/2"]);
        let ranges = side(&[message(0, "hello"), step("plan", &json!({ "input": { "$msgs": [[0, 1]] } }))]);
        let plain = side(&[step("plan", &json!({ "input": [{ "role": "user", "content": "hello" }] }))]);
        assert_eq!(changes(&compare(ranges, plain)), [("plan".into(), "same".into())]);
    }

    #[test]
    fn a_message_that_names_itself_is_a_message() {
        let own = |text: &str| {
            side(&[
                json!({ "t": "msg", "i": 0, "v": { "again": { "$msgs": [[0, 1]] }, "text": text } }),
                step("plan", &json!({ "input": { "$msgs": [[0, 1]] } })),
            ])
        };
        assert_eq!(paths(&compare(own("a"), own("b")), 0), ["changed /input/0/text"]);
    }

    #[test]
    fn what_is_too_much_is_left_out_and_said() {
        let mut many = side(&(0..900).map(|i| step(&format!("s{i}"), &json!({}))).collect::<Vec<_>>());
        assert!(!many.is_full());
        let body: Vec<Value> = (0..900).map(|i| step(&format!("t{i}"), &json!({}))).collect();
        let mut text = String::from(
            "{\"v\":1,\"x\":\"run_0000000000000001\",\"k\":1,\"prev\":\"47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU\",\"n\":900}\n",
        );
        for (n, event) in body.iter().enumerate() {
            let mut event = event.clone();
            event["n"] = (900 + n).into();
            writeln!(text, "{event}").unwrap();
        }
        many.add(&Batch::parse(text.as_bytes()).unwrap(), text.len(), None);
        assert!(many.is_full() && many.steps() == STEPS_MAX);
        assert_eq!(compare(many, Side::default())["truncated"], true);
        let wide = |value: u64| {
            side(&[step("wide", &json!({ "input": (0..100).map(|_| value).collect::<Vec<_>>() }))])
        };
        let compared = compare(wide(1), wide(2));
        assert_eq!(
            compared["steps"][0]["differences"].as_array().unwrap().len(),
            super::DIFFERENCES_OF_STEP_MAX
        );
        assert_eq!(compared["steps"][0]["more_differences"], true);
    }
}
