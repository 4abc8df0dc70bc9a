//! Sums over executions, from indexes alone: no row and no content is read.

pub(crate) mod scores;

use super::executions::UNTIMED;
use super::listing::rows_read;
use super::statement::{Bind, bind};
use crate::failure::{Doing, Fault, Outcome};
use serde::Deserialize;
use stepseal_protocol::query::Window;
use worker::Env;

/// Executions that one answer sums up, at most: the newest.
const EXECUTIONS_MAX: u64 = 250_000;
/// Up to which number the executions of a value are counted.
pub(crate) const COUNTED_MAX: u64 = 10_000;

/// Which executions are summed up.
pub(crate) struct Question<'a> {
    pub(crate) project: &'a str,
    pub(crate) window: Window,
    pub(crate) bucket_ms: i64,
    /// A facet and the values, as a JSON array, that executions must have one of.
    pub(crate) values: Option<(&'static str, String)>,
    /// Facets that all must hold, as a JSON array of pairs.
    pub(crate) facets: String,
}

/// Ended executions of one status, time, value and class of duration.
#[derive(Deserialize)]
pub(crate) struct EndedRow {
    pub(crate) bucket: i64,
    pub(crate) status: String,
    pub(crate) value: Option<String>,
    pub(crate) duration: i64,
    pub(crate) executions: u64,
    pub(crate) steps: u64,
    pub(crate) error_steps: u64,
    pub(crate) input: u64,
    pub(crate) cache_read: u64,
    pub(crate) cache_write: u64,
    pub(crate) output: u64,
    pub(crate) reasoning: u64,
    pub(crate) cost_nano_usd: u64,
    pub(crate) derived_cost_nano_usd: u64,
    pub(crate) price_version_first: Option<u64>,
    pub(crate) price_version_last: Option<u64>,
}

/// Times to the first token, likewise.
#[derive(Deserialize)]
pub(crate) struct FirstTokenRow {
    pub(crate) bucket: i64,
    pub(crate) value: Option<String>,
    pub(crate) ttft: i64,
    pub(crate) executions: u64,
}

/// Executions that have not ended.
#[derive(Deserialize)]
pub(crate) struct GoingOnRow {
    pub(crate) bucket: i64,
    pub(crate) status: String,
    pub(crate) executions: u64,
}

/// What the store says to a question.
pub(crate) struct Answer {
    pub(crate) ended: Vec<EndedRow>,
    pub(crate) first_tokens: Vec<FirstTokenRow>,
    pub(crate) going_on: Vec<GoingOnRow>,
    /// Whether there were no more executions than one answer sums up.
    pub(crate) complete: bool,
    pub(crate) rows_read: usize,
}

/// Answers a question.
pub(crate) async fn ask(env: &Env, question: &Question<'_>) -> Outcome<Answer> {
    let doing = "summing executions up";
    let database = env.d1("DB").doing(doing)?;
    let bounds = || {
        vec![
            Bind::Text(question.project),
            Bind::Signed(question.window.from),
            Bind::Signed(question.window.to.unwrap_or(UNTIMED)),
            Bind::Number(EXECUTIONS_MAX),
            Bind::Signed(question.bucket_ms),
        ]
    };
    let mut values = bounds();
    let (ended, first_tokens) = if let Some((facet, of)) = &question.values {
        values.extend([Bind::Text(facet), Bind::Text(of), Bind::Text(&question.facets)]);
        (include_str!("ended_of_values.sql"), include_str!("first_tokens_of_values.sql"))
    } else {
        (include_str!("ended.sql"), include_str!("first_tokens.sql"))
    };
    let mut going_on = bounds();
    going_on.push(Bind::Text(&question.facets));
    let statements = vec![
        bind(&database, ended, &values).doing(doing)?,
        bind(&database, first_tokens, &values).doing(doing)?,
        bind(&database, include_str!("going_on.sql"), &going_on).doing(doing)?,
    ];
    let results = database.batch(statements).await.storing(doing)?;
    let [ended, first_tokens, going_on] = results.as_slice() else {
        return Err(Fault::internal(doing, "no results").into());
    };
    let ended: Vec<EndedRow> = ended.results().doing(doing)?;
    Ok(Answer {
        complete: ended.iter().map(|row| row.executions).sum::<u64>() < EXECUTIONS_MAX,
        ended,
        first_tokens: first_tokens.results().doing(doing)?,
        going_on: going_on.results().doing(doing)?,
        rows_read: results.iter().map(rows_read).sum(),
    })
}

/// A value of a facet, and how many executions of a window have it.
#[derive(Deserialize)]
pub(crate) struct FacetValue {
    /// As stored.
    pub(crate) value: String,
    pub(crate) executions: u64,
}

/// Up to `limit` values of each facet, after `after`, in the order of their stored texts; and the rows read.
pub(crate) async fn facet_values(
    env: &Env,
    project: &str,
    facets: &[&str],
    after: &str,
    window: Window,
    limit: u64,
) -> Outcome<(Vec<Vec<FacetValue>>, usize)> {
    let doing = "reading a facet's values";
    let database = env.d1("DB").doing(doing)?;
    let statements = facets
        .iter()
        .map(|facet| {
            let values = [
                Bind::Text(project),
                Bind::Text(facet),
                Bind::Text(after),
                Bind::Signed(window.from),
                Bind::Signed(window.to.unwrap_or(UNTIMED + 1)),
                // The walk's last step finds that there is no more.
                Bind::Number(limit),
                Bind::Number(COUNTED_MAX),
            ];
            Ok(bind(&database, include_str!("facet_values.sql"), &values).doing(doing)?)
        })
        .collect::<Outcome<Vec<_>>>()?;
    let results = database.batch(statements).await.storing(doing)?;
    let read = results.iter().map(rows_read).sum();
    let values = results.iter().map(|result| Ok(result.results().doing(doing)?)).collect::<Outcome<_>>()?;
    Ok((values, read))
}
