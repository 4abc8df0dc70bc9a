//! Re-verification of what is stored: every batch by itself, and all of them as a sequence.
//!
//! [`check_segment`] proves that stored bytes are the signed bytes and that the columns beside them say
//! what they say. [`Sequence`] walks one execution's batches in order of (writer, k) and finds missing
//! numbers, broken chains and the tail's fate. It is fed one page at a time.

use crate::at_rest::labels::Indexing;
use crate::batch::{Batch, Kind, inflate};
use crate::digest::BodyDigest;
use crate::envelope::{Unverified, Verified};
use crate::ids::{ExecutionId, ProjectId};
use crate::ingest::admission::Author;
use crate::keys::Root;
use crate::prices::PriceTable;
use crate::rollup::Rollup;
use crate::scores::{ScoreFacts, scores_of};
use crate::transfer::ImportRecord;
use crate::transparency::content;
use serde::Serialize;
use std::string::{String, ToString};
use std::vec::Vec;

/// One stored batch, as the store gives it back.
pub struct StoredSegment<'a> {
    /// Writer.
    pub writer: &'a str,
    /// Index.
    pub k: u64,
    /// First event's number.
    pub n: u64,
    /// Number of events.
    pub count: u64,
    /// SHA-256 of the NDJSON.
    pub digest: BodyDigest,
    /// Batch id.
    pub batch_id: &'a str,
    /// The envelope's line.
    pub envelope: &'a str,
    /// The bytes as received.
    pub body: &'a [u8],
    /// What is stored of its import; none if it was sent here.
    pub import: Option<Imported<'a>>,
    /// The version of the prices that its costs were derived from; none if none were.
    pub price_version: Option<u64>,
    /// How many of its scores are stored as rows; none if it was stored before scores were kept.
    pub scores: Option<u64>,
    /// The prices of that version.
    pub prices: Option<&'a PriceTable>,
}

/// A stored record of an import.
pub struct Imported<'a> {
    /// The record.
    pub record: ImportRecord,
    /// Its tag.
    pub tag: &'a str,
    /// The root that tags are under.
    pub tag_root: Root,
}

/// What was found of one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SegmentVerdict {
    /// Its bytes are the signed ones.
    Verified,
    /// They are not, or what is stored beside them does not fit them.
    Tampered,
    /// Its root is no longer held, so nobody can say.
    KeyRetired,
}

/// What was found of an execution. The words are fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every batch verifies and every number is accounted for.
    Verified,
    /// Something stored is not what was signed.
    Tampered,
    /// What is there verifies, and something is missing.
    Incomplete,
    /// A root is no longer held.
    KeyRetired,
    /// It was deleted.
    Deleted,
}

/// A verified segment's content, as the sequence needs it.
#[derive(Debug)]
pub struct SegmentFacts {
    /// What it adds to the roll-up.
    pub rollup: Rollup,
    /// The scores that it brings, where they are kept as rows.
    pub scores: Vec<ScoreFacts>,
    prev: Option<BodyDigest>,
    closes: bool,
    drops: Vec<Dropped>,
}

/// Numbers that a `drop` event accounts for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// Writer.
    pub writer: String,
    /// First number.
    pub from: u64,
    /// Last number.
    pub to: u64,
    /// How many events.
    pub count: u64,
    /// Why.
    pub reason: String,
}

/// Numbers that nothing accounts for, both ends included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// Writer.
    pub writer: String,
    /// First number.
    pub from: u64,
    /// Last number.
    pub to: u64,
}

/// Checks one stored batch. The error is a verdict and its reason, for people.
pub fn check_segment(
    project: &ProjectId,
    execution: &ExecutionId,
    subject: &str,
    segment: &StoredSegment<'_>,
    root_of: impl FnOnce(&str) -> Option<Root>,
) -> Result<SegmentFacts, (SegmentVerdict, &'static str)> {
    let tampered = |reason| (SegmentVerdict::Tampered, reason);
    let frame = Unverified::from_stored(segment.envelope, segment.body)
        .map_err(|_| tampered("the stored envelope cannot be read"))?;
    let verified = match &segment.import {
        Some(import) => verified_import(project, segment, import, frame, root_of)?,
        None if frame.project() != project => return Err(tampered("the envelope names another project")),
        None => verified_mac(frame, root_of)?,
    };
    let ndjson = inflate(verified.body()).map_err(|_| tampered("the signed body cannot be inflated"))?;
    let batch = Batch::parse(&ndjson).map_err(|_| tampered("the signed body cannot be read"))?;
    let header = &batch.header;
    let columns_fit = header.execution == *execution
        && header.writer.as_str() == segment.writer
        && header.k == segment.k
        && header.n == segment.n
        && batch.count() == segment.count
        && batch.digest == segment.digest
        && verified.batch_id().as_str() == segment.batch_id;
    let rollup = Rollup::priced(&batch, segment.prices.unwrap_or(&PriceTable::default()));
    let columns_fit =
        columns_fit && rollup.price_versions.map(|(version, _)| version) == segment.price_version;
    let scores = scores_of(&batch);
    let columns_fit = columns_fit && segment.scores.is_none_or(|kept| kept == scores.len() as u64);
    if !columns_fit {
        return Err(tampered("what is stored beside the bytes differs from what they say"));
    }
    let author = Author::of(&verified, header).map_err(|_| tampered("the signed header names no subject"))?;
    if !author.subjects().any(|allowed| allowed == subject) {
        return Err(tampered("the execution's subject is not the one that signed"));
    }
    Ok(SegmentFacts::of(&batch, rollup, if segment.scores.is_some() { scores } else { Vec::new() }))
}

fn verified_mac(
    frame: Unverified<'_>,
    root_of: impl FnOnce(&str) -> Option<Root>,
) -> Result<Verified<'_>, (SegmentVerdict, &'static str)> {
    let root = root_of(frame.kid().root_name())
        .ok_or((SegmentVerdict::KeyRetired, "the root it was signed under is no longer held"))?;
    let secret = root.project_secret(frame.project(), frame.kid());
    frame
        .verify(&secret)
        .map_err(|_| (SegmentVerdict::Tampered, "the signature does not match the stored bytes"))
}

/// An imported batch may be of another project, and of a root that this server never held: then on the attestation that was
/// checked when it came.
fn verified_import<'a>(
    project: &ProjectId,
    segment: &StoredSegment<'_>,
    import: &Imported<'_>,
    frame: Unverified<'a>,
    root_of: impl FnOnce(&str) -> Option<Root>,
) -> Result<Verified<'a>, (SegmentVerdict, &'static str)> {
    let Imported { record, tag, tag_root } = import;
    let content = content(&segment.digest, segment.envelope);
    if !record.is_sealed_by(tag_root, project, &content, tag) {
        return Err((SegmentVerdict::Tampered, "the record of its import is not the one that was made"));
    }
    match record.attested(tag_root, project, &content, tag) {
        Some(attested) => Ok(frame.attested(&attested)),
        None => verified_mac(frame, root_of),
    }
}

impl SegmentFacts {
    /// The same with the indexes of the roll-up's labels, to compare with what is stored.
    #[must_use]
    pub fn indexed(self, index: &mut Indexing<'_>) -> Self {
        Self { rollup: self.rollup.indexed(index), ..self }
    }

    fn of(batch: &Batch<'_>, rollup: Rollup, scores: Vec<ScoreFacts>) -> Self {
        let drops = batch.events.iter().filter_map(|event| match &event.kind {
            Kind::Drop { reason, count, range } => {
                let (from, to) = range.unwrap_or((event.n, event.n));
                let writer = batch.header.writer.as_str().to_string();
                Some(Dropped { writer, from, to, count: *count, reason: reason.to_string() })
            }
            _ => None,
        });
        let ends = batch.events.iter().any(|event| matches!(event.kind, Kind::End(_)));
        Self {
            rollup,
            scores,
            prev: batch.header.prev,
            closes: ends || batch.header.fin,
            drops: drops.collect(),
        }
    }
}

/// The running account over an execution's batches, in order of (writer, k).
#[derive(Debug, Default)]
pub struct Sequence {
    writer: Option<WriterState>,
    gaps: Vec<Missing>,
    drops: Vec<Dropped>,
    tail_unknown: bool,
    rollup: Rollup,
    scores: Vec<ScoreFacts>,
}

/// What a walk must remember of its last batch to go on in another request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumePoint {
    /// Writer of the last batch.
    pub writer: String,
    /// The index that follows it.
    pub next_k: u64,
    /// The event number that follows it.
    pub next_n: u64,
    /// Its digest, if it verified.
    pub digest: Option<BodyDigest>,
    /// Whether it closed its writer.
    pub closed: bool,
}

#[derive(Debug)]
struct WriterState {
    writer: String,
    next_k: u64,
    next_n: u64,
    digest: Option<BodyDigest>,
    closed: bool,
}

impl Sequence {
    /// A walk that goes on where an earlier page ended.
    pub fn resumed(at: ResumePoint) -> Self {
        let ResumePoint { writer, next_k, next_n, digest, closed } = at;
        Self { writer: Some(WriterState { writer, next_k, next_n, digest, closed }), ..Self::default() }
    }

    /// Where a later page goes on: the place after the last batch taken.
    pub fn resume_point(&self) -> Option<ResumePoint> {
        let WriterState { writer, next_k, next_n, digest, closed } = self.writer.as_ref()?;
        let (writer, next_k, next_n, digest, closed) = (writer.clone(), *next_k, *next_n, *digest, *closed);
        Some(ResumePoint { writer, next_k, next_n, digest, closed })
    }

    /// Takes the next batch that verified; says what is wrong with its place in the sequence.
    pub fn push(&mut self, segment: &StoredSegment<'_>, facts: SegmentFacts) -> Result<(), &'static str> {
        let fault = self.advance(segment, Some(&facts));
        self.rollup.merge(&facts.rollup);
        self.drops.extend(facts.drops);
        self.scores.extend(facts.scores);
        fault.map_or(Ok(()), Err)
    }

    /// Takes the place of a batch that did not verify, so that its numbers do not also count as missing.
    pub fn skip(&mut self, segment: &StoredSegment<'_>) {
        self.advance(segment, None);
    }

    fn advance(&mut self, segment: &StoredSegment<'_>, facts: Option<&SegmentFacts>) -> Option<&'static str> {
        if self.writer.as_ref().is_none_or(|state| state.writer != segment.writer) {
            self.close_writer();
            let writer = segment.writer.into();
            self.writer = Some(WriterState { writer, next_k: 0, next_n: 0, digest: None, closed: false });
        }
        let state = self.writer.as_mut()?;
        let mut fault = None;
        if segment.n > state.next_n {
            let (from, to) = (state.next_n, segment.n - 1);
            self.gaps.push(Missing { writer: state.writer.clone(), from, to });
        } else if segment.n < state.next_n {
            fault = Some("its numbers overlap those of the batch before it");
        }
        if let Some(facts) = facts {
            let chained = segment.k != state.next_k || state.digest.is_none() || facts.prev == state.digest;
            if !chained {
                fault = Some("it does not continue the batch before it");
            }
            state.closed = facts.closes;
        }
        state.next_k = segment.k + 1;
        state.next_n = state.next_n.max(segment.n + segment.count);
        state.digest = facts.map(|_| segment.digest);
        fault
    }

    fn close_writer(&mut self) {
        if let Some(state) = self.writer.take() {
            self.tail_unknown |= !state.closed;
        }
    }

    /// Ends the walk.
    pub fn finish(mut self) -> SequenceFacts {
        self.close_writer();
        let missing = self.gaps.iter().flat_map(|gap| subtract(gap, &self.drops)).collect();
        let Self { drops, tail_unknown, rollup, scores, .. } = self;
        SequenceFacts { missing, dropped: drops, tail_unknown, rollup, scores }
    }
}

/// What the whole walk found.
#[derive(Debug, Default)]
pub struct SequenceFacts {
    /// Numbers nothing accounts for.
    pub missing: Vec<Missing>,
    /// Numbers that drops account for.
    pub dropped: Vec<Dropped>,
    /// Whether a writer never said its last number.
    pub tail_unknown: bool,
    /// The roll-up of everything that verified.
    pub rollup: Rollup,
    /// The scores of everything that verified.
    pub scores: Vec<ScoreFacts>,
}

/// The parts of `gap` that no drop covers.
fn subtract(gap: &Missing, drops: &[Dropped]) -> Vec<Missing> {
    let mut parts = std::vec![(gap.from, gap.to)];
    for drop in drops.iter().filter(|drop| drop.writer == gap.writer) {
        parts = parts
            .into_iter()
            .flat_map(|(from, to)| {
                if drop.to < from || drop.from > to {
                    return [Some((from, to)), None];
                }
                let before = (drop.from > from).then(|| (from, drop.from - 1));
                let after = (drop.to < to).then(|| (drop.to + 1, to));
                [before, after]
            })
            .flatten()
            .collect();
    }
    parts.into_iter().map(|(from, to)| Missing { writer: gap.writer.clone(), from, to }).collect()
}
