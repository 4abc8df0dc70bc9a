//! `POST …/import`: a slice of an export's lines. Every line is stored or not, by itself, and the reply says which and why not.
//!
//! A batch is taken on its MAC, or, where this deployment does not hold the root it was signed under, on the attestation of a log
//! whose key the administrator names. Time windows, origins, deny-lists and retired generations do not matter: it was admitted once.
//! The project's limits and its budget do.

use crate::access::Administrator;
use crate::audit;
use crate::call::Call;
use crate::config::Secrets;
use crate::failure::{Failure, Fault, Outcome};
use crate::ingest::fair_limit::{self, Spender};
use crate::live::announce;
use crate::projects::store;
use crate::request::{read_body, url};
use crate::respond::Reply;
use crate::storage::commit::{Commit, NewSegment, commit};
use crate::storage::text;
use crate::transparency::signer::Signer;
use serde_json::{Value, json};
use std::rc::Rc;
use stepseal_protocol::audit::Action;
use stepseal_protocol::batch::{Batch, inflate};
use stepseal_protocol::encoding::base64url_encode;
use stepseal_protocol::envelope::{Unverified, Verified};
use stepseal_protocol::ingest::admission::{Author, Project, ProjectStatus};
use stepseal_protocol::ingest::budget::Usage;
use stepseal_protocol::ledger::{DUPLICATE, STORED};
use stepseal_protocol::limits::WINDOW_S;
use stepseal_protocol::problem::{Code, Problem};
use stepseal_protocol::rollup::Rollup;
use stepseal_protocol::transfer::{
    BatchLine, IMPORT_BYTES_MAX, IMPORT_LINES_MAX, ImportQuery, ImportRecord, Line, NO_BATCH,
};
use stepseal_protocol::transparency::VerifierKey;
use worker::Request;

/// Imports up to eight lines.
pub(crate) async fn import(request: &mut Request, call: &Call, admin: &Administrator) -> Outcome<Reply> {
    let query = ImportQuery::parse(url(request)?.query_pairs())?;
    let bytes = read_body(request, IMPORT_BYTES_MAX).await?;
    let lines = slice(&bytes)?;
    let project = store::project(call, &admin.project).await?.ok_or_else(store::absent)?;
    refuse_inactive(&project)?;
    Spender::of_import(&project).spend_bytes(call, bytes.len() as u64).await?;
    let importer = Importer { call, admin, project, key: query.key };
    let mut counts = Counts::default();
    let results = importer.take_all(&lines, &mut counts).await;
    // Noted even where a limit or a fault of ours ended the request: what stands before is stored.
    if counts.stored > 0 {
        announce::stored(call, &admin.project);
    }
    if counts.stored + counts.refused > 0 {
        let details =
            json!({ "stored": counts.stored, "duplicate": counts.duplicate, "refused": counts.refused });
        audit::note(call, admin, Action::ProjectImport, "", details).await?;
    }
    Reply::ok(&json!({
        "stored": counts.stored, "duplicate": counts.duplicate, "skipped": counts.skipped, "refused": counts.refused,
        "results": results?,
    }))
}

/// The lines of a request.
fn slice(bytes: &[u8]) -> Outcome<Vec<&str>> {
    let malformed = |detail: String| Problem::new(Code::RequestMalformed, detail);
    let text = std::str::from_utf8(bytes).map_err(|fault| {
        let line = bytes[..fault.valid_up_to()].split(|byte| *byte == b'\n').count() as u64;
        malformed(format!("Byte {} is not UTF-8.", fault.valid_up_to())).at_line(line)
    })?;
    let lines: Vec<&str> = text.strip_suffix('\n').unwrap_or(text).split('\n').collect();
    if text.is_empty() {
        return Err(malformed("The body is empty; send lines of an export.".into()).into());
    }
    if lines.len() > IMPORT_LINES_MAX {
        let detail =
            format!("A request imports at most {IMPORT_LINES_MAX} lines; send the rest in further ones.");
        return Err(malformed(detail).at_line(IMPORT_LINES_MAX as u64 + 1).into());
    }
    Ok(lines)
}

fn refuse_inactive(project: &Project) -> Outcome<()> {
    match project.status {
        ProjectStatus::Active => Ok(()),
        ProjectStatus::Paused => {
            Err(Problem::new(Code::ProjectPaused, "The project takes nothing at the moment.").into())
        }
        ProjectStatus::Deleted => Err(store::absent().into()),
    }
}

#[derive(Default)]
struct Counts {
    stored: u64,
    duplicate: u64,
    skipped: u64,
    refused: u64,
}

/// What the lines of a request have in common.
struct Importer<'a> {
    call: &'a Call,
    admin: &'a Administrator,
    project: Rc<Project>,
    /// The key that attestations may be under.
    key: Option<VerifierKey>,
}

/// A batch that may be taken, and on whose word.
struct Vouched<'a> {
    batch: Verified<'a>,
    record: ImportRecord,
}

impl Importer<'_> {
    async fn take_all(&self, lines: &[&str], counts: &mut Counts) -> Outcome<Vec<Value>> {
        let mut results = Vec::new();
        for (number, line) in (1_u64..).zip(lines) {
            let mut result = self.take(line, counts).await?;
            result["line"] = number.into();
            results.push(result);
        }
        Ok(results)
    }

    /// Takes a line, and says what came of it. Limits and faults of ours end the request: what stands before is stored, and
    /// sending the slice again changes nothing.
    async fn take(&self, text: &str, counts: &mut Counts) -> Outcome<Value> {
        let (x, outcome) = match Line::parse(text) {
            Err(problem) => (json!({}), Err(problem.into())),
            Ok(Line::NoBatch) => {
                counts.skipped += 1;
                return Ok(json!({ "line": 0, "code": NO_BATCH }));
            }
            Ok(Line::Batch { line, signature, key }) => {
                let named = json!({ "execution": line.execution.as_str(), "writer": line.writer.as_str(), "k": line.k });
                (named, self.take_batch(&line, signature, key.as_deref()).await)
            }
        };
        let mut result = json!({ "line": 0 });
        let members = match outcome {
            Ok(Commit::Stored { .. }) => {
                counts.stored += 1;
                json!({ "code": STORED })
            }
            Ok(Commit::Duplicate { .. }) => {
                counts.duplicate += 1;
                json!({ "code": DUPLICATE })
            }
            other => {
                let problem = refusal(other)?;
                counts.refused += 1;
                json!({ "code": problem.code.as_str(), "detail": problem.detail, "field": problem.field })
            }
        };
        for (name, value) in [members, x].iter().filter_map(Value::as_object).flatten() {
            if !value.is_null() {
                result[name] = value.clone();
            }
        }
        Ok(result)
    }

    async fn take_batch(
        &self,
        line: &BatchLine,
        signature: Option<[u8; 64]>,
        key: Option<&str>,
    ) -> Outcome<Commit> {
        let absent = || {
            Problem::new(
                Code::BodyAbsent,
                "The batch had no readable content when it was exported, so there is nothing to import.",
            )
        };
        let body = line.body.as_deref().ok_or_else(absent)?;
        let frame = Unverified::from_stored(&line.envelope, body)?;
        let Vouched { batch, record } = self.vouch(line, frame, signature, key).await?;
        self.refuse_expired(line)?;
        let ndjson = inflate(batch.body())?;
        let parsed = Batch::parse(&ndjson)?;
        refuse_unlike(line, &parsed)?;
        let author = owner_checked(line, Author::of(&batch, &parsed.header)?)?;
        Spender::of_import(&self.project).spend_steps(self.call, parsed.count()).await?;
        let rollup = Rollup::priced(&parsed, &self.project.prices);
        let used = Usage {
            steps: parsed.count(),
            bytes: batch.body().len() as u64,
            cost_nano_usd: rollup.cost_nano_usd,
        };
        let segment = NewSegment {
            project: self.admin.project,
            batch: &batch,
            parsed: &parsed,
            author: &author,
            owner: &line.subject,
            received_at: line.received_at,
            under_subject_key: self.project.subject_keys,
            tokens: text::tokens(&self.call.env, &self.project)?,
            import: Some(&record),
        };
        let commit = commit(self.call, &segment, rollup).await?;
        if matches!(commit, Commit::Stored { .. }) {
            self.charge(used);
        }
        Ok(commit)
    }

    /// Proves that the batch is what somebody signed: by its MAC, or by the attestation of the log it comes from.
    async fn vouch<'b>(
        &self,
        line: &BatchLine,
        frame: Unverified<'b>,
        signature: Option<[u8; 64]>,
        key: Option<&str>,
    ) -> Outcome<Vouched<'b>> {
        let record = |key: Option<String>, attestation: Option<String>| ImportRecord {
            at: self.call.now,
            actor: self.admin.actor.clone(),
            key,
            attestation,
        };
        let root = Secrets::of(&self.call.env)?.root(frame.kid().root_name());
        let unheld = root.is_none();
        if let Some(root) = root
            && let Ok(batch) = frame.clone().verify(&root.project_secret(frame.project(), frame.kid()))
        {
            refuse_misdated(line, &batch, self.call.now)?;
            return Ok(Vouched { batch, record: record(None, None) });
        }
        let Some(trusted) = &self.key else { return Err(unproven(unheld).into()) };
        if key.is_some_and(|key| key != trusted.to_text()) {
            let detail = "The line is attested by another log than the one whose key was given, because it was imported there \
                          itself. Import it with the key that stands in the line.";
            return Err(Problem::new(Code::KeyUnknown, detail).of_field("key").into());
        }
        let signature = signature.ok_or_else(|| {
            Problem::new(Code::SignatureInvalid, "The line has no attestation.").of_field("attestation")
        })?;
        let attestation = line.attestation(trusted.clone(), signature);
        let holds = Signer::holds(&attestation.key, &attestation.text, &signature).await?;
        let attested = attestation.confirmed(holds)?;
        Ok(Vouched {
            batch: frame.attested(&attested),
            record: record(Some(trusted.to_text()), Some(base64url_encode(&signature))),
        })
    }

    /// Retention counts from when something was received: what is older would be gone within minutes.
    fn refuse_expired(&self, line: &BatchLine) -> Outcome<()> {
        match self.project.retention_cutoff(self.call.now) {
            Some(cutoff) if line.received_at < cutoff => Err(Problem::new(
                Code::RetentionOver,
                format!(
                    "The batch was received more than {} days ago, so the project's retention would delete it at once. Raise \
                     `retention_days` first.",
                    self.project.retention_days
                ),
            )
            .of_field("received_at")
            .into()),
            _ => Ok(()),
        }
    }

    fn charge(&self, used: Usage) {
        fair_limit::charge(&self.project.id, used);
        let mut counted = self.call.counted.borrow_mut();
        let sum = counted.stored.map_or(used, |(sum, _)| sum.plus(used));
        counted.stored = Some((sum, self.project.budget));
    }
}

/// What a line is refused for; limits and faults of ours end the request instead.
fn refusal(outcome: Outcome<Commit>) -> Outcome<Problem> {
    let conflict = "Another batch is stored under this execution, writer and k. What is stored stays.";
    match outcome {
        Ok(Commit::Deleted) => Ok(Problem::new(
            Code::ExecutionDeleted,
            "The execution was deleted here, and is not brought back.",
        )),
        Ok(Commit::OtherSubject) => {
            Ok(Problem::new(Code::SubjectMismatch, "The execution belongs to another subject here."))
        }
        Ok(Commit::Conflict(_)) => Ok(Problem::new(Code::BatchConflict, conflict)),
        Ok(Commit::Stored { .. } | Commit::Duplicate { .. }) => {
            Err(Fault::internal("naming a refusal", "the batch was stored").into())
        }
        Err(Failure::Refused(refusal)) if refusal.problem.code.status() != 429 => Ok(refusal.problem),
        Err(failure) => Err(failure),
    }
}

fn unproven(unheld: bool) -> Problem {
    let give = "Give the verifier key of the log it was exported from as `key`, to import it on that log's attestation.";
    if unheld {
        return Problem::new(
            Code::KeyUnknown,
            format!("This server holds no root for the key id that the batch names. {give}"),
        );
    }
    Problem::new(
        Code::SignatureInvalid,
        format!(
            "The signature does not match under this server's key of that name: the line was altered, or comes from a \
                 deployment with another root. {give}"
        ),
    )
}

/// A MAC does not cover when the batch was received, but the time of the attempt, which was within the window.
fn refuse_misdated(line: &BatchLine, batch: &Verified<'_>, now: u64) -> Outcome<()> {
    let seconds = line.received_at / 1_000;
    if seconds.abs_diff(batch.ts()) <= WINDOW_S + 1 && line.received_at <= now {
        return Ok(());
    }
    let detail = "`received_at` is not the time at which this batch can have been received. The line was altered: export it again.";
    Err(Problem::new(Code::LineMalformed, detail).of_field("received_at").into())
}

/// What stands beside the signed bytes must be what they say.
fn refuse_unlike(line: &BatchLine, parsed: &Batch<'_>) -> Outcome<()> {
    let header = &parsed.header;
    let other = [
        ("x", header.execution != line.execution),
        ("w", header.writer != line.writer),
        ("k", header.k != line.k),
        ("sha256", parsed.digest.to_hex() != line.sha256),
    ];
    match other.iter().find(|(_, differs)| *differs) {
        None => Ok(()),
        Some((field, _)) => Err(Problem::new(
            Code::LineMalformed,
            format!("`{field}` is not what the signed batch says. The line was altered: export it again."),
        )
        .of_field(*field)
        .into()),
    }
}

/// The author, if the line says the same of it: who vouches for it, and that the execution's owner is one of its subjects.
fn owner_checked(line: &BatchLine, author: Author) -> Outcome<Author> {
    if author.provenance.as_str() != line.provenance {
        let detail = "`provenance` is not what the signed batch says. The line was altered: export it again.";
        return Err(Problem::new(Code::LineMalformed, detail).of_field("provenance").into());
    }
    if !author.subjects().any(|subject| subject == line.subject) {
        let detail = "`subject`, the execution's owner, is none of those who may write the batch. The line was altered: export it again.";
        return Err(Problem::new(Code::LineMalformed, detail).of_field("subject").into());
    }
    Ok(author)
}
