//! `GET /v1/export`: the log up to the last checkpoint, with what is still there of each batch.

use super::page::{Asked, BatchWriter, Lines, Load, NDJSON, cursors};
use crate::access;
use crate::audit;
use crate::call::Call;
use crate::failure::{Doing, Outcome};
use crate::respond::Reply;
use crate::storage::log::{self, Exported};
use crate::transparency::none_yet;
use serde_json::{Value, json};
use stepseal_protocol::audit::Action;
use stepseal_protocol::query::PageQuery;
use stepseal_protocol::transfer::head;
use worker::Request;

/// Exports a page of the log.
pub(crate) async fn log(request: &Request, call: &Call) -> Outcome<Reply> {
    let reader = access::reader(request, call).await?;
    let asked = Asked::of(request)?;
    let query = PageQuery::parse(asked.pairs.iter().cloned())?;
    let project = reader.project.as_str();
    let cursors = cursors(call, &reader, "export".into())?;
    audit::note_read(call, &reader, Action::ProjectExport, "").await?;
    let writer = BatchWriter::of(call, &reader).await?;
    let mut lines = Lines::default();
    let (from, size) = if let Some(cursor) = &query.cursor {
        place(&cursors.open(cursor)?)?
    } else {
        let checkpoint = log::latest(&call.env, project).await?.ok_or_else(none_yet)?;
        lines.push(&head(project, writer.signer().verifier(), Some(&checkpoint.note)));
        (0, checkpoint.size)
    };
    let page = log::export(&call.env, project, from, size, query.limit).await?;
    let (mut next, mut load) = (from, Load::default());
    for entry in &page {
        if entry.segment.as_ref().is_some_and(|segment| !load.take(segment)) {
            break;
        }
        lines.push(&shown(&writer, entry).await?);
        next = entry.leaf.seq + 1;
    }
    let more = next < size && next > from;
    let cursor = more.then(|| cursors.seal(&format!("{next}|{size}")));
    asked.reply(request, NDJSON, lines.into_text(), cursor.as_deref())
}

fn place(text: &str) -> Outcome<(u64, u64)> {
    let doing = "opening a cursor";
    let (from, size) = text.split_once('|').ok_or("a cursor of ours").doing(doing)?;
    Ok((from.parse::<u64>().doing(doing)?, size.parse::<u64>().doing(doing)?))
}

async fn shown(writer: &BatchWriter<'_>, entry: &Exported) -> Outcome<Value> {
    let Exported { leaf, segment } = entry;
    let (i, x, w, k) = (leaf.seq, &leaf.execution_id, &leaf.writer, leaf.k);
    if leaf.is_deletion() {
        return Ok(json!({ "t": "deletion", "i": i, "x": x }));
    }
    match segment.as_ref().zip(leaf.owner.as_deref()) {
        Some((segment, owner)) => writer.line(Some(i), x, owner, segment).await,
        None => Ok(json!({ "t": "gone", "i": i, "x": x, "w": w, "k": k, "content": leaf.content })),
    }
}
