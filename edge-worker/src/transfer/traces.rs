//! `GET /v1/export/traces.jsonl`: executions as OpenTelemetry traces, one `ExportTraceServiceRequest` a line: one with the root span,
//! one for each batch that has ended steps, and one for what never ended.

use super::page::{Asked, Lines, Load, NDJSON, cursors};
use super::walk::{Walk, after_segment};
use crate::access::{self, Reader};
use crate::audit;
use crate::call::Call;
use crate::executions::walk::Place;
use crate::executions::{StepsPlace, Tables, add_contents_of, add_scores_of, steps_of};
use crate::failure::{Doing, Outcome};
use crate::respond::Reply;
use crate::storage::executions::Execution;
use crate::storage::prices::{self, Prices};
use crate::storage::segments;
use crate::storage::segments::SegmentPosition;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stepseal_protocol::audit::Action;
use stepseal_protocol::transfer::{ExportQuery, Trace};
use worker::Request;

/// Executions that a page looks into, at most: each takes up to four queries, and the free plan allows 50 a request.
const EXECUTIONS_MAX: u32 = 6;
/// Batches that a page reads, at most; each may need another query, for its messages.
const SEGMENTS_MAX: usize = 10;
/// Length of a page after which it ends, in bytes: histories repeat, so a page is much longer than what is stored of it.
const PAGE_BYTES: usize = 4_000_000;
/// Steps that are followed from their beginning to their end, at most. Further ones are exported as they began, and again with
/// the same id as they ended.
const OPEN_MAX: usize = 64;

/// A step that began, and no end of it was met so far.
#[derive(Serialize, Deserialize)]
struct Open {
    writer: String,
    k: u64,
    id: String,
}

/// Where a page begins, as a cursor holds it.
#[derive(Serialize, Deserialize)]
struct Resume {
    place: String,
    /// Of the execution that the place is within.
    open: Vec<Open>,
}

/// Exports a page of traces.
pub(crate) async fn traces(request: &Request, call: &Call) -> Outcome<Reply> {
    let reader = access::reader(request, call).await?;
    let asked = Asked::of(request)?;
    let query = ExportQuery::parse(asked.pairs.iter().cloned())?;
    let cursors = cursors(call, &reader, query.canonical("otlp"))?;
    let (mut place, mut open) = (None, Vec::new());
    if let Some(cursor) = &query.page().cursor {
        let resume: Resume = serde_json::from_str(&cursors.open(cursor)?).doing("opening a cursor")?;
        place = Some(Place::open(&resume.place)?);
        open = resume.open;
    }
    let walk = Walk::begin(call, &reader, &query, place, EXECUTIONS_MAX).await?;
    audit::note_read(call, &reader, Action::ProjectExport, walk.target()).await?;
    let mut exporter =
        Exporter { call, reader: &reader, load: Load::default(), lines: Lines::default(), open };
    let next = exporter.fill(walk).await?;
    let Exporter { lines, open, .. } = exporter;
    let cursor = match next {
        Some(place) => {
            let resume = Resume { place: place.to_text(), open };
            Some(cursors.seal(&serde_json::to_string(&resume).doing("sealing a cursor")?))
        }
        None => None,
    };
    asked.reply(request, NDJSON, lines.into_text(), cursor.as_deref())
}

/// A page that is being filled.
struct Exporter<'a> {
    call: &'a Call,
    reader: &'a Reader,
    load: Load,
    lines: Lines,
    open: Vec<Open>,
}

impl Exporter<'_> {
    /// Writes lines until the page is full, and says where the next begins.
    async fn fill(&mut self, walk: Walk) -> Outcome<Option<Place>> {
        let mut after = walk.begin.after.clone();
        for execution in &walk.executions {
            if self.is_full() {
                return Ok(Some(Place { after, within: None }));
            }
            let entered = walk.begin.within.as_ref().is_some_and(|(id, _)| *id == execution.id);
            if !entered {
                self.open.clear();
            }
            if let Some(within) = self.export(execution, entered, &walk.begin).await? {
                return Ok(Some(Place { after, within: Some((execution.id.clone(), within)) }));
            }
            after = walk.after(execution);
        }
        Ok(walk.end())
    }

    fn is_full(&self) -> bool {
        self.load.segments() >= SEGMENTS_MAX || self.lines.len() >= PAGE_BYTES
    }

    /// Exports an execution, or as much of it as the page has room for; then it says where to go on.
    async fn export(
        &mut self,
        execution: &Execution,
        entered: bool,
        begin: &Place,
    ) -> Outcome<Option<SegmentPosition>> {
        let (call, id) = (self.call, execution.id.as_str());
        let project = self.reader.project.as_str();
        let labels = Execution::labels(&call.env, &self.reader.project, [execution]).await?;
        let mut shown = execution.shown(&labels);
        if !entered {
            add_contents_of(&call.env, project, execution, &mut shown).await?;
            add_scores_of(&call.env, &self.reader.project, id, &mut shown).await?;
        }
        let trace = Trace::of(project, &shown);
        if !entered {
            self.lines.push(&trace.request(env!("CARGO_PKG_VERSION"), &[trace.root_span()]));
        }
        let place = StepsPlace { call, project, execution: id };
        let (mut tables, mut position) = (Tables::default(), begin.position_in(id));
        let most = u32::try_from(SEGMENTS_MAX).unwrap_or(u32::MAX) + 1;
        let found = segments::page(&call.env, project, id, &position, most).await?;
        let versions = found.iter().filter_map(|segment| segment.price_version);
        let prices = prices::versions(&call.env, project, versions).await?;
        for segment in found.iter().take(SEGMENTS_MAX) {
            if self.load.segments() > 0 && self.is_full() || !self.load.take(segment) {
                return Ok(Some(position));
            }
            let steps = steps_of(&place, &mut tables, &prices, segment).await?;
            let spans = self.spans(&trace, steps);
            self.push(&trace, &spans);
            position = after_segment(segment)?;
        }
        if found.len() > SEGMENTS_MAX {
            return Ok(Some(position));
        }
        let spans = self.unended(&place, &trace).await?;
        self.push(&trace, &spans);
        Ok(None)
    }

    fn push(&mut self, trace: &Trace<'_>, spans: &[Value]) {
        if !spans.is_empty() {
            self.lines.push(&trace.request(env!("CARGO_PKG_VERSION"), spans));
        }
    }

    /// The spans of a batch's steps; those that only began are kept in mind.
    fn spans(&mut self, trace: &Trace<'_>, steps: Vec<Value>) -> Vec<Value> {
        let mut spans = Vec::new();
        for step in steps {
            let id = step["id"].as_str().unwrap_or_default();
            if step["status"] != "running" {
                self.open.retain(|open| open.id != id);
            } else if self.open.len() < OPEN_MAX {
                let writer = step["writer"].as_str().unwrap_or_default().to_owned();
                self.open.push(Open { writer, k: step["k"].as_u64().unwrap_or_default(), id: id.to_owned() });
                continue;
            }
            spans.push(trace.step_span(&step));
        }
        spans
    }

    /// The spans of steps that never ended, read again where they began.
    async fn unended(&mut self, place: &StepsPlace<'_>, trace: &Trace<'_>) -> Outcome<Vec<Value>> {
        let mut spans = Vec::new();
        let mut tables = Tables::default();
        let mut read: Option<(String, u64, Vec<Value>)> = None;
        for Open { writer, k, id } in std::mem::take(&mut self.open) {
            if read.as_ref().is_none_or(|(at, index, _)| (at, *index) != (&writer, k)) {
                let segment =
                    segments::one(&place.call.env, place.project, place.execution, &writer, k).await?;
                let steps = match &segment {
                    // What has not ended has no cost yet.
                    Some(segment) => steps_of(place, &mut tables, &Prices::default(), segment).await?,
                    None => Vec::new(),
                };
                read = Some((writer, k, steps));
            }
            let steps = read.iter().flat_map(|(_, _, steps)| steps);
            let began = steps.filter(|step| step["id"] == id.as_str() && step["status"] == "running");
            spans.extend(began.map(|step| trace.step_span(step)));
        }
        Ok(spans)
    }
}
