//! The ingest pipeline. Reads top-down: every stage may refuse, each refusal has its code, and 2xx comes
//! only after the commit.

pub(crate) mod address_limit;
pub(crate) mod fair_limit;

use crate::audit::rejections;
use crate::call::Call;
use crate::config::Secrets;
use crate::failure::{Failure, Outcome, Refusal};
use crate::live::announce;
use crate::projects::store;
use crate::request::{header, read_body};
use crate::respond::{Reply, members};
use crate::storage::commit::{Commit, NewSegment, commit};
use crate::storage::text;
use crate::transparency::signer::Signer;
use fair_limit::Spender;
use serde_json::json;
use std::rc::Rc;
use stepseal_protocol::batch::{Batch, inflate};
use stepseal_protocol::envelope::{ServerHeaders, Unverified, Verified};
use stepseal_protocol::ingest::admission::{Author, Project};
use stepseal_protocol::ingest::budget::Usage;
use stepseal_protocol::ingest::receipt::receipt;
use stepseal_protocol::keys::Root;
use stepseal_protocol::ledger::{DUPLICATE, STORED};
use stepseal_protocol::limits::{BODY_MAX, REQUEST_MAX};
use stepseal_protocol::problem::{Code, Problem};
use stepseal_protocol::rollup::Rollup;
use stepseal_protocol::transparency::receipt_text;
use worker::Request;

/// `POST /v1/batches`: a page's sealed batch.
pub(crate) async fn sealed_batch(mut request: Request, call: &Call) -> Outcome<Reply> {
    let bytes = read_body(&mut request, REQUEST_MAX).await?;
    let frame = Unverified::from_sealed(&bytes)?;
    take(&request, call, frame, bytes.len()).await
}

/// `POST /v1/server/batches`: a backend's batch, signed under the project secret.
pub(crate) async fn server_batch(mut request: Request, call: &Call) -> Outcome<Reply> {
    let bytes = read_body(&mut request, BODY_MAX).await?;
    let named = |name: &str| {
        header(&request, name).ok_or_else(|| {
            Problem::new(Code::EnvelopeMalformed, format!("Header `{name}` is missing.")).of_field(name)
        })
    };
    let (key, id) = (named("stepseal-key")?, named("webhook-id")?);
    let (timestamp, signature) = (named("webhook-timestamp")?, named("webhook-signature")?);
    let headers = ServerHeaders { key: &key, id: &id, timestamp: &timestamp, signature: &signature };
    let frame = Unverified::from_server(headers, &bytes)?;
    take(&request, call, frame, bytes.len()).await
}

/// Everything after the frame, in order.
async fn take(request: &Request, call: &Call, frame: Unverified<'_>, bytes: usize) -> Outcome<Reply> {
    address_limit::check(request, &call.env).await?;
    frame.check_time(call.now / 1_000)?;
    let root = root_of(&frame, call)?;
    let secret = root.project_secret(frame.project(), frame.kid());
    let batch = frame.verify(&secret)?;
    let outcome = take_verified(request, call, &batch, bytes).await;
    if let Err(Failure::Refused(refusal)) = &outcome {
        rejections::note(call, &batch, &refusal.problem);
    }
    outcome
}

/// Everything after the signature: from here on a refusal is audited.
async fn take_verified(request: &Request, call: &Call, batch: &Verified<'_>, bytes: usize) -> Outcome<Reply> {
    let project = admitted(batch, header(request, "origin").as_deref(), call).await?;
    let spender = Spender::of(&project, batch);
    spender.spend_bytes(call, bytes as u64).await?;
    let ndjson = inflate(batch.body())?;
    let parsed = Batch::parse(&ndjson)?;
    call.counted.borrow_mut().events = parsed.count();
    let author = Author::of(batch, &parsed.header)?;
    let policy = spender.spend_steps(call, parsed.count()).await?;
    let rollup = Rollup::priced(&parsed, &project.prices);
    let used = Usage {
        steps: parsed.count(),
        bytes: batch.body().len() as u64,
        cost_nano_usd: rollup.cost_nano_usd,
    };
    let segment = NewSegment {
        project: *batch.project(),
        batch,
        parsed: &parsed,
        author: &author,
        owner: &author.subject,
        received_at: call.now,
        under_subject_key: project.subject_keys,
        tokens: text::tokens(&call.env, &project)?,
        import: None,
    };
    let commit = commit(call, &segment, rollup).await?;
    if matches!(commit, Commit::Stored { .. }) {
        charge(call, &project, &parsed, used);
        announce::stored(call, batch.project());
    }
    Ok(reply(call, &segment, commit).await?.with_headers(policy))
}

/// What was stored counts against the month's budget.
fn charge(call: &Call, project: &Project, parsed: &Batch<'_>, used: Usage) {
    fair_limit::charge(&project.id, used);
    let mut counted = call.counted.borrow_mut();
    counted.rejected = parsed.verdicts.len() as u64;
    counted.stored = Some((used, project.budget));
}

fn root_of(frame: &Unverified<'_>, call: &Call) -> Outcome<Root> {
    let root = Secrets::of(&call.env)?.root(frame.kid().root_name());
    Ok(root.ok_or_else(|| {
        Problem::new(Code::KeyUnknown, "This server holds no root for the key id that the batch names.")
    })?)
}

async fn admitted(batch: &Verified<'_>, origin: Option<&str>, call: &Call) -> Outcome<Rc<Project>> {
    let project = store::project(call, batch.project()).await?.ok_or_else(|| {
        Problem::new(Code::ProjectUnknown, format!("There is no project {} here.", batch.project()))
    })?;
    call.counted.borrow_mut().project = Some(*batch.project());
    project.admit(batch, origin, call.now)?;
    Ok(project)
}

/// What the sender is told of a commit.
async fn reply(call: &Call, segment: &NewSegment<'_>, commit: Commit) -> Outcome<Reply> {
    match commit {
        Commit::Stored { rows_written } => {
            let receipt = signed_receipt(call, segment, segment.received_at).await?;
            Ok(stored_reply(segment, &receipt, false)?.with_headers(diagnostics(call, rows_written)))
        }
        Commit::Duplicate { stored_at } => {
            stored_reply(segment, &signed_receipt(call, segment, stored_at).await?, true)
        }
        Commit::Deleted => {
            let detail = "The execution was deleted. Drop what is left of it.";
            Err(Problem::new(Code::ExecutionDeleted, detail).into())
        }
        Commit::OtherSubject => Err(Problem::new(
            Code::SubjectMismatch,
            "The execution belongs to another subject. Start one of your own.",
        )
        .into()),
        Commit::Conflict(conflict) => Err(Refusal {
            problem: Problem::new(
                Code::BatchConflict,
                "Another body is stored under this execution, writer and k. Seal what follows `stored` again, \
                 from `next_k` and `next_n`.",
            ),
            members: members([(
                "stored",
                json!({
                    "sha256": conflict.sha256, "n": conflict.n, "count": conflict.count,
                    "next_k": conflict.next_k, "next_n": conflict.next_n,
                }),
            )]),
            headers: Vec::new(),
        }
        .into()),
    }
}

async fn signed_receipt(call: &Call, segment: &NewSegment<'_>, stored_at: u64) -> Outcome<String> {
    let text = receipt_text(&segment.key(), &segment.parsed.digest, stored_at);
    let signer = Signer::of(&call.env, segment.batch.project()).await?;
    Ok(receipt(stored_at, &signer.sign(&text).await?))
}

fn stored_reply(segment: &NewSegment<'_>, receipt: &str, duplicate: bool) -> Outcome<Reply> {
    let (received, rejected) = (segment.parsed.count(), segment.parsed.verdicts.len() as u64);
    let code = if duplicate { DUPLICATE } else { STORED };
    let reply = Reply::ok(&json!({
        "code": code,
        "receipt": receipt,
        "duplicate": duplicate,
        "received": received,
        "stored": received - rejected,
        "rejected": rejected,
        "verdicts": segment.parsed.verdicts,
    }))?;
    Ok(reply.of_outcome(code))
}

/// Rows that D1 bills, for benchmarks; off unless the deployment asks for it.
fn diagnostics(call: &Call, rows_written: Option<usize>) -> Vec<(&'static str, String)> {
    let asked = call.env.var("STEPSEAL_DIAGNOSTICS").is_ok_and(|value| value.to_string() == "1");
    rows_written
        .filter(|_| asked)
        .map(|rows| vec![("Stepseal-Rows-Written", rows.to_string())])
        .unwrap_or_default()
}
