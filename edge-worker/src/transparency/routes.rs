//! `/v1/checkpoints` and `/v1/export`: what a customer keeps, and what it proves itself with.

use super::signer::Signer;
use crate::access::{self, Reader};
use crate::audit;
use crate::call::Call;
use crate::config::Secrets;
use crate::failure::{Doing, Outcome};
use crate::request::url;
use crate::respond::Reply;
use crate::storage::log::{self, CheckpointRow, Exported};
use crate::storage::segments::{Body, Segment};
use serde_json::{Value, json};
use stepseal_protocol::audit::Action;
use stepseal_protocol::encoding::base64_encode;
use stepseal_protocol::problem::{Code, Problem};
use stepseal_protocol::query::{Cursors, PageQuery};
use worker::Request;

const NOTE_TYPE: &str = "text/plain; charset=utf-8";
const NDJSON: &str = "application/x-ndjson";
/// Bytes of bodies that one page exports at most: it is built in memory.
const BYTES_MAX: u64 = 4_000_000;
/// Bodies that one request reads from KV at most: the free plan allows 50 calls a request.
const KV_BODIES_MAX: usize = 30;

fn cursors(call: &Call, reader: &Reader, query: &str) -> Outcome<Cursors> {
    Ok(Cursors::of(&Secrets::of(&call.env)?.oldest_root()?, &reader.project, query.into()))
}

fn refuse_parameters(request: &Request) -> Outcome<()> {
    match url(request)?.query_pairs().next() {
        None => Ok(()),
        Some((name, _)) => {
            Err(Problem::new(Code::ParameterUnknown, "This route has no parameters.").of_field(name).into())
        }
    }
}

/// `GET /v1/checkpoints/key`: the verifier key of the project's log.
pub(crate) async fn key(request: &Request, call: &Call) -> Outcome<Reply> {
    let reader = access::reader(request, call).await?;
    refuse_parameters(request)?;
    let signer = Signer::of(&call.env, &reader.project).await?;
    Ok(Reply::text(NOTE_TYPE, format!("{}\n", signer.verifier().to_text())))
}

/// `GET /v1/checkpoints/latest`: the last note.
pub(crate) async fn latest(request: &Request, call: &Call) -> Outcome<Reply> {
    let reader = access::reader(request, call).await?;
    refuse_parameters(request)?;
    let found = log::latest(&call.env, reader.project.as_str()).await?.ok_or_else(none_yet)?;
    Ok(Reply::text(NOTE_TYPE, found.note))
}

fn none_yet() -> Problem {
    Problem::new(
        Code::CheckpointNotFound,
        "There is no checkpoint yet: one is made within minutes of a batch.",
    )
}

/// `GET /v1/checkpoints`: all of them, largest first.
pub(crate) async fn list(request: &Request, call: &Call) -> Outcome<Reply> {
    let reader = access::reader(request, call).await?;
    let query = PageQuery::parse(url(request)?.query_pairs())?;
    let cursors = cursors(call, &reader, "checkpoints")?;
    let before = match &query.cursor {
        Some(cursor) => cursors.open(cursor)?.parse::<u64>().doing("opening a cursor")?,
        None => u64::MAX >> 11,
    };
    let mut found = log::checkpoints(&call.env, reader.project.as_str(), before, query.limit + 1).await?;
    let more = found.len() > query.limit as usize;
    found.truncate(query.limit as usize);
    let next_cursor = found.last().filter(|_| more).map(|last| cursors.seal(&last.size.to_string()));
    let shown = |row: &CheckpointRow| json!({ "size": row.size, "made_at": row.made_at, "note": row.note });
    Reply::ok(&json!({
        "checkpoints": found.iter().map(shown).collect::<Vec<_>>(),
        "next_cursor": next_cursor,
    }))
}

/// `GET /v1/export`: the log up to the last checkpoint, with what is still there of each batch, as NDJSON. The
/// header `Link` names the next page; pages put together are the export.
pub(crate) async fn export(request: &Request, call: &Call) -> Outcome<Reply> {
    let reader = access::reader(request, call).await?;
    let query = PageQuery::parse(url(request)?.query_pairs())?;
    let project = reader.project.as_str();
    let cursors = cursors(call, &reader, "export")?;
    audit::note_read(call, &reader, Action::ProjectExport, "").await?;
    let mut lines = String::new();
    let (from, size) = if let Some(cursor) = &query.cursor {
        place(&cursors.open(cursor)?)?
    } else {
        let checkpoint = log::latest(&call.env, project).await?.ok_or_else(none_yet)?;
        push(
            &mut lines,
            &json!({ "t": "export", "v": 1, "project": project, "checkpoint": checkpoint.note }),
        );
        (0, checkpoint.size)
    };
    let page = log::export(&call.env, project, from, size, query.limit).await?;
    let mut next = from;
    for entry in page.iter().take(page_length(&page)) {
        push(&mut lines, &shown(call, project, entry).await?);
        next = entry.leaf.seq + 1;
    }
    let reply = Reply::text(NDJSON, lines);
    if next >= size || next == from {
        return Ok(reply);
    }
    let cursor = cursors.seal(&format!("{next}|{size}"));
    let link = format!("</v1/export?limit={}&cursor={cursor}>; rel=\"next\"", query.limit);
    Ok(reply.with_headers(vec![("Link", link)]))
}

fn push(lines: &mut String, line: &Value) {
    lines.push_str(&line.to_string());
    lines.push('\n');
}

fn place(text: &str) -> Outcome<(u64, u64)> {
    let doing = "opening a cursor";
    let (from, size) = text.split_once('|').ok_or("a cursor of ours").doing(doing)?;
    Ok((from.parse::<u64>().doing(doing)?, size.parse::<u64>().doing(doing)?))
}

fn page_length(page: &[Exported]) -> usize {
    let (mut bytes, mut in_kv) = (0, 0);
    page.iter()
        .take_while(|entry| {
            bytes += entry.segment.as_ref().map_or(0, Segment::bytes);
            in_kv += usize::from(entry.segment.as_ref().is_some_and(Segment::is_in_kv));
            bytes <= BYTES_MAX && in_kv <= KV_BODIES_MAX
        })
        .count()
        .max(1)
}

/// An entry's line. A batch whose row is there and whose body is not shows without one: the verifier says so.
async fn shown(call: &Call, project: &str, entry: &Exported) -> Outcome<Value> {
    let Exported { leaf, segment } = entry;
    let (i, x, w, k) = (leaf.seq, &leaf.execution_id, &leaf.writer, leaf.k);
    if leaf.is_deletion() {
        return Ok(json!({ "t": "deletion", "i": i, "x": x }));
    }
    let Some(segment) = segment else {
        return Ok(json!({ "t": "gone", "i": i, "x": x, "w": w, "k": k, "content": leaf.content }));
    };
    let body = match segment.load_body(&call.env, project, x).await? {
        Body::Opened(bytes) => Some(base64_encode(&bytes)),
        Body::Absent | Body::Shut | Body::Erased => None,
    };
    Ok(json!({
        "t": "batch", "i": i, "x": x, "w": w, "k": k, "sha256": segment.sha256,
        "received_at": segment.received_at, "provenance": segment.provenance, "envelope": segment.envelope,
        "body": body,
    }))
}
