//! `GET /v1/steps`: steps of all executions, newest execution first. What they said is shown by `/v1/executions/{id}/steps`;
//! that somebody looked is audited here too, because a text that is found was in it.

use super::cursors;
use super::walk::{Place, position_after};
use crate::access;
use crate::audit;
use crate::call::Call;
use crate::failure::{Doing, Outcome};
use crate::live::message::step_shown;
use crate::request::url;
use crate::respond::Reply;
use crate::storage::executions::Execution;
use crate::storage::listing;
use crate::storage::prices::{self, Prices};
use crate::storage::segments::{self, Segment, SegmentPosition};
use serde_json::{Value, json};
use stepseal_protocol::audit::Action;
use stepseal_protocol::batch::{Batch, Kind, inflate};
use stepseal_protocol::query::{Position, StepsQuery, Window};
use worker::Request;

/// Executions that a page looks at, at most.
const EXECUTIONS_MAX: u32 = 20;
/// Batches that a page opens, at most: each may lie in KV, and the free plan allows 50 calls a request.
const SEGMENTS_MAX: u32 = 30;
/// Bytes of bodies after which a page ends.
const BYTES_MAX: u64 = 4_000_000;

/// What a page has looked at.
#[derive(Default)]
struct Page {
    steps: Vec<Value>,
    segments: u32,
    bytes: u64,
}

impl Page {
    fn is_full(&self, limit: u32) -> bool {
        self.steps.len() >= limit as usize || self.segments >= SEGMENTS_MAX || self.bytes >= BYTES_MAX
    }
}

/// Looks for steps. A page may be short, even empty, and not the last.
pub(crate) async fn search(request: &Request, call: &Call) -> Outcome<Reply> {
    let reader = access::reader(request, call).await?;
    let query = StepsQuery::parse(url(request)?.query_pairs())?;
    let list = query.executions(EXECUTIONS_MAX);
    let window = list.window(i64::try_from(call.now).doing("telling the time")?)?;
    let cursors = cursors(call, &reader, query.canonical())?;
    let place = match &query.page.cursor {
        Some(cursor) => Place::open(&cursors.open(cursor)?)?,
        None => Place { after: Position::first(window), within: None },
    };
    audit::note_read(call, &reader, Action::ExecutionRead, "").await?;
    let window = Window { from: place.after.from, ..window };
    let project = reader.project.as_str();
    let found = listing::page(call, &reader.project, &list, window, &place.after).await?;
    let (mut page, mut next) = (Page::default(), found.next);
    let mut after = place.after.clone();
    for (index, execution) in found.executions.iter().enumerate() {
        let stopped = look_into(call, project, &query, execution, &place, &mut page).await?;
        if let Some(position) = stopped {
            let within = Some((execution.id.clone(), position));
            let text = Place { after, within }.to_text();
            return reply(&page, window, Some(&cursors.seal(&text)));
        }
        after = position_after(after.from, execution);
        if page.is_full(query.page.limit) && index + 1 < found.executions.len() {
            next = Some(after);
            break;
        }
    }
    let next = next.map(|after| cursors.seal(&Place { after, within: None }.to_text()));
    reply(&page, window, next.as_deref())
}

fn reply(page: &Page, window: Window, next_cursor: Option<&str>) -> Outcome<Reply> {
    Reply::ok(&json!({
        "steps": page.steps, "next_cursor": next_cursor, "window": { "from": window.from, "to": window.to },
    }))
}

/// Looks at an execution's batches, and says where it stopped if that was before the last.
async fn look_into(
    call: &Call,
    project: &str,
    query: &StepsQuery,
    execution: &Execution,
    place: &Place,
    page: &mut Page,
) -> Outcome<Option<SegmentPosition>> {
    let id = execution.id.as_str();
    let mut position = place.position_in(id);
    let most = SEGMENTS_MAX - page.segments.min(SEGMENTS_MAX - 1);
    let found = segments::page(&call.env, project, id, &position, most + 1).await?;
    let versions = found.iter().filter_map(|segment| segment.price_version);
    let prices = prices::versions(&call.env, project, versions).await?;
    for (index, segment) in found.iter().enumerate() {
        // One batch at least is opened, so that every page comes further.
        if page.is_full(query.page.limit) && page.segments > 0 {
            return Ok(Some(position));
        }
        page.segments += 1;
        page.bytes += segment.bytes();
        if let Some(body) = segment.load_body(&call.env, project, id).await?.opened() {
            take_steps(query, id, segment, &body, &prices, page)?;
        }
        position =
            SegmentPosition { writer: segment.writer.clone(), k: i64::try_from(segment.k).doing("paging")? };
        if index + 1 == found.len() {
            break;
        }
    }
    Ok(None)
}

/// A body that cannot be read has no steps: `verify` says what is wrong with it.
fn take_steps(
    query: &StepsQuery,
    id: &str,
    segment: &Segment,
    body: &[u8],
    prices: &Prices,
    page: &mut Page,
) -> Outcome<()> {
    let Ok(ndjson) = inflate(body) else { return Ok(()) };
    let Ok(batch) = Batch::parse(&ndjson) else { return Ok(()) };
    for event in &batch.events {
        let Kind::Step(step) = &event.kind else { continue };
        if query.passes(step, event.text) {
            let mut shown = step_shown(event)?;
            prices.add_derived(&mut shown, step, segment.price_version);
            shown.insert("execution".into(), id.into());
            shown.insert("writer".into(), segment.writer.as_str().into());
            page.steps.push(shown.into());
        }
    }
    Ok(())
}
