//! `GET /v1/executions/{id}/steps`: the steps as recorded, in order of (writer, number).

use super::{cursors, find, segment_cursor, segment_position};
use crate::access;
use crate::audit;
use crate::call::Call;
use crate::failure::{Doing, Outcome};
use crate::request::url;
use crate::respond::Reply;
use crate::storage::prices::{self, Prices};
use crate::storage::segments::{self, Segment};
use serde_json::{Map, Value, json};
use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;
use stepseal_protocol::audit::Action;
use stepseal_protocol::batch::{Batch, Event, Kind, inflate};
use stepseal_protocol::messages::{MessageTable, indexes_referred_to, join};
use stepseal_protocol::query::PageQuery;
use worker::Request;

/// Segments that one page reads at most.
const SEGMENTS_MAX: u32 = 20;

/// Bytes of resolved steps after which a page ends: histories repeat, so a page of steps is much longer
/// than what is stored of them.
const PAGE_BYTES: usize = 4_000_000;

/// Shows a page of steps. A page ends at a segment's end, so it may hold more than `limit`.
pub(crate) async fn steps(request: &Request, call: &Call, id: &str) -> Outcome<Reply> {
    let reader = access::reader(request, call).await?;
    let query = PageQuery::parse(url(request)?.query_pairs())?;
    let (id, execution) = find(call, &reader, id).await?;
    audit::note_read(call, &reader, Action::ExecutionRead, id.as_str()).await?;
    let cursors = cursors(call, &reader, format!("steps|{id}"))?;
    let after = segment_position(&cursors, query.cursor.as_deref())?;
    let place = StepsPlace { call, project: reader.project.as_str(), execution: id.as_str() };
    let page = segments::page(&call.env, place.project, place.execution, &after, SEGMENTS_MAX + 1).await?;
    let (mut steps, mut bytes, mut last) = (Vec::new(), 0, None);
    let mut tables = Tables::default();
    let versions = page.iter().filter_map(|segment| segment.price_version);
    let prices = prices::versions(&call.env, place.project, versions).await?;
    for segment in page.iter().take(SEGMENTS_MAX as usize) {
        if steps.len() >= query.limit as usize || bytes >= PAGE_BYTES {
            break;
        }
        for step in steps_of(&place, &mut tables, &prices, segment).await? {
            bytes += serde_json::to_string(&step).map_or(0, |text| text.len());
            steps.push(step);
        }
        last = Some(segment);
    }
    drop_ended(&mut steps);
    let more = last
        .is_some_and(|last| page.last().is_some_and(|end| (&end.writer, end.k) != (&last.writer, last.k)));
    if !more && execution.is_over() {
        mark_abandoned(&mut steps);
    }
    let next_cursor = last.filter(|_| more).map(|last| segment_cursor(&cursors, &last.writer, last.k));
    Reply::ok(&json!({ "steps": steps, "next_cursor": next_cursor }))
}

/// Whose segments are read.
pub(crate) struct StepsPlace<'a> {
    pub(crate) call: &'a Call,
    pub(crate) project: &'a str,
    pub(crate) execution: &'a str,
}

/// Message tables by writer.
pub(crate) type Tables = HashMap<String, MessageTable>;

/// The segment's steps, messages in place of their ranges. A body that cannot be read has none: `verify`
/// says what is wrong with it.
pub(crate) async fn steps_of(
    place: &StepsPlace<'_>,
    tables: &mut Tables,
    prices: &Prices,
    segment: &Segment,
) -> Outcome<Vec<Value>> {
    let mut steps = Vec::new();
    let Some(body) = segment.load_body(&place.call.env, place.project, place.execution).await?.opened()
    else {
        return Ok(steps);
    };
    let table = tables.entry(segment.writer.clone()).or_default();
    with_batch(&body, |batch| {
        table.add(batch);
        for event in &batch.events {
            match &event.kind {
                Kind::Step(step) => {
                    let mut shown = shown(event, segment)?;
                    prices.add_derived(&mut shown, step, segment.price_version);
                    steps.push(shown.into());
                }
                Kind::Open(_) => {
                    let mut shown = shown(event, segment)?;
                    shown.insert("status".into(), "running".into());
                    steps.push(shown.into());
                }
                _ => {}
            }
        }
        Ok(())
    })?;
    if let Some(indexes) = steps.iter().filter_map(|step| indexes_referred_to(&step["input"])).reduce(join) {
        if !table.has_all(&indexes) {
            read_messages(place, table, &segment.writer, &indexes).await?;
        }
        for input in steps.iter_mut().filter_map(|step| step.get_mut("input")) {
            table.resolve(input);
        }
    }
    Ok(steps)
}

/// Reads the messages of these indexes from wherever the writer stored them.
async fn read_messages(
    place: &StepsPlace<'_>,
    table: &mut MessageTable,
    writer: &str,
    indexes: &RangeInclusive<u64>,
) -> Outcome<()> {
    let StepsPlace { call, project, execution } = place;
    let found =
        segments::with_messages(&call.env, project, execution, writer, *indexes.start(), *indexes.end())
            .await?;
    for segment in &found {
        if let Some(body) = segment.load_body(&call.env, project, execution).await?.opened() {
            with_batch(&body, |batch| {
                table.add(batch);
                Ok(())
            })?;
        }
    }
    Ok(())
}

/// Hands a stored body's batch to `visit`, if it can be read.
fn with_batch(body: &[u8], visit: impl FnOnce(&Batch<'_>) -> Outcome<()>) -> Outcome<()> {
    let Ok(ndjson) = inflate(body) else { return Ok(()) };
    let Ok(batch) = Batch::parse(&ndjson) else { return Ok(()) };
    visit(&batch)
}

/// The event's own fields, and where it stands.
fn shown(event: &Event<'_>, segment: &Segment) -> Outcome<Map<String, Value>> {
    let mut shown: Map<String, Value> = serde_json::from_str(event.text).doing("showing a step")?;
    // A step may have recorded fields of any name: these are ours to say.
    for name in ["t", "derived_cost_usd", "price_version"] {
        shown.shift_remove(name);
    }
    shown.insert("writer".into(), segment.writer.as_str().into());
    shown.insert("k".into(), segment.k.into());
    Ok(shown)
}

/// What has not ended when everything is there will not.
fn mark_abandoned(steps: &mut [Value]) {
    for step in steps.iter_mut().filter(|step| step["status"] == "running") {
        step["status"] = "abandoned".into();
    }
}

/// Takes out the beginnings of steps whose end is on the page.
fn drop_ended(steps: &mut Vec<Value>) {
    let id = |step: &Value| step["id"].as_str().map(ToOwned::to_owned);
    let ended: HashSet<String> =
        steps.iter().filter(|step| step["status"] != "running").filter_map(id).collect();
    steps.retain(|step| step["status"] != "running" || id(step).is_none_or(|id| !ended.contains(&id)));
}
