//! How often each kind and name of step took how long, and how often it failed: enough for quantiles by name over many
//! executions, without a row a step.

use crate::at_rest::labels::Indexing;
use crate::batch::{Step, StepStatus};
use crate::rollup::label;
use std::collections::BTreeMap;
use std::format;
use std::string::String;

/// Most entries of one execution; like capped sets it keeps those with the smallest keys.
const STEP_TIMES_MAX: usize = 128;
/// Parts of a factor e that times are told apart by: classes are 22 % wide, so that an execution has few.
pub const STEP_TIME_PARTS: f64 = 5.0;
/// The column that steps' names are indexed for.
pub const STEP_NAME: &str = "step_name";
/// Stands for a class where an entry counts failures.
const FAILED: &str = "e";

/// Counts by `kind|name|class`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepTimes(BTreeMap<String, u64>);

impl StepTimes {
    pub(super) fn add_step(&mut self, step: &Step<'_>) {
        let (kind, name) = (step.kind.as_str(), label(&step.name));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "logarithms of times are small"
        )]
        let class = ((1.0 + step.duration_ms).ln() * STEP_TIME_PARTS) as u32;
        self.add(format!("{kind}|{name}|{class}"), 1);
        if step.status == Some(StepStatus::Error) {
            self.add(format!("{kind}|{name}|{FAILED}"), 1);
        }
    }

    fn add(&mut self, key: String, count: u64) {
        *self.0.entry(key).or_default() += count;
        while self.0.len() > STEP_TIMES_MAX {
            self.0.pop_last();
        }
    }

    /// An entry that is left out was never among the smallest of fewer, so the sum does not depend on the order.
    pub(super) fn merge(&mut self, other: &Self) {
        for (key, count) in &other.0 {
            *self.0.entry(key.clone()).or_default() += count;
        }
        while self.0.len() > STEP_TIMES_MAX {
            self.0.pop_last();
        }
    }

    pub(super) fn indexed(self, index: &mut Indexing<'_>) -> Self {
        let indexed = self.0.into_iter().filter_map(|(key, count)| {
            let (kind, name, class) = parts(&key)?;
            Some((format!("{kind}|{}|{class}", index(STEP_NAME, name)), count))
        });
        Self(indexed.collect())
    }

    /// As a JSON object.
    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.0).unwrap_or_default()
    }
}

/// Kind, name and class of a key. A name may hold the sign that parts them.
fn parts(key: &str) -> Option<(&str, &str, &str)> {
    let (kind, rest) = key.split_once('|')?;
    let (name, class) = rest.rsplit_once('|')?;
    Some((kind, name, class))
}

/// Kind, index of the name and class of a stored key; the class is none where failures are counted.
pub fn read_key(key: &str) -> Option<(&str, &str, Option<i64>)> {
    let (kind, index, class) = parts(key)?;
    Some((kind, index, class.parse().ok()))
}
