//! `GET /v1/executions`, and the same as CSV.

use super::cursors;
use crate::access::{self, Reader};
use crate::call::Call;
use crate::failure::{Doing, Outcome};
use crate::request::url;
use crate::respond::Reply;
use crate::statistics::state_cost;
use crate::storage::executions::Execution;
use crate::storage::listing;
use crate::transfer::Asked;
use serde_json::{Value, json};
use stepseal_protocol::at_rest::labels::OpenLabels;
use stepseal_protocol::query::{FIELDS, ListQuery, Position, Window, csv_header, csv_line};
use worker::Request;

/// A page, and what was asked for.
struct Answer {
    reader: Reader,
    query: ListQuery,
    window: Window,
    page: listing::Page,
    next_cursor: Option<String>,
    labels: OpenLabels,
}

/// Lists executions. A page may be shorter than its limit, even empty, and still not be the last: rare things are
/// looked for in a bounded number of rows at a time.
pub(crate) async fn list(request: &Request, call: &Call) -> Outcome<Reply> {
    let reader = access::reader(request, call).await?;
    let query = ListQuery::parse(url(request)?.query_pairs())?;
    let Answer { reader, query, window, page, next_cursor, labels } = ask(call, reader, query).await?;
    let shown = |execution: Value| match &query.fields {
        Some(fields) => fields.iter().map(|field| ((*field).to_owned(), execution[field].clone())).collect(),
        None => execution,
    };
    let mut reply = json!({
        "executions": page.executions.iter().map(|row| shown(row.shown(&labels))).collect::<Vec<_>>(),
        "next_cursor": next_cursor,
        "window": { "from": window.from, "to": window.to },
    });
    state_cost(&mut reply, &reader, page.rows_read);
    Reply::ok(&reply)
}

/// The same as CSV. Pages put together are one table: only the first names the columns.
pub(crate) async fn table(request: &Request, call: &Call) -> Outcome<Reply> {
    let reader = access::reader(request, call).await?;
    let asked = Asked::of(request)?;
    let query = ListQuery::parse(asked.pairs.iter().cloned())?;
    let Answer { query, page, next_cursor, labels, .. } = ask(call, reader, query).await?;
    let fields = query.fields.as_deref().unwrap_or(&FIELDS);
    let mut text = if query.page.cursor.is_none() { csv_header(fields) } else { String::new() };
    for row in &page.executions {
        text.push_str(&csv_line(fields, &row.shown(&labels)));
    }
    asked.reply(request, "text/csv; charset=utf-8", text, next_cursor.as_deref())
}

async fn ask(call: &Call, reader: Reader, query: ListQuery) -> Outcome<Answer> {
    let mut window = query.window(i64::try_from(call.now).doing("telling the time")?)?;
    let cursors = cursors(call, &reader, query.canonical())?;
    let after = match &query.page.cursor {
        Some(cursor) => position(&cursors.open(cursor)?)?,
        None => Position::first(window),
    };
    // Without `from` the window moves with the clock: all pages are of the first one's.
    window = Window { from: after.from, ..window };
    let page = listing::page(call, &reader.project, &query, window, &after).await?;
    let labels = Execution::labels(&call.env, &reader.project, &page.executions).await?;
    let next_cursor = page.next.as_ref().map(|next| cursors.seal(&next.to_text()));
    Ok(Answer { reader, query, window, page, next_cursor, labels })
}

pub(crate) fn position(text: &str) -> Outcome<Position> {
    Ok(Position::parse(text).ok_or("a cursor of ours").doing("opening a cursor")?)
}
