//! How long steps took, by kind and name: read from the roll-ups of a bounded number of executions.

use super::Question;
use crate::failure::{Doing, Outcome};
use crate::storage::executions::UNTIMED;
use crate::storage::listing::rows_read;
use crate::storage::statement::{Bind, bind};
use serde::Deserialize;
use worker::Env;

/// Executions that one answer looks at, at most: the newest.
pub(crate) const LOOKED_AT_MAX: u64 = 2_000;

#[derive(Deserialize)]
struct Row {
    key: String,
    count: u64,
    execution: String,
}

/// What the store says of steps.
#[derive(Default)]
pub(crate) struct StepCounts {
    /// Counts by stored key, and an execution that has such.
    pub(crate) counts: Vec<(String, u64, String)>,
    /// Executions that were looked at, and those of them that passed.
    pub(crate) looked_at: u64,
    pub(crate) executions: u64,
    /// Steps of those, counted or not.
    pub(crate) steps: u64,
    pub(crate) rows_read: usize,
}

/// Counts the steps of a question's newest executions. `leading` is the facet whose index finds them.
pub(crate) async fn ask(
    env: &Env,
    question: &Question<'_>,
    leading: Option<(&str, &str)>,
) -> Outcome<StepCounts> {
    let doing = "counting steps";
    let database = env.d1("DB").doing(doing)?;
    let mut values = vec![
        Bind::Text(question.project),
        Bind::Signed(question.window.from),
        Bind::Signed(question.window.to.unwrap_or(UNTIMED + 1)),
        Bind::Number(LOOKED_AT_MAX),
        Bind::Text(&question.facets),
    ];
    let sql = match leading {
        None => concat!(include_str!("looked_at.sql"), include_str!("step_times.sql")),
        Some((facet, value)) => {
            values.extend([Bind::Text(facet), Bind::Text(value)]);
            concat!(include_str!("looked_at_of_value.sql"), include_str!("step_times.sql"))
        }
    };
    let result = bind(&database, sql, &values).doing(doing)?.all().await.storing(doing)?;
    let mut found = StepCounts { rows_read: rows_read(&result), ..StepCounts::default() };
    for Row { key, count, execution } in result.results::<Row>().doing(doing)? {
        match key.as_str() {
            "looked_at" => found.looked_at = count,
            "executions" => found.executions = count,
            "steps" => found.steps = count,
            _ => found.counts.push((key, count, execution)),
        }
    }
    Ok(found)
}
