//! Steps in statistics: how many of each kind and name there were, how many failed, how long they took.

use crate::call::Call;
use crate::failure::Outcome;
use crate::storage::statistics::Question;
use crate::storage::statistics::step_times::{self, LOOKED_AT_MAX};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use stepseal_protocol::at_rest::Labels;
use stepseal_protocol::query::StepTally;
use stepseal_protocol::rollup::read_key;

/// Names that are shown, at most: those of the most steps.
const NAMES_MAX: usize = 200;

/// Adds the steps and what they are of; says how many rows that read.
pub(super) async fn add(
    call: &Call,
    question: &Question<'_>,
    leading: Option<(&str, &str)>,
    labels: &Labels,
    reply: &mut Value,
) -> Outcome<usize> {
    let found = step_times::ask(&call.env, question, leading).await?;
    let mut tallies: BTreeMap<(String, String), StepTally> = BTreeMap::new();
    for (key, count) in &found.counts {
        if let Some((kind, name, class)) = read_key(labels, key) {
            tallies.entry((kind, name)).or_default().add(class, *count);
        }
    }
    let counted: u64 = tallies.values().map(StepTally::count).sum();
    let mut steps: Vec<_> = tallies.into_iter().collect();
    steps.sort_by_key(|(_, tally)| std::cmp::Reverse(tally.count()));
    let complete = found.looked_at < LOOKED_AT_MAX && counted == found.steps && steps.len() <= NAMES_MAX;
    steps.truncate(NAMES_MAX);
    let shown = steps.into_iter().map(|((kind, name), tally)| tally.shown(&kind, &name));
    reply["steps_by_name"] = shown.collect();
    reply["steps_by_name_of"] = json!({
        "executions": found.executions, "executions_max": LOOKED_AT_MAX, "steps": found.steps,
        "counted_steps": counted, "complete": complete,
    });
    Ok(found.rows_read)
}
