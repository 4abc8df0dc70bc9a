//! Pages of executions. A page looks at a bounded number of rows, whatever its filter: where that is not enough to fill
//! it, it says how far it looked, and the next one goes on from there.

mod shared;

pub(crate) use shared::{SUMMED_MAX, SharedPage, shared};

use super::executions::{Execution, UNTIMED};
use super::statement::{Bind, bind};
use super::{labels, text};
use crate::call::Call;
use crate::failure::{Doing, Fault, Outcome};
use serde::Deserialize;
use std::borrow::Cow;
use stepseal_protocol::at_rest::labels::LabelIndex;
use stepseal_protocol::ids::ProjectId;
use stepseal_protocol::query::{DAY_MS, Filter, ListQuery, Position, Sort, Window};
use stepseal_protocol::rollup::Completeness;
use worker::{D1Database, D1PreparedStatement, D1Result, Env};

/// Rows that a page looks at, at most, where its filter needs them looked at.
const LOOKED_AT_MAX: u64 = 2_000;

/// A page of executions.
pub(crate) struct Page {
    pub(crate) executions: Vec<Execution>,
    /// Where the next page begins; none after the last.
    pub(crate) next: Option<Position>,
    /// Rows that the database read for it.
    pub(crate) rows_read: usize,
}

/// How far a page has looked, where that is not to the end.
#[derive(Deserialize)]
struct Frontier {
    key: i64,
    id: String,
}

impl Frontier {
    fn of(result: &D1Result) -> Outcome<Option<Self>> {
        Ok(result.results().doing("reading a list's frontier")?.pop())
    }
}

/// Where the page after the one after `after` begins: behind the last that it shows if there are more, else where it stopped
/// looking.
fn next(after: &Position, last: Option<(i64, &str)>, frontier: Option<Frontier>) -> Option<Position> {
    let (key, id) = match (last, frontier) {
        (Some((key, id)), _) => (key, id.to_owned()),
        (None, Some(frontier)) => (frontier.key, frontier.id),
        (None, None) => return None,
    };
    Some(Position { from: after.from, key, id })
}

/// Which rows a page looks at.
struct Scan<'a> {
    project: &'a str,
    window: Window,
    after: &'a Position,
    /// In all, or of each day.
    most: u64,
    /// The days, as a JSON array; of lists that are not sorted by start.
    days: String,
    /// The facet whose index finds them, and the value as stored.
    leading: Option<(&'static str, String)>,
    /// What finds them in the index of words (`SQLite`'s FTS5).
    expression: Option<&'a str>,
}

/// The page of `query` in `window` that begins after `after`.
pub(crate) async fn page(
    call: &Call,
    project: &ProjectId,
    query: &ListQuery,
    window: Window,
    after: &Position,
) -> Outcome<Page> {
    let expression = text::expression(call, project, query.text.as_ref()).await?;
    found(&call.env, project, query, window, expression.as_deref(), after).await
}

/// Whether `query`, whose words `expression` finds, lists this execution.
pub(crate) async fn lists(
    env: &Env,
    project: &ProjectId,
    query: &ListQuery,
    expression: Option<&str>,
    execution: &Execution,
) -> Outcome<bool> {
    let at = execution.started_at;
    let window = Window { from: at, to: Some(at + 1) };
    // No id follows this one so closely: the page begins with the execution.
    let before = Position { from: at, key: at, id: format!("{}!", execution.id) };
    let page = found(env, project, query, window, expression, &before).await?;
    Ok(page.executions.first().is_some_and(|first| first.id == execution.id))
}

async fn found(
    env: &Env,
    project: &ProjectId,
    query: &ListQuery,
    window: Window,
    expression: Option<&str>,
    after: &Position,
) -> Outcome<Page> {
    let doing = "listing executions";
    let limit = query.page.limit as usize;
    let index = labels::index(env, project)?;
    let scan = Scan::of(project.as_str(), query, window, &index, expression, after);
    let database = env.d1("DB").doing(doing)?;
    let statements =
        vec![page_statement(&database, query, &scan, &index)?, frontier(&database, query.sort, &scan)?];
    let results = database.batch(statements).await.storing(doing)?;
    let [rows, frontier] = results.as_slice() else {
        return Err(Fault::internal(doing, "no results").into());
    };
    let mut executions: Vec<Execution> = rows.results().doing(doing)?;
    let frontier = Frontier::of(frontier)?;
    let key = |row: &Execution| row.sort_key(query.sort);
    // What lies behind the frontier of another day was seen too early: the next page has it in its place.
    if let Some(frontier) = &frontier {
        executions.retain(|row| (key(row), &row.id) >= (frontier.key, &frontier.id));
    }
    let more = executions.len() > limit;
    executions.truncate(limit);
    let last = executions.last().filter(|_| more).map(|last| (key(last), last.id.as_str()));
    let next = next(after, last, frontier);
    Ok(Page { executions, next, rows_read: results.iter().map(rows_read).sum() })
}

/// Rows that the database says it read.
pub(crate) fn rows_read(result: &D1Result) -> usize {
    result.meta().ok().flatten().and_then(|meta| meta.rows_read).unwrap_or_default()
}

impl<'a> Scan<'a> {
    fn of(
        project: &'a str,
        query: &ListQuery,
        window: Window,
        index: &LabelIndex,
        expression: Option<&'a str>,
        after: &'a Position,
    ) -> Self {
        let page = u64::from(query.page.limit) + 1;
        let by_start = query.sort == Sort::Start;
        let days: Vec<i64> = if by_start {
            Vec::new()
        } else {
            (window.from / DAY_MS..window.to.unwrap_or(window.from) / DAY_MS).collect()
        };
        let looked_at = LOOKED_AT_MAX / (days.len() as u64).max(1);
        // The index gives the leading facet; sorted otherwise, every facet is a property of rows.
        let is_indexed = by_start && query.text.is_none() || query.filter.facets.is_empty();
        let needs_looking = query.filter.looks_at_rows() || !is_indexed;
        let leading = query.filter.leading().filter(|_| by_start && query.text.is_none());
        Self {
            project,
            window,
            after,
            most: if needs_looking { looked_at.max(page) } else { page },
            days: serde_json::to_string(&days).unwrap_or_default(),
            leading: leading.map(|(facet, value)| (facet.as_str(), facet.stored(index, value))),
            expression,
        }
    }

    fn bounds(&self) -> [Bind<'_>; 6] {
        [
            Bind::Text(self.project),
            Bind::Signed(self.window.from),
            // Executions without a time yet lie beyond every window but an open one.
            Bind::Signed(self.window.to.unwrap_or(UNTIMED + 1)),
            Bind::Signed(self.after.key),
            Bind::Text(&self.after.id),
            Bind::Number(self.most),
        ]
    }
}

macro_rules! page_sql {
    ($($part:literal),+) => {
        concat!(include_str!("columns.sql"), $(include_str!($part)),+)
    };
}

/// A page's question for each way to find its rows.
const BY_TEXT: &str = page_sql!("page_by_text.sql", "passes_by_row.sql", "passes.sql", "newest_first.sql");
const BY_START: &str =
    page_sql!("page_by_start.sql", "passes_by_index.sql", "passes.sql", "newest_first.sql");
const BY_FACET: &str =
    page_sql!("page_by_facet.sql", "passes_by_index.sql", "passes.sql", "newest_first.sql");
const BY_KEY: &str = page_sql!(
    "page_by_key.sql",
    "passes_by_index.sql",
    "end_of_days.sql",
    "passes.sql",
    "most_of_key_first.sql"
);

/// What a list is sorted by, as its index has it (migration 0013); none by start.
const fn key_of(sort: Sort) -> Option<&'static str> {
    match sort {
        Sort::Start => None,
        Sort::Duration => Some("max(ended_at - started_at, 0)"),
        Sort::Cost => Some("cost_nano_usd"),
        Sort::Tokens => {
            Some("input_tokens + cache_read_tokens + cache_write_tokens + output_tokens + reasoning_tokens")
        }
    }
}

/// A question that is the same for each such key.
fn by_key(sql: &'static str, sort: Sort) -> Cow<'static, str> {
    key_of(sort).map_or(sql.into(), |key| sql.replace("$key", key).into())
}

fn page_statement(
    database: &D1Database,
    query: &ListQuery,
    scan: &Scan<'_>,
    index: &LabelIndex,
) -> Outcome<D1PreparedStatement> {
    let facets = match scan.leading {
        Some(_) => query.filter.stored_facets_beside_leading(index),
        None => query.filter.stored_facets(index),
    };
    let mut values = Vec::from(scan.bounds());
    values.extend(passing(&query.filter, &facets));
    values.push(Bind::Number(u64::from(query.page.limit) + 1));
    // Numbers are compared where they are read first: in the index by start, or else in the row.
    let (sql, numbers_of) = match (query.sort, &scan.leading) {
        (Sort::Start, None) if let Some(expression) = scan.expression => {
            values.push(Bind::Text(expression));
            (BY_TEXT, "e")
        }
        (Sort::Start, None) => (BY_START, "s"),
        (Sort::Start, Some((facet, value))) => {
            values.extend([Bind::Text(facet), Bind::Text(value)]);
            (BY_FACET, "e")
        }
        (Sort::Duration | Sort::Cost | Sort::Tokens, _) => {
            values.push(Bind::Text(&scan.days));
            (BY_KEY, "e")
        }
    };
    let sql = by_key(sql, query.sort).replace("$of", numbers_of);
    Ok(bind(database, &sql, &values).doing("binding a list")?)
}

/// What the rest of the question binds, from ?7 on.
fn passing<'a>(filter: &Filter, facets: &'a str) -> [Bind<'a>; 9] {
    [
        Bind::Text(facets),
        Bind::MaybeSigned(filter.duration_ms.min),
        Bind::MaybeSigned(filter.duration_ms.max),
        Bind::MaybeSigned(filter.tokens.min),
        Bind::MaybeSigned(filter.tokens.max),
        Bind::MaybeSigned(filter.cost_nano_usd.min),
        Bind::MaybeSigned(filter.cost_nano_usd.max),
        Bind::MaybeNumber(filter.sound.then_some(1)),
        Bind::MaybeText(filter.completeness.map(Completeness::as_str)),
    ]
}

fn frontier(database: &D1Database, sort: Sort, scan: &Scan<'_>) -> Outcome<D1PreparedStatement> {
    let sql = match (sort, &scan.leading) {
        (Sort::Start, None) if scan.expression.is_some() => include_str!("frontier_by_text.sql"),
        (Sort::Start, None) => include_str!("frontier_by_start.sql"),
        (Sort::Start, Some(_)) => include_str!("frontier_by_facet.sql"),
        (Sort::Duration | Sort::Cost | Sort::Tokens, _) => include_str!("frontier_by_key.sql"),
    };
    let mut values = Vec::from(scan.bounds());
    if sort == Sort::Start {
        values.extend(scan.expression.map(Bind::Text));
        values.extend(scan.leading.iter().flat_map(|(facet, value)| [Bind::Text(facet), Bind::Text(value)]));
    } else {
        // The days stand for the window.
        values.splice(1..3, [Bind::Text(&scan.days)]);
    }
    Ok(bind(database, &by_key(sql, sort), &values).doing("binding a list's frontier")?)
}
