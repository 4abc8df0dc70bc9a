//! `GET /v1/executions`.

use super::cursors;
use crate::access;
use crate::call::Call;
use crate::failure::{Doing, Outcome};
use crate::request::url;
use crate::respond::Reply;
use crate::storage::{cipher, executions};
use serde_json::json;
use stepseal_protocol::query::ListQuery;
use worker::Request;

/// Beyond every keyset: ids are ASCII.
const BEFORE_ALL: (i64, &str) = (i64::MAX >> 11, "\u{7f}");

/// Lists executions, newest start first.
pub(crate) async fn list(request: &Request, call: &Call) -> Outcome<Reply> {
    let reader = access::reader(request, call).await?;
    let query = ListQuery::parse(url(request)?.query_pairs())?;
    let cursors = cursors(call, &reader, query.canonical())?;
    let after = match &query.page.cursor {
        Some(cursor) => position(&cursors.open(cursor)?)?,
        None => (BEFORE_ALL.0, BEFORE_ALL.1.to_owned()),
    };
    let labels = cipher::labels(&call.env, &reader.project)?;
    let mut rows = executions::list(&call.env, reader.project.as_str(), &query, &labels, &after).await?;
    let more = rows.len() > query.page.limit as usize;
    rows.truncate(query.page.limit as usize);
    let next_cursor =
        rows.last().filter(|_| more).map(|last| cursors.seal(&format!("{}|{}", last.started_at, last.id)));
    Reply::ok(&json!({
        "executions": rows.iter().map(|row| row.shown(&labels)).collect::<Vec<_>>(),
        "next_cursor": next_cursor,
        "window": { "from": query.from, "to": query.to },
    }))
}

fn position(text: &str) -> Outcome<(i64, String)> {
    let doing = "opening a cursor";
    let (started_at, id) = text.split_once('|').ok_or("a cursor of ours").doing(doing)?;
    Ok((started_at.parse::<i64>().doing(doing)?, id.to_owned()))
}
