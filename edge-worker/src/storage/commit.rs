//! Committing a batch: one D1 transaction that stores its bytes, merges its roll-up and appends to its project's log; only an attempt that
//! stored nothing asks why. A retry, a race and a crash in between all leave the same state.
//!
//! A body that fits is a column of its row; a larger one is written to KV first, under a key that ends
//! in this attempt's random id and is never overwritten, and the row names the attempt. Every statement
//! after the segment's INSERT is guarded by that attempt id, so a replay writes nothing.

use super::bodies::{discard_body, put_body};
use super::cipher;
use super::executions::UNTIMED;
use super::labels::{Indexer, Sealed};
use super::scores::{self, OfBatch, SealedScore};
use super::statement::{Bind, bind};
use super::subject_keys::{self, SubjectKey};
use crate::call::Call;
use crate::config::Secrets;
use crate::failure::{Doing, Fault, Outcome};
use crate::projects::random;
use serde::Deserialize;
use std::rc::Rc;
use stepseal_protocol::at_rest::BodyPlace;
use stepseal_protocol::batch::Batch;
use stepseal_protocol::encoding::hex_encode;
use stepseal_protocol::envelope::Verified;
use stepseal_protocol::ids::ProjectId;
use stepseal_protocol::ingest::admission::Author;
use stepseal_protocol::ingest::receipt::BatchKey;
use stepseal_protocol::messages::message_indexes;
use stepseal_protocol::rollup::{CappedSet, EndFacts, Rollup, StartFacts};
use stepseal_protocol::scores::scores_of;
use stepseal_protocol::search::Tokens;
use stepseal_protocol::transfer::ImportRecord;
use stepseal_protocol::transparency::content;
use worker::{D1Database, D1PreparedStatement};

/// Largest body kept in its row, in bytes: the SDK's own batches always are, and the row stays far under
/// D1's 2 MB. Larger ones go to KV, where a list never meets them.
const INLINE_MAX: usize = 64 * 1024;

/// A batch on its way into the store.
pub(crate) struct NewSegment<'a> {
    /// Whose store it goes to. An imported batch may have been signed for another project.
    pub(crate) project: ProjectId,
    pub(crate) batch: &'a Verified<'a>,
    pub(crate) parsed: &'a Batch<'a>,
    pub(crate) author: &'a Author,
    /// Whose the execution becomes if it is not there yet: one of the author's subjects.
    pub(crate) owner: &'a str,
    /// Unix ms.
    pub(crate) received_at: u64,
    /// Whether the project wants it sealed under a key of its subject.
    pub(crate) under_subject_key: bool,
    /// What makes the tokens of its words, where the project is searched.
    pub(crate) tokens: Option<Tokens>,
    /// What is kept of its import; none of what is sent.
    pub(crate) import: Option<&'a ImportRecord>,
}

impl NewSegment<'_> {
    /// The key under which a retry of this batch is a no-op.
    pub(crate) fn key(&self) -> BatchKey {
        let header = &self.parsed.header;
        BatchKey { project: self.project, execution: header.execution, writer: header.writer, k: header.k }
    }
}

/// What came of a commit.
pub(crate) enum Commit {
    /// This attempt stored it.
    Stored { rows_written: Option<usize> },
    /// An earlier attempt had stored the same content.
    Duplicate { stored_at: u64 },
    /// The execution was deleted; nothing was written.
    Deleted,
    /// The execution is another subject's; nothing was written.
    OtherSubject,
    /// The key holds other content; nothing was written.
    Conflict(Conflict),
}

/// What stands under a contested key, and where its writer goes on.
pub(crate) struct Conflict {
    pub(crate) sha256: String,
    pub(crate) n: u64,
    pub(crate) count: u64,
    pub(crate) next_k: u64,
    pub(crate) next_n: u64,
}

#[derive(Deserialize)]
struct ReadBack {
    deleted_at: Option<u64>,
    subject: Option<String>,
    attempt: Option<String>,
    sha256: Option<String>,
    n: Option<u64>,
    count: Option<u64>,
    received_at: Option<u64>,
}

#[derive(Deserialize)]
struct LastSegment {
    k: u64,
    n: u64,
    count: u64,
}

/// Stores a batch, or finds out why not.
pub(crate) async fn commit(call: &Call, segment: &NewSegment<'_>, rollup: Rollup) -> Outcome<Commit> {
    let doing = "committing a batch";
    let attempt = hex_encode(&random::<16>()?);
    let database = call.env.d1("DB").doing(doing)?;
    let key = segment.key();
    let place = place(&key, &attempt);
    let subject_key = subject_key(call, segment).await?;
    let sealed = cipher::seal(&call.env, &place, subject_key.as_deref(), segment.batch.body()).await?;
    let in_kv = segment.batch.body().len() > INLINE_MAX;
    if in_kv {
        put_body(&call.env, &place, &sealed.bytes).await?;
    }
    let indexer = Indexer::of(&call.env, &key.project, subject_key.as_deref())?;
    let mut labels = Sealed::default();
    let rollup = rollup.indexed(&mut indexer.keeping(&mut labels));
    let body = (!in_kv).then(|| hex_encode(&sealed.bytes));
    let scores: Vec<_> = scores_of(segment.parsed)
        .iter()
        .map(|score| SealedScore::of(score, place.execution, &indexer))
        .collect();
    let price_version = rollup.price_versions.map(|(version, _)| version);
    let stored = StoredAs {
        attempt: &attempt,
        root: &sealed.root,
        price_version,
        scores: scores.len() as u64,
        body: body.as_deref(),
    };
    let mut statements = vec![
        insert_segment(&database, segment, &key, &stored)?,
        merge_rollup(&database, segment, &key, &attempt, &rollup, &labels)?,
        insert_leaf(&database, segment, &key, &attempt)?,
    ];
    if let Some(tokens) = &segment.tokens {
        statements.push(merge_tokens(&database, segment, &key, &attempt, tokens)?);
    }
    if let Some(import) = segment.import {
        statements.push(insert_import(call, &database, segment, &key, &attempt, import)?);
    }
    if !scores.is_empty() {
        let (project, execution, writer) = (place.project, place.execution, place.writer);
        let of = OfBatch {
            project,
            execution,
            writer,
            k: key.k,
            attempt: &attempt,
            received_at: segment.received_at,
        };
        // After the roll-up, because scores are found by the time of their execution.
        statements.push(scores::insert(&database, &of, &scores)?);
    }
    let results = database.batch(statements).await.storing(doing)?;
    let inserted = results.first().ok_or_else(|| Fault::internal(doing, "no results"))?;
    if !inserted.results::<serde_json::Value>().doing(doing)?.is_empty() {
        let rows = results.iter().map(|result| result.meta().ok().flatten()?.rows_written);
        return Ok(Commit::Stored { rows_written: rows.sum() });
    }
    let commit = why_not_stored(&database, segment, &key, &attempt).await?;
    if in_kv && !matches!(commit, Commit::Stored { .. }) {
        discard_body(call, &place)?;
    }
    Ok(commit)
}

async fn subject_key(call: &Call, segment: &NewSegment<'_>) -> Outcome<Option<Rc<SubjectKey>>> {
    if !segment.under_subject_key {
        return Ok(None);
    }
    Ok(Some(subject_keys::of(&call.env, &segment.project, &segment.author.subject).await?))
}

fn place<'a>(key: &'a BatchKey, attempt: &'a str) -> BodyPlace<'a> {
    BodyPlace {
        project: key.project.as_str(),
        execution: key.execution.as_str(),
        writer: key.writer.as_str(),
        k: key.k,
        attempt,
    }
}

/// What an attempt stores beside what it received.
struct StoredAs<'a> {
    attempt: &'a str,
    /// Name of the root that seals the body.
    root: &'a str,
    /// The version of the prices that its costs are derived from.
    price_version: Option<u64>,
    /// How many scores it brings.
    scores: u64,
    /// Hex of the sealed body where the row holds it: D1's binding carries blobs as JSON arrays of numbers,
    /// four characters a byte.
    body: Option<&'a str>,
}

/// Finds out what stood in the way: a retry's own first attempt, other content, or another subject.
async fn why_not_stored(
    database: &D1Database,
    segment: &NewSegment<'_>,
    key: &BatchKey,
    attempt: &str,
) -> Outcome<Commit> {
    let doing = "reading back a commit";
    let row = read_back(database, key)?
        .first::<ReadBack>(None)
        .await
        .storing(doing)?
        .ok_or_else(|| Fault::internal(doing, "no row"))?;
    if row.deleted_at.is_some() {
        return Ok(Commit::Deleted);
    }
    let owner = row.subject.ok_or_else(|| Fault::internal(doing, "the execution's row is not there"))?;
    if !segment.author.subjects().any(|subject| subject == owner) {
        return Ok(Commit::OtherSubject);
    }
    let (Some(winner), Some(sha256), Some(n), Some(count), Some(stored_at)) =
        (row.attempt, row.sha256, row.n, row.count, row.received_at)
    else {
        return Err(Fault::internal(doing, "the batch's row is not there").into());
    };
    // The platform ran the transaction twice: the first run stored it, the second gave no row back.
    if winner == attempt {
        return Ok(Commit::Stored { rows_written: None });
    }
    if sha256 == segment.parsed.digest.to_hex() {
        return Ok(Commit::Duplicate { stored_at });
    }
    let last = bind(database, include_str!("last_segment.sql"), &writer_binds(key))
        .doing(doing)?
        .first::<LastSegment>(None)
        .await
        .storing(doing)?
        .ok_or_else(|| Fault::internal(doing, "the writer has no batch"))?;
    Ok(Commit::Conflict(Conflict { sha256, n, count, next_k: last.k + 1, next_n: last.n + last.count }))
}

fn writer_binds(key: &BatchKey) -> [Bind<'_>; 3] {
    [Bind::Text(key.project.as_str()), Bind::Text(key.execution.as_str()), Bind::Text(key.writer.as_str())]
}

fn insert_segment(
    database: &D1Database,
    segment: &NewSegment<'_>,
    key: &BatchKey,
    stored: &StoredAs<'_>,
) -> Outcome<D1PreparedStatement> {
    let doing = "binding a segment";
    let NewSegment { batch, parsed, author, received_at, .. } = segment;
    let messages = message_indexes(parsed);
    let digest = parsed.digest.to_hex();
    let envelope = batch.envelope_line();
    let subjects = serde_json::to_string(&author.subjects().collect::<Vec<_>>()).doing(doing)?;
    let [project, execution, writer] = writer_binds(key);
    let values = [
        project,
        execution,
        writer,
        Bind::Number(key.k),
        Bind::Number(parsed.header.n),
        Bind::Number(parsed.count()),
        Bind::Text(&digest),
        Bind::Text(batch.batch_id().as_str()),
        Bind::Text(batch.kid().as_str()),
        Bind::Text(stored.attempt),
        Bind::Text(author.provenance.as_str()),
        Bind::Number(*received_at),
        Bind::Number(batch.body().len() as u64),
        Bind::MaybeNumber(messages.as_ref().map(|indexes| *indexes.start())),
        Bind::MaybeNumber(messages.as_ref().map(|indexes| *indexes.end())),
        Bind::Text(&envelope),
        Bind::Text(stored.root),
        Bind::MaybeText(stored.body),
        Bind::Text(&subjects),
        Bind::MaybeNumber(stored.price_version),
        Bind::Number(stored.scores),
    ];
    Ok(bind(database, include_str!("insert_segment.sql"), &values).doing(doing)?)
}

fn insert_leaf(
    database: &D1Database,
    segment: &NewSegment<'_>,
    key: &BatchKey,
    attempt: &str,
) -> Outcome<D1PreparedStatement> {
    let [project, execution, writer] = writer_binds(key);
    let content = content(&segment.parsed.digest, &segment.batch.envelope_line());
    let values = [project, execution, writer, Bind::Number(key.k), Bind::Text(&content), Bind::Text(attempt)];
    Ok(bind(database, include_str!("insert_leaf.sql"), &values).doing("binding a log's entry")?)
}

fn merge_tokens(
    database: &D1Database,
    segment: &NewSegment<'_>,
    key: &BatchKey,
    attempt: &str,
    tokens: &Tokens,
) -> Outcome<D1PreparedStatement> {
    let [project, execution, writer] = writer_binds(key);
    let search = tokens.search().as_str();
    let tokens = tokens.of_batch(segment.parsed);
    let (k, attempt) = (Bind::Number(key.k), Bind::Text(attempt));
    let values = [project, execution, writer, k, attempt, Bind::Text(search), Bind::Text(&tokens)];
    Ok(bind(database, include_str!("merge_tokens.sql"), &values).doing("binding a batch's words")?)
}

fn insert_import(
    call: &Call,
    database: &D1Database,
    segment: &NewSegment<'_>,
    key: &BatchKey,
    attempt: &str,
    import: &ImportRecord,
) -> Outcome<D1PreparedStatement> {
    let content = content(&segment.parsed.digest, &segment.batch.envelope_line());
    let tag = import.tag(&Secrets::of(&call.env)?.oldest_root()?, &key.project, &content);
    let [project, execution, writer] = writer_binds(key);
    let values = [
        project,
        execution,
        writer,
        Bind::Number(key.k),
        Bind::Number(import.at),
        Bind::Text(&import.actor),
        Bind::MaybeText(import.key.as_deref()),
        Bind::MaybeText(import.attestation.as_deref()),
        Bind::Text(&tag),
        Bind::Text(attempt),
    ];
    Ok(bind(database, include_str!("insert_import.sql"), &values).doing("binding an import's record")?)
}

fn merge_rollup(
    database: &D1Database,
    segment: &NewSegment<'_>,
    key: &BatchKey,
    attempt: &str,
    rollup: &Rollup,
    labels: &Sealed,
) -> Outcome<D1PreparedStatement> {
    let [project, execution, writer] = writer_binds(key);
    let mut values = vec![
        project,
        execution,
        writer,
        Bind::Number(key.k),
        Bind::Text(segment.owner),
        Bind::Text(segment.author.provenance.as_str()),
        Bind::Number(segment.received_at),
        Bind::Signed(rollup.first_at.unwrap_or(UNTIMED)),
    ];
    let tags =
        rollup.start.as_ref().map_or_else(|| CappedSet::default().to_json(), |start| start.tags.to_json());
    values.extend(start_binds(rollup.start.as_ref(), &tags));
    values.push(Bind::Text(&rollup.state_rank));
    values.extend(end_binds(rollup.end.as_ref()));
    let (models, tools) = (rollup.models.to_json(), rollup.tools.to_json());
    let step_times = rollup.step_times.to_json();
    let (labels, step_names) = (labels.labels.to_json(), labels.step_names.to_json());
    values.extend(count_binds(rollup));
    values.extend([Bind::Text(&models), Bind::Text(&tools)]);
    let account = &rollup.account;
    values.extend([
        Bind::Number(account.openers),
        Bind::Number(account.closers),
        Bind::Number(account.expected),
        Bind::Number(account.adopted_closers),
        Bind::Number(account.adopted_expected),
        Bind::Number(account.dropped),
        Bind::Text(attempt),
        Bind::MaybeSigned(rollup.first_token_at),
        Bind::Number(rollup.derived_cost_nano_usd),
        Bind::MaybeNumber(rollup.price_versions.map(|(first, _)| first)),
        Bind::MaybeNumber(rollup.price_versions.map(|(_, last)| last)),
        Bind::Text(&step_times),
        Bind::Text(&labels),
        Bind::Text(&step_names),
    ]);
    Ok(bind(database, include_str!("merge_rollup.sql"), &values).doing("binding a roll-up")?)
}

fn start_binds<'a>(start: Option<&'a StartFacts>, tags: &'a str) -> [Bind<'a>; 11] {
    let text = |of: fn(&StartFacts) -> Option<&str>| Bind::MaybeText(start.and_then(of));
    [
        text(|start| Some(&start.rank)),
        text(|start| Some(&start.place.0)),
        Bind::MaybeNumber(start.map(|start| start.place.1)),
        text(|start| Some(&start.name)),
        text(|start| start.agent.as_deref()),
        text(|start| start.pipeline.as_deref()),
        text(|start| start.user.as_deref()),
        text(|start| start.session.as_deref()),
        text(|start| start.environment.as_deref()),
        text(|start| start.release.as_deref()),
        Bind::Text(tags),
    ]
}

fn end_binds(end: Option<&EndFacts>) -> [Bind<'_>; 5] {
    [
        Bind::MaybeText(end.map(|end| end.rank.as_str())),
        Bind::MaybeText(end.map(|end| end.place.0.as_str())),
        Bind::MaybeNumber(end.map(|end| end.place.1)),
        Bind::MaybeText(end.map(|end| end.status.as_str())),
        Bind::MaybeSigned(end.map(|end| end.at)),
    ]
}

fn count_binds(rollup: &Rollup) -> [Bind<'static>; 10] {
    [
        rollup.events,
        rollup.rejected,
        rollup.steps,
        rollup.error_steps,
        rollup.usage.input,
        rollup.usage.cache_read,
        rollup.usage.cache_write,
        rollup.usage.output,
        rollup.usage.reasoning,
        rollup.cost_nano_usd,
    ]
    .map(Bind::Number)
}

fn read_back(database: &D1Database, key: &BatchKey) -> Outcome<D1PreparedStatement> {
    let [project, execution, writer] = writer_binds(key);
    let values = [project, execution, writer, Bind::Number(key.k)];
    Ok(bind(database, include_str!("read_back.sql"), &values).doing("binding a read-back")?)
}
