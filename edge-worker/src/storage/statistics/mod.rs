//! Sums over executions, from indexes alone: no row and no content is read.

pub(crate) mod scores;
pub(crate) mod step_times;

use super::executions::UNTIMED;
use super::listing::rows_read;
use super::statement::{Bind, bind};
use crate::failure::{Doing, Fault, Outcome};
use serde::Deserialize;
use stepseal_protocol::query::{DAY_MS, DaySplit, Window};
use worker::{D1Database, D1PreparedStatement, Env};

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
    /// The same without what `values` says already.
    pub(crate) facets_beside: String,
}

/// Ended executions of one status, time, value and class of duration.
#[derive(Deserialize)]
pub(crate) struct EndedRow {
    pub(crate) bucket: i64,
    pub(crate) status: String,
    /// Place among the question's values.
    pub(crate) value: Option<usize>,
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
    /// Classes of the times to the first token, separated by commas.
    pub(crate) first_tokens: Option<String>,
}

/// Executions that have not ended.
#[derive(Deserialize)]
pub(crate) struct GoingOnRow {
    pub(crate) bucket: i64,
    pub(crate) status: String,
    pub(crate) executions: u64,
}

/// Ended executions that started on a day (UTC, counted from 1970).
#[derive(Deserialize)]
pub(crate) struct DayRow {
    pub(crate) day: i64,
    pub(crate) completed: u64,
    pub(crate) failed: u64,
    pub(crate) cancelled: u64,
    pub(crate) steps: u64,
    pub(crate) error_steps: u64,
    pub(crate) input_tokens: u64,
    pub(crate) cache_read_tokens: u64,
    pub(crate) cache_write_tokens: u64,
    pub(crate) output_tokens: u64,
    pub(crate) reasoning_tokens: u64,
    pub(crate) cost_nano_usd: u64,
    pub(crate) derived_cost_nano_usd: u64,
    /// Counts by class, JSON.
    pub(crate) durations: String,
    pub(crate) first_tokens: String,
    /// Counts by `first-last`, JSON.
    pub(crate) price_versions: String,
}

/// What the store says to a question.
pub(crate) struct Answer {
    pub(crate) ended: Vec<EndedRow>,
    pub(crate) going_on: Vec<GoingOnRow>,
    pub(crate) days: Vec<DayRow>,
    /// Whether there were no more executions than one answer sums up.
    pub(crate) complete: bool,
    pub(crate) rows_read: usize,
}

/// Answers a question. Whole days are read as triggers keep them, where nothing but the time is asked for.
pub(crate) async fn ask(env: &Env, question: &Question<'_>) -> Outcome<Answer> {
    let doing = "summing executions up";
    let database = env.d1("DB").doing(doing)?;
    let split = if question.values.is_none() && question.bucket_ms == DAY_MS {
        question.window.split_days()
    } else {
        DaySplit { days: None, edges: vec![question.window] }
    };
    let mut statements = vec![going_on(&database, question)?, days(&database, question.project, split.days)?];
    for window in split.edges {
        statements.push(summed(&database, question, window)?);
    }
    let results = database.batch(statements).await.storing(doing)?;
    let [going_on, days, summed @ ..] = results.as_slice() else {
        return Err(Fault::internal(doing, "no results").into());
    };
    let mut answer = Answer {
        ended: Vec::new(),
        going_on: going_on.results().doing(doing)?,
        days: days.results().doing(doing)?,
        complete: true,
        rows_read: results.iter().map(rows_read).sum(),
    };
    for ended in summed {
        let ended: Vec<EndedRow> = ended.results().doing(doing)?;
        answer.complete &= ended.iter().map(|row| row.executions).sum::<u64>() < EXECUTIONS_MAX;
        answer.ended.extend(ended);
    }
    Ok(answer)
}

fn bounds<'a>(question: &Question<'a>, window: Window) -> Vec<Bind<'a>> {
    vec![
        Bind::Text(question.project),
        Bind::Signed(window.from),
        Bind::Signed(window.to.unwrap_or(UNTIMED)),
        Bind::Number(EXECUTIONS_MAX),
        Bind::Signed(question.bucket_ms),
    ]
}

/// The ended executions of a window.
fn summed(database: &D1Database, question: &Question<'_>, window: Window) -> Outcome<D1PreparedStatement> {
    let mut values = bounds(question, window);
    let sql = if let Some((facet, of)) = &question.values {
        values.extend([Bind::Text(facet), Bind::Text(of), Bind::Text(&question.facets_beside)]);
        include_str!("ended_of_values.sql")
    } else {
        include_str!("ended.sql")
    };
    Ok(bind(database, sql, &values).doing("binding sums")?)
}

fn going_on(database: &D1Database, question: &Question<'_>) -> Outcome<D1PreparedStatement> {
    let mut values = bounds(question, question.window);
    values.push(Bind::Text(&question.facets));
    Ok(bind(database, include_str!("going_on.sql"), &values).doing("binding sums")?)
}

fn days(
    database: &D1Database,
    project: &str,
    days: Option<(i64, Option<i64>)>,
) -> Outcome<D1PreparedStatement> {
    let (first, end) = days.unwrap_or((0, Some(0)));
    let end = end.unwrap_or(UNTIMED / DAY_MS);
    let values = [Bind::Text(project), Bind::Signed(first), Bind::Signed(end)];
    Ok(bind(database, include_str!("days.sql"), &values).doing("binding sums")?)
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
