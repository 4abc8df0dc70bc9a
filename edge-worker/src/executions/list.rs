//! `GET /v1/executions`.

use super::cursors;
use crate::access;
use crate::call::Call;
use crate::failure::{Doing, Outcome};
use crate::request::url;
use crate::respond::Reply;
use crate::statistics::state_cost;
use crate::storage::{cipher, listing};
use serde_json::{Value, json};
use stepseal_protocol::query::{ListQuery, Position, Window};
use worker::Request;

/// Lists executions. A page may be shorter than its limit, even empty, and still not be the last: rare things are
/// looked for in a bounded number of rows at a time.
pub(crate) async fn list(request: &Request, call: &Call) -> Outcome<Reply> {
    let reader = access::reader(request, call).await?;
    let query = ListQuery::parse(url(request)?.query_pairs())?;
    let mut window = query.window(i64::try_from(call.now).doing("telling the time")?)?;
    let cursors = cursors(call, &reader, query.canonical())?;
    let after = match &query.page.cursor {
        Some(cursor) => position(&cursors.open(cursor)?)?,
        None => Position::first(window),
    };
    // Without `from` the window moves with the clock: all pages are of the first one's.
    window = Window { from: after.from, ..window };
    let labels = cipher::labels(&call.env, &reader.project)?;
    let page = listing::page(&call.env, reader.project.as_str(), &query, window, &labels, &after).await?;
    let shown = |execution: Value| match &query.fields {
        Some(fields) => fields.iter().map(|field| ((*field).to_owned(), execution[field].clone())).collect(),
        None => execution,
    };
    let mut reply = json!({
        "executions": page.executions.iter().map(|row| shown(row.shown(&labels))).collect::<Vec<_>>(),
        "next_cursor": page.next.map(|next| cursors.seal(&next.to_text())),
        "window": { "from": window.from, "to": window.to },
    });
    state_cost(&mut reply, &reader, page.rows_read);
    Reply::ok(&reply)
}

pub(super) fn position(text: &str) -> Outcome<Position> {
    Ok(Position::parse(text).ok_or("a cursor of ours").doing("opening a cursor")?)
}
