//! `GET /v1/executions/{id}/verify`: proves that what is stored is what was signed, and whole.

use super::{cursors, find};
use crate::access;
use crate::audit;
use crate::call::Call;
use crate::config::Secrets;
use crate::failure::{Doing, Failure, Fault, Outcome};
use crate::request::url;
use crate::respond::Reply;
use crate::storage::executions::Execution;
use crate::storage::scores::{self, Score};
use crate::storage::segments::{self, Body, Segment, SegmentPosition};
use crate::storage::{labels, prices};
use serde_json::{Value, json};
use stepseal_protocol::audit::Action;
use stepseal_protocol::digest::BodyDigest;
use stepseal_protocol::encoding::hex_decode;
use stepseal_protocol::ids::{ExecutionId, ProjectId};
use stepseal_protocol::problem::Code;
use stepseal_protocol::query::{Cursors, PageQuery};
use stepseal_protocol::scores::{ScoreFacts, StoredScore};
use stepseal_protocol::verify::{
    Imported, ResumePoint, SegmentVerdict, Sequence, SequenceFacts, StoredSegment, Verdict, check_segment,
};
use worker::Request;

/// Bodies that one request reads from KV at most: the free plan allows 50 calls a request.
const KV_BODIES_MAX: usize = 30;
/// Bytes of bodies that one request verifies at most, so that it stays within its CPU time.
const BYTES_MAX: u64 = 8_000_000;

/// Verifies a page of an execution's batches; a short execution is one page.
pub(crate) async fn verify(request: &Request, call: &Call, id: &str) -> Outcome<Reply> {
    let reader = access::reader(request, call).await?;
    let query = PageQuery::parse(url(request)?.query_pairs())?;
    let (id, execution) = match find(call, &reader, id).await {
        Err(Failure::Refused(refusal)) if refusal.problem.code == Code::ExecutionDeleted => {
            return Reply::ok(&deleted(id));
        }
        found => found?,
    };
    audit::note_read(call, &reader, Action::ExecutionVerify, id.as_str()).await?;
    let cursors = cursors(call, &reader, format!("verify|{id}"))?;
    let resume = query.cursor.as_deref().map(|cursor| resume_point(&cursors, cursor)).transpose()?;
    let after = resume.as_ref().map_or_else(SegmentPosition::first, position);
    let project = reader.project.as_str();
    let mut page = segments::page(&call.env, project, id.as_str(), &after, query.limit + 1).await?;
    let kept = page_length(&page, query.limit as usize);
    let more = kept < page.len();
    page.truncate(kept);
    let whole = resume.is_none() && !more;
    let walk = walk(call, &reader.project, &id, &execution, &page, resume).await?;
    let all_verified = walk.verdicts.iter().all(|verdict| *verdict == SegmentVerdict::Verified);
    let summary_fits = if whole && all_verified {
        Some(
            execution.agrees_with(&walk.facts.rollup)
                && execution.labels_are_whole(&call.env, &reader.project).await?
                && scores_fit(call, &reader.project, &id, &walk.facts.scores).await?,
        )
    } else {
        None
    };
    let next_cursor = walk.resume.as_ref().filter(|_| more).map(|point| cursors.seal(&point_text(point)));
    Reply::ok(&report(&id, &walk, summary_fits, next_cursor.as_deref()))
}

/// Whether the stored scores of sessions are those that the batches give.
async fn scores_fit(
    call: &Call,
    project: &ProjectId,
    id: &ExecutionId,
    signed: &[ScoreFacts],
) -> Outcome<bool> {
    let index = labels::index(&call.env, project)?;
    let found = scores::of_sessions(&call.env, project.as_str(), id.as_str()).await?;
    let labels = scores::labels(&call.env, project, &found).await?;
    let mut stored: Vec<StoredScore> = found.iter().map(Score::stored).collect();
    let are_whole = stored.iter().all(|score| score.indexes().all(|index| labels.get(index).is_some()));
    let mut of_label = |column: &str, label: &str| index.of_label(column, label);
    let mut signed: Vec<StoredScore> =
        signed.iter().map(|score| score.indexed(id.as_str(), &mut of_label)).collect();
    stored.sort_by(|one, other| one.id.cmp(&other.id));
    signed.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(are_whole && stored == signed)
}

#[derive(Default)]
struct Walk {
    batches: Vec<Value>,
    verdicts: Vec<SegmentVerdict>,
    out_of_place: bool,
    resume: Option<ResumePoint>,
    facts: SequenceFacts,
}

/// A resume point as a cursor's text: `writer|next_k|next_n|digest or empty|closed`.
fn point_text(point: &ResumePoint) -> String {
    let digest = point.digest.map(BodyDigest::to_hex).unwrap_or_default();
    format!("{}|{}|{}|{digest}|{}", point.writer, point.next_k, point.next_n, u8::from(point.closed))
}

fn resume_point(cursors: &Cursors, cursor: &str) -> Outcome<ResumePoint> {
    let doing = "opening a cursor";
    let text = cursors.open(cursor)?;
    let fields: Vec<&str> = text.split('|').collect();
    let [writer, next_k, next_n, digest, closed] = fields[..] else {
        return Err(Fault::internal(doing, "a cursor of ours has other fields").into());
    };
    Ok(ResumePoint {
        writer: writer.to_owned(),
        next_k: next_k.parse().doing(doing)?,
        next_n: next_n.parse().doing(doing)?,
        digest: (!digest.is_empty()).then(|| stored_digest(digest)),
        closed: closed == "1",
    })
}

fn position(point: &ResumePoint) -> SegmentPosition {
    let k = i64::try_from(point.next_k).unwrap_or(i64::MAX) - 1;
    SegmentPosition { writer: point.writer.clone(), k }
}

/// How many of the page's segments this request takes on.
fn page_length(page: &[Segment], limit: usize) -> usize {
    let (mut bytes, mut in_kv) = (0, 0);
    page.iter()
        .take(limit)
        .take_while(|segment| {
            bytes += segment.bytes();
            in_kv += usize::from(segment.is_in_kv());
            bytes <= BYTES_MAX && in_kv <= KV_BODIES_MAX
        })
        .count()
        .max(1)
        .min(page.len())
}

async fn walk(
    call: &Call,
    project: &ProjectId,
    id: &ExecutionId,
    execution: &Execution,
    page: &[Segment],
    resume: Option<ResumePoint>,
) -> Outcome<Walk> {
    let secrets = Secrets::of(&call.env)?;
    let mut sequence = resume.map_or_else(Sequence::default, Sequence::resumed);
    let mut walk = Walk::default();
    let index = labels::index(&call.env, project)?;
    let versions = page.iter().filter_map(|segment| segment.price_version);
    let prices = prices::versions(&call.env, project.as_str(), versions).await?;
    for segment in page {
        let body = segment.load_body(&call.env, project.as_str(), id.as_str()).await?;
        let stored = StoredSegment {
            writer: &segment.writer,
            k: segment.k,
            n: segment.n,
            count: segment.count,
            digest: stored_digest(&segment.sha256),
            batch_id: &segment.batch_id,
            envelope: &segment.envelope,
            body: if let Body::Opened(bytes) = &body { bytes } else { &[] },
            import: match segment.import() {
                Some((record, tag)) => Some(Imported { record, tag, tag_root: secrets.oldest_root()? }),
                None => None,
            },
            price_version: segment.price_version,
            scores: segment.scores,
            prices: prices.at(segment.price_version),
        };
        let checked = match body {
            Body::Absent => Err((SegmentVerdict::Tampered, "the body is not in the store")),
            Body::Shut => Err((SegmentVerdict::Tampered, "the stored body does not decrypt in its row")),
            Body::Erased => Err((SegmentVerdict::KeyRetired, "the key of its subject was destroyed")),
            Body::Opened(_) => {
                check_segment(project, id, &execution.subject, &stored, |name| secrets.root(name))
                    .map(|facts| facts.indexed(&mut |column, label| index.of_label(column, label)))
            }
        };
        let (verdict, reason) = match checked {
            Ok(facts) => {
                let place = sequence.push(&stored, facts);
                walk.out_of_place |= place.is_err();
                (SegmentVerdict::Verified, place.err())
            }
            Err((verdict, reason)) => {
                sequence.skip(&stored);
                (verdict, Some(reason))
            }
        };
        walk.verdicts.push(verdict);
        walk.batches.push(shown(segment, verdict, reason));
    }
    walk.resume = sequence.resume_point();
    walk.facts = sequence.finish();
    Ok(walk)
}

/// A stored digest that is no digest equals none, so its batch shows as tampered.
fn stored_digest(hex: &str) -> BodyDigest {
    let bytes = hex_decode(hex).ok().and_then(|bytes| bytes.try_into().ok());
    BodyDigest::from_bytes(bytes.unwrap_or_default())
}

fn shown(segment: &Segment, verdict: SegmentVerdict, reason: Option<&str>) -> Value {
    json!({
        "writer": segment.writer,
        "k": segment.k,
        "batch_id": segment.batch_id,
        "n": segment.n,
        "count": segment.count,
        "sha256": segment.sha256,
        "received_at": segment.received_at,
        "provenance": segment.provenance,
        "imported": segment.import().map(|(record, _)| json!({ "at": record.at, "by": record.actor, "key": record.key })),
        "verdict": verdict,
        "reason": reason,
    })
}

/// The reply for an execution whose tombstone is all there is.
fn deleted(id: &str) -> Value {
    json!({
        "execution": id, "verdict": Verdict::Deleted, "tail_unknown": false, "summary": null, "batches": [],
        "missing": [], "dropped": [], "next_cursor": null,
    })
}

/// The reply. `summary` compares the stored roll-up and scores with the batches' own; it needs all of them at once.
fn report(id: &ExecutionId, walk: &Walk, summary_fits: Option<bool>, next_cursor: Option<&str>) -> Value {
    let any = |wanted: SegmentVerdict| walk.verdicts.contains(&wanted);
    let verdict = if any(SegmentVerdict::Tampered) || walk.out_of_place || summary_fits == Some(false) {
        Verdict::Tampered
    } else if any(SegmentVerdict::KeyRetired) {
        Verdict::KeyRetired
    } else if !walk.facts.missing.is_empty() || walk.facts.tail_unknown && next_cursor.is_none() {
        Verdict::Incomplete
    } else {
        Verdict::Verified
    };
    json!({
        "execution": id.as_str(),
        "verdict": verdict,
        "tail_unknown": walk.facts.tail_unknown && next_cursor.is_none(),
        "summary": match summary_fits {
            Some(true) => json!("verified"),
            Some(false) => json!("tampered"),
            None => Value::Null,
        },
        "batches": walk.batches,
        "missing": walk.facts.missing,
        "dropped": walk.facts.dropped,
        "next_cursor": next_cursor,
    })
}
