//! Steps in statistics: how many of each kind and name there were, how many failed, how long they took.

use crate::call::Call;
use crate::failure::Outcome;
use crate::storage::labels;
use crate::storage::statistics::Question;
use crate::storage::statistics::step_times::{self, LOOKED_AT_MAX};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use stepseal_protocol::ids::ProjectId;
use stepseal_protocol::query::StepTally;
use stepseal_protocol::rollup::read_key;

/// Names that are shown, at most: those of the most steps.
const NAMES_MAX: usize = 200;

/// Adds the steps and what they are of; says how many rows that read.
pub(super) async fn add(
    call: &Call,
    project: &ProjectId,
    question: &Question<'_>,
    leading: Option<(&str, &str)>,
    reply: &mut Value,
) -> Outcome<usize> {
    let found = step_times::ask(&call.env, question, leading).await?;
    // By kind and the name's index, with an execution that knows the name.
    let mut tallies: BTreeMap<(&str, &str), (StepTally, &str)> = BTreeMap::new();
    for (key, count, execution) in &found.counts {
        if let Some((kind, index, class)) = read_key(key) {
            let (tally, known_by) = tallies.entry((kind, index)).or_default();
            tally.add(class, *count);
            *known_by = execution;
        }
    }
    let counted: u64 = tallies.values().map(|(tally, _)| tally.count()).sum();
    let mut steps: Vec<_> = tallies.into_iter().collect();
    steps.sort_by_key(|(_, (tally, _))| std::cmp::Reverse(tally.count()));
    let complete = found.looked_at < LOOKED_AT_MAX && counted == found.steps && steps.len() <= NAMES_MAX;
    steps.truncate(NAMES_MAX);
    let known_by = steps.iter().map(|(_, (_, execution))| *execution).collect();
    let (labels, rows) = labels::of_steps(&call.env, project, &known_by).await?;
    let shown =
        steps.iter().filter_map(|((kind, index), (tally, _))| Some(tally.shown(kind, labels.get(index)?)));
    reply["steps_by_name"] = shown.collect();
    reply["steps_by_name_of"] = json!({
        "executions": found.executions, "executions_max": LOOKED_AT_MAX, "steps": found.steps,
        "counted_steps": counted, "complete": complete,
    });
    Ok(found.rows_read + rows)
}
