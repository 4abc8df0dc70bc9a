//! `GET /v1/executions/{id}/steps`: the steps as recorded, in order of (writer, number).

use super::{cursors, find, segment_cursor, segment_position, url};
use crate::access;
use crate::failure::{Doing, Outcome};
use crate::respond::Reply;
use crate::routes::Call;
use crate::storage::segments::{self, Segment};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use stepseal_protocol::batch::{Batch, Event, Kind, inflate};
use stepseal_protocol::query::PageQuery;
use worker::Request;

/// Segments that one page reads at most.
const SEGMENTS_MAX: u32 = 20;

/// Shows a page of steps. A page ends at a segment's end, so it may hold more than `limit`.
pub(crate) async fn steps(request: &Request, call: &Call, id: &str) -> Outcome<Reply> {
    let reader = access::reader(request, call).await?;
    let query = PageQuery::parse(url(request)?.query_pairs())?;
    let (id, _) = find(call, &reader, id).await?;
    let cursors = cursors(call, &reader, format!("steps|{id}"))?;
    let after = segment_position(&cursors, query.cursor.as_deref())?;
    let project = reader.project.as_str();
    let page = segments::page(&call.env, project, id.as_str(), &after, SEGMENTS_MAX + 1).await?;
    let mut steps = Vec::new();
    let mut last = None;
    for segment in page.iter().take(SEGMENTS_MAX as usize) {
        if steps.len() >= query.limit as usize {
            break;
        }
        if let Some(body) = segment.load_body(&call.env, project, id.as_str()).await? {
            add_steps(&mut steps, segment, &body)?;
        }
        last = Some(segment);
    }
    drop_ended(&mut steps);
    let more = last
        .is_some_and(|last| page.last().is_some_and(|end| (&end.writer, end.k) != (&last.writer, last.k)));
    let next_cursor = last.filter(|_| more).map(|last| segment_cursor(&cursors, &last.writer, last.k));
    Reply::ok(&json!({ "steps": steps, "next_cursor": next_cursor }))
}

/// Adds the segment's steps. A body that cannot be read adds none: `verify` says what is wrong with it.
fn add_steps(steps: &mut Vec<Value>, segment: &Segment, body: &[u8]) -> Outcome<()> {
    let Ok(ndjson) = inflate(body) else { return Ok(()) };
    let Ok(batch) = Batch::parse(&ndjson) else { return Ok(()) };
    for event in &batch.events {
        match &event.kind {
            Kind::Step(_) => steps.push(shown(event, segment, None)?),
            Kind::Open(_) => steps.push(shown(event, segment, Some("running"))?),
            _ => {}
        }
    }
    Ok(())
}

/// The event's own fields, and where it stands.
fn shown(event: &Event<'_>, segment: &Segment, status: Option<&str>) -> Outcome<Value> {
    let doing = "showing a step";
    let fields: BTreeMap<String, &RawValue> = serde_json::from_str(event.text).doing(doing)?;
    let mut shown = serde_json::Map::new();
    for (name, raw) in fields {
        if name != "t" {
            shown.insert(name, serde_json::from_str(raw.get()).doing(doing)?);
        }
    }
    if let Some(status) = status {
        shown.insert("status".into(), status.into());
    }
    shown.insert("writer".into(), segment.writer.as_str().into());
    shown.insert("k".into(), segment.k.into());
    Ok(Value::Object(shown))
}

/// Takes out the beginnings of steps whose end is on the page.
fn drop_ended(steps: &mut Vec<Value>) {
    let id = |step: &Value| step["id"].as_str().map(ToOwned::to_owned);
    let ended: HashSet<String> =
        steps.iter().filter(|step| step["status"] != "running").filter_map(id).collect();
    steps.retain(|step| step["status"] != "running" || id(step).is_none_or(|id| !ended.contains(&id)));
}
