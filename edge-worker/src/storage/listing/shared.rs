//! What executions share, sessions and users, by their newest execution.

use super::{Frontier, LOOKED_AT_MAX, next, rows_read};
use crate::failure::{Doing, Fault, Outcome};
use crate::storage::executions::UNTIMED;
use crate::storage::statement::{Bind, bind};
use serde::Deserialize;
use stepseal_protocol::query::{Position, Window};
use worker::Env;

/// Values by their newest execution, as far as a page by start looks.
const BY_LAST_USE: &str = concat!(
    "WITH last(started_at, id) AS MATERIALIZED (\n",
    include_str!("frontier_by_start.sql"),
    ")\n",
    include_str!("by_last_use.sql")
);

/// Executions that the sums of one value cover, at most: the newest.
pub(crate) const SUMMED_MAX: u64 = 200;

/// A value and its newest execution.
#[derive(Deserialize)]
pub(crate) struct Shared {
    pub(crate) value: String,
    pub(crate) last_at: i64,
    pub(crate) last_id: String,
}

/// Sums over a value's executions.
#[derive(Deserialize)]
pub(crate) struct Totals {
    pub(crate) value: String,
    pub(crate) executions: u64,
    pub(crate) first_at: i64,
    pub(crate) failed: u64,
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

/// A page of values.
pub(crate) struct SharedPage {
    pub(crate) shared: Vec<Shared>,
    pub(crate) totals: Vec<Totals>,
    pub(crate) next: Option<Position>,
    pub(crate) rows_read: usize,
}

/// The page of a facet's values that begins after `after`.
pub(crate) async fn shared(
    env: &Env,
    project: &str,
    facet: &'static str,
    window: Window,
    after: &Position,
    limit: usize,
) -> Outcome<SharedPage> {
    let doing = "listing what executions share";
    let database = env.d1("DB").doing(doing)?;
    let to = window.to.unwrap_or(UNTIMED + 1);
    let scan = || {
        vec![
            Bind::Text(project),
            Bind::Signed(window.from),
            Bind::Signed(to),
            Bind::Signed(after.key),
            Bind::Text(&after.id),
            Bind::Number(LOOKED_AT_MAX),
        ]
    };
    let mut values = scan();
    values.extend([Bind::Text(facet), Bind::Number(limit as u64 + 1)]);
    let statements = vec![
        bind(&database, BY_LAST_USE, &values).doing(doing)?,
        bind(&database, include_str!("frontier_by_start.sql"), &scan()).doing(doing)?,
    ];
    let results = database.batch(statements).await.storing(doing)?;
    let [rows, frontier] = results.as_slice() else {
        return Err(Fault::internal(doing, "no results").into());
    };
    let mut shared: Vec<Shared> = rows.results().doing(doing)?;
    let frontier = Frontier::of(frontier)?;
    let more = shared.len() > limit;
    shared.truncate(limit);
    let last = shared.last().filter(|_| more).map(|last| (last.last_at, last.last_id.as_str()));
    let next = next(after, last, frontier);
    let named: Vec<&str> = shared.iter().map(|row| row.value.as_str()).collect();
    let named = serde_json::to_string(&named).doing(doing)?;
    let values = [
        Bind::Text(project),
        Bind::Signed(window.from),
        Bind::Signed(to),
        Bind::Text(facet),
        Bind::Text(&named),
        Bind::Number(SUMMED_MAX),
    ];
    let totals =
        bind(&database, include_str!("totals.sql"), &values).doing(doing)?.all().await.storing(doing)?;
    let read = results.iter().map(rows_read).sum::<usize>() + rows_read(&totals);
    Ok(SharedPage { shared, totals: totals.results().doing(doing)?, next, rows_read: read })
}
