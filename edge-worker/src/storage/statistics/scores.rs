//! Sums over scores, by name.

use super::{Question, facet_values};
use crate::failure::{Doing, Fault, Outcome};
use crate::storage::executions::UNTIMED;
use crate::storage::listing::rows_read;
use crate::storage::statement::{Bind, bind};
use serde::Deserialize;
use serde_json::json;
use worker::Env;

/// Scores that one answer sums up, at most.
const SCORES_MAX: u64 = 20_000;
/// Names that it sums them up by, at most.
const NAMES_MAX: u64 = 20;

/// Scores of one name and time.
#[derive(Deserialize)]
pub(crate) struct ScoresByTime {
    pub(crate) name: String,
    pub(crate) bucket: i64,
    pub(crate) scores: u64,
    pub(crate) numbers: u64,
    pub(crate) sum: f64,
    pub(crate) min: Option<f64>,
    pub(crate) max: Option<f64>,
}

/// Scores of one name and text, or part of the numbers' range.
#[derive(Deserialize)]
pub(crate) struct ScoresByValue {
    pub(crate) name: String,
    pub(crate) text: Option<String>,
    pub(crate) low: Option<f64>,
    pub(crate) high: Option<f64>,
    pub(crate) part: Option<u8>,
    pub(crate) scores: u64,
    /// One of them: its execution and its id.
    pub(crate) execution: String,
    pub(crate) id: String,
}

/// What the store says of scores.
pub(crate) struct Scores {
    pub(crate) by_time: Vec<ScoresByTime>,
    pub(crate) by_value: Vec<ScoresByValue>,
    /// Whether these are all.
    pub(crate) complete: bool,
    pub(crate) rows_read: usize,
}

/// Sums up the scores of a question's executions.
pub(crate) async fn ask(env: &Env, question: &Question<'_>) -> Outcome<Scores> {
    let doing = "summing scores up";
    let (project, window) = (question.project, question.window);
    let (mut found, read) = facet_values(env, project, &["score"], "", window, NAMES_MAX + 1).await?;
    let mut names = found.pop().unwrap_or_default();
    let all_names = names.len() as u64 <= NAMES_MAX;
    names.truncate(usize::try_from(NAMES_MAX).unwrap_or(usize::MAX));
    let names: Vec<&str> =
        names.iter().filter(|name| name.executions > 0).map(|name| name.value.as_str()).collect();
    let names = json!(names).to_string();
    let database = env.d1("DB").doing(doing)?;
    let values = [
        Bind::Text(project),
        Bind::Signed(window.from),
        Bind::Signed(window.to.unwrap_or(UNTIMED)),
        Bind::Number(SCORES_MAX),
        Bind::Signed(question.bucket_ms),
        Bind::Text(&names),
        Bind::Text(&question.facets),
    ];
    let by_time = concat!(include_str!("scored.sql"), include_str!("scores_by_time.sql"));
    let by_value = concat!(include_str!("scored.sql"), include_str!("scores_by_value.sql"));
    let statements = vec![
        bind(&database, by_time, &values).doing(doing)?,
        bind(&database, by_value, &values).doing(doing)?,
    ];
    let results = database.batch(statements).await.storing(doing)?;
    let [by_time, by_value] = results.as_slice() else {
        return Err(Fault::internal(doing, "no results").into());
    };
    let by_time: Vec<ScoresByTime> = by_time.results().doing(doing)?;
    let all = by_time.iter().map(|row| row.scores).sum::<u64>() < SCORES_MAX;
    Ok(Scores {
        by_time,
        by_value: by_value.results().doing(doing)?,
        complete: all && all_names,
        rows_read: read + results.iter().map(rows_read).sum::<usize>(),
    })
}
