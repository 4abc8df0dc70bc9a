//! `GET /v1/export/executions.ndjson`: the batches of one execution, or of a list of them, newest first.

use super::page::{Asked, BatchWriter, Lines, Load, NDJSON, cursors};
use super::walk::{Walk, after_segment};
use crate::access::{self, Reader};
use crate::audit;
use crate::call::Call;
use crate::executions::walk::Place;
use crate::failure::Outcome;
use crate::respond::Reply;
use crate::storage::segments;
use stepseal_protocol::audit::Action;
use stepseal_protocol::transfer::{ExportQuery, head};
use worker::Request;

/// Executions that a page looks into, at most: each is a query, and the free plan allows 50 a request.
const EXECUTIONS_MAX: u32 = 20;
/// Batches that a page reads, at most.
const SEGMENTS_MAX: usize = 30;

/// Exports a page of batches.
pub(crate) async fn batches(request: &Request, call: &Call) -> Outcome<Reply> {
    let reader = access::reader(request, call).await?;
    let asked = Asked::of(request)?;
    let query = ExportQuery::parse(asked.pairs.iter().cloned())?;
    let cursors = cursors(call, &reader, query.canonical("ndjson"))?;
    let place =
        query.page().cursor.as_deref().map(|cursor| Place::open(&cursors.open(cursor)?)).transpose()?;
    let first = place.is_none();
    let walk = Walk::begin(call, &reader, &query, place, EXECUTIONS_MAX).await?;
    audit::note_read(call, &reader, Action::ProjectExport, walk.target()).await?;
    let writer = BatchWriter::of(call, &reader).await?;
    let mut lines = Lines::default();
    if first {
        lines.push(&head(reader.project.as_str(), writer.signer().verifier(), None));
    }
    let next = fill(call, &reader, walk, &writer, &mut lines).await?;
    let cursor = next.map(|place| cursors.seal(&place.to_text()));
    asked.reply(request, NDJSON, lines.into_text(), cursor.as_deref())
}

/// Writes lines until the page is full, and says where the next begins.
async fn fill(
    call: &Call,
    reader: &Reader,
    walk: Walk,
    writer: &BatchWriter<'_>,
    lines: &mut Lines,
) -> Outcome<Option<Place>> {
    let mut load = Load::default();
    let mut after = walk.begin.after.clone();
    for execution in &walk.executions {
        let room = SEGMENTS_MAX - load.segments();
        if room == 0 {
            return Ok(Some(Place { after, within: None }));
        }
        let id = execution.id.as_str();
        let mut position = walk.begin.position_in(id);
        let most = u32::try_from(room).unwrap_or(u32::MAX) + 1;
        let found = segments::page(&call.env, reader.project.as_str(), id, &position, most).await?;
        for segment in found.iter().take(room) {
            if !load.take(segment) {
                return Ok(Some(Place { after, within: Some((id.to_owned(), position)) }));
            }
            lines.push(&writer.line(None, id, &execution.subject, segment).await?);
            position = after_segment(segment)?;
        }
        if found.len() > room {
            return Ok(Some(Place { after, within: Some((id.to_owned(), position)) }));
        }
        after = walk.after(execution);
    }
    Ok(walk.end())
}
