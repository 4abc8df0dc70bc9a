//! `GET /v1/sessions` and `GET /v1/users`: who and what executions share, newest first. Their executions are listed by
//! `GET /v1/executions?session=…` and `?user=…`.

use super::cursors;
use super::list::position;
use crate::access;
use crate::call::Call;
use crate::failure::{Doing, Outcome};
use crate::request::url;
use crate::respond::Reply;
use crate::statistics::state_cost;
use crate::storage::{labels, listing};
use serde_json::{Value, json};
use stepseal_protocol::at_rest::labels::OpenLabels;
use stepseal_protocol::query::{Facet, Position, SharedQuery, Window, price_versions, usd};
use worker::Request;

/// Lists sessions.
pub(crate) async fn sessions(request: &Request, call: &Call) -> Outcome<Reply> {
    list(request, call, Facet::Session, "sessions").await
}

/// Lists users.
pub(crate) async fn users(request: &Request, call: &Call) -> Outcome<Reply> {
    list(request, call, Facet::User, "users").await
}

async fn list(request: &Request, call: &Call, facet: Facet, member: &str) -> Outcome<Reply> {
    let reader = access::reader(request, call).await?;
    let query = SharedQuery::parse(url(request)?.query_pairs())?;
    let window = query.window(i64::try_from(call.now).doing("telling the time")?);
    let cursors = cursors(call, &reader, format!("{member}|{}", query.canonical()))?;
    let after = match &query.page.cursor {
        Some(cursor) => position(&cursors.open(cursor)?)?,
        None => Position::first(window),
    };
    let window = Window { from: after.from, ..window };
    let limit = query.page.limit as usize;
    let project = reader.project.as_str();
    let page = listing::shared(&call.env, project, facet.as_str(), window, &after, limit).await?;
    let values: Vec<_> = page.shared.iter().map(|shared| (facet, shared.value.as_str())).collect();
    let (labels, read) = labels::of_values(&call.env, &reader.project, &values).await?;
    let mut reply = json!({
        "window": { "from": window.from, "to": window.to },
        "next_cursor": page.next.as_ref().map(|next| cursors.seal(&next.to_text())),
    });
    reply[member] = shown(&page, facet, &labels);
    state_cost(&mut reply, &reader, page.rows_read + read);
    Reply::ok(&reply)
}

fn shown(page: &listing::SharedPage, facet: Facet, labels: &OpenLabels) -> Value {
    let shown = page.shared.iter().filter_map(|shared| {
        let totals = page.totals.iter().find(|totals| totals.value == shared.value)?;
        let versions = totals.price_version_first.zip(totals.price_version_last);
        Some(json!({
            "id": facet.shown(labels, &shared.value)?,
            "executions": totals.executions,
            // The sums are of the newest ones where there are this many.
            "at_least": totals.executions >= listing::SUMMED_MAX,
            "failed": totals.failed,
            "first_at": totals.first_at,
            "last_at": shared.last_at,
            "steps": totals.steps,
            "error_steps": totals.error_steps,
            "usage": {
                "input": totals.input, "cache_read": totals.cache_read, "cache_write": totals.cache_write,
                "output": totals.output, "reasoning": totals.reasoning,
            },
            "cost_usd": usd(totals.cost_nano_usd),
            "derived_cost_usd": usd(totals.derived_cost_nano_usd),
            "price_versions": price_versions(versions),
        }))
    });
    shown.collect()
}
