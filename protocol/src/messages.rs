//! Message ranges, read back (SPEC.md, section 5).
//!
//! A writer sends each message once, as a `msg` event with an index in its table; a step's input names
//! ranges of the table: `{"$msgs":[[0,31],[35,1]]}`. A reader puts the messages back. One that is not
//! there (yet, or any more) shows as `{"$missing":{"message":35}}`, never as an error.

use crate::batch::{Batch, Kind};
use core::ops::RangeInclusive;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::borrow::ToOwned;
use std::boxed::Box;
use std::collections::BTreeMap;
use std::vec::Vec;

const RANGES: &str = "$msgs";
/// Most messages that one input resolves to: a range is a few bytes, what it stands for is not.
pub(crate) const MESSAGES_MAX: usize = 10_000;

/// Smallest and largest index of the messages a batch holds.
pub fn message_indexes(batch: &Batch<'_>) -> Option<RangeInclusive<u64>> {
    let indexes = || {
        batch.events.iter().filter_map(|event| match event.kind {
            Kind::Message { index, .. } => Some(index),
            _ => None,
        })
    };
    Some(indexes().min()?..=indexes().max()?)
}

/// The messages of one writer, as far as they were read.
#[derive(Debug, Default)]
pub struct MessageTable(BTreeMap<u64, Box<RawValue>>);

impl MessageTable {
    /// Takes in the messages of a batch. Of several under one index the first counts: indexes are never
    /// reused.
    pub fn add(&mut self, batch: &Batch<'_>) {
        for event in &batch.events {
            if let Kind::Message { index, value } = event.kind {
                self.0.entry(index).or_insert_with(|| value.to_owned());
            }
        }
    }

    /// Whether it holds every message of these indexes.
    pub fn has_all(&self, indexes: &RangeInclusive<u64>) -> bool {
        let wanted = indexes.end() - indexes.start() + 1;
        self.0.range(indexes.clone()).count() as u64 == wanted
    }

    /// Puts the messages in place of their ranges, wherever `value` has any.
    pub fn resolve(&self, value: &mut Value) {
        if let Some(ranges) = ranges_of(value) {
            *value = Value::Array(self.messages(&ranges));
            return;
        }
        each_child(value, |child| self.resolve(child));
    }

    fn messages(&self, ranges: &[(u64, u64)]) -> Vec<Value> {
        ranges
            .iter()
            .flat_map(|(from, count)| *from..from.saturating_add(*count))
            .take(MESSAGES_MAX)
            .map(|index| self.message(index))
            .collect()
    }

    /// The message of an index, or what stands for a missing one.
    pub(crate) fn message(&self, index: u64) -> Value {
        let message = self.0.get(&index).and_then(|raw| serde_json::from_str(raw.get()).ok());
        message.unwrap_or_else(|| json!({ "$missing": { "message": index } }))
    }
}

/// Smallest and largest message index that `value` refers to.
pub fn indexes_referred_to(value: &Value) -> Option<RangeInclusive<u64>> {
    let own = ranges_of(value).into_iter().flatten().filter(|(_, count)| *count > 0);
    let own = own.map(|(from, count)| from..=from.saturating_add(count - 1));
    let children: Vec<&Value> = match value {
        Value::Array(elements) => elements.iter().collect(),
        Value::Object(members) => members.values().collect(),
        _ => Vec::new(),
    };
    own.chain(children.into_iter().filter_map(indexes_referred_to)).reduce(join)
}

/// The smallest range that covers both.
pub fn join(one: RangeInclusive<u64>, other: RangeInclusive<u64>) -> RangeInclusive<u64> {
    *one.start().min(other.start())..=*one.end().max(other.end())
}

/// The ranges of `{"$msgs":[[from,count],…]}`, if `value` is that.
pub(crate) fn ranges_of(value: &Value) -> Option<Vec<(u64, u64)>> {
    let members = value.as_object().filter(|members| members.len() == 1)?;
    members.get(RANGES)?.as_array()?.iter().map(range_of).collect()
}

fn range_of(value: &Value) -> Option<(u64, u64)> {
    match value.as_array()?.as_slice() {
        [from, count] => Some((from.as_u64()?, count.as_u64()?)),
        _ => None,
    }
}

fn each_child(value: &mut Value, visit: impl FnMut(&mut Value)) {
    match value {
        Value::Array(elements) => elements.iter_mut().for_each(visit),
        Value::Object(members) => members.values_mut().for_each(visit),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::{MessageTable, indexes_referred_to, message_indexes};
    use crate::batch::Batch;
    use serde_json::json;

    const BODY: &str = concat!(
        r#"{"v":1,"x":"run_0000000000000001","k":0,"prev":"","n":0}"#,
        "\n",
        r#"{"t":"msg","n":0,"i":3,"v":{"role":"user"}}"#,
        "\n",
        r#"{"t":"msg","n":1,"i":4,"v":"hello"}"#,
        "\n",
    );

    #[test]
    fn ranges_become_messages_and_a_missing_one_shows() {
        let batch = Batch::parse(BODY.as_bytes()).unwrap();
        assert_eq!(message_indexes(&batch), Some(3..=4));
        let mut table = MessageTable::default();
        table.add(&batch);
        assert!(table.has_all(&(3..=4)));
        assert!(!table.has_all(&(3..=5)));
        let mut input = json!({ "messages": { "$msgs": [[4, 2], [3, 1]] }, "t": [1] });
        assert_eq!(indexes_referred_to(&input), Some(3..=5));
        table.resolve(&mut input);
        let expected = json!(["hello", { "$missing": { "message": 5 } }, { "role": "user" }]);
        assert_eq!(input, json!({ "messages": expected, "t": [1] }));
    }

    #[test]
    fn what_is_no_range_stays() {
        for mut value in
            [json!({ "$msgs": [[0, 1]], "x": 1 }), json!({ "$msgs": [[0]] }), json!({ "$$msgs": [[0, 1]] })]
        {
            let before = value.clone();
            MessageTable::default().resolve(&mut value);
            assert_eq!(value, before);
            assert_eq!(indexes_referred_to(&value), None);
        }
    }

    #[test]
    fn a_huge_range_is_bounded() {
        let mut value = json!({ "$msgs": [[0, 9_007_199_254_740_991_u64]] });
        MessageTable::default().resolve(&mut value);
        assert_eq!(value.as_array().unwrap().len(), 10_000);
    }
}
