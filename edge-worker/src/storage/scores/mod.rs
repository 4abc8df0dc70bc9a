//! Scores: stored with the batch that brings them, or one by one for keys.

use super::labels::{self, Indexer, Sealed};
use super::statement::{Bind, bind};
use crate::failure::{Doing, Outcome};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stepseal_protocol::at_rest::labels::OpenLabels;
use stepseal_protocol::ids::ProjectId;
use stepseal_protocol::scores::{SCORES_OF_EXECUTION_MAX, ScoreFacts, StoredScore};
use worker::{D1Database, D1PreparedStatement, Env};

/// A row of `scores`.
#[derive(Deserialize)]
pub(crate) struct Score {
    id: String,
    name: String,
    kind: String,
    number: Option<f64>,
    text: Option<String>,
    step: Option<String>,
    comment: Option<String>,
    source: Option<String>,
    labels: String,
    comment_text: String,
    author: String,
    received_at: u64,
}

/// What came of storing a key's score.
pub(crate) enum Added {
    /// It is there now, or was: the row.
    There { score: Score, duplicate: bool },
    /// Its id stands for another one.
    Conflict,
    /// It is not there, because the execution is not, or keys scored it as often as they may.
    Refused,
}

impl Score {
    /// As the protocol has it.
    pub(crate) fn stored(&self) -> StoredScore {
        StoredScore {
            id: self.id.clone(),
            name: self.name.clone(),
            kind: self.kind.clone(),
            number: self.number,
            text: self.text.clone(),
            step: self.step.clone(),
            comment: self.comment.clone(),
            source: self.source.clone(),
        }
    }

    /// As the API shows it.
    pub(crate) fn shown(&self, labels: &OpenLabels) -> Value {
        let mut shown = self.stored().shown(labels);
        shown["author"] = self.author.as_str().into();
        shown["received_at"] = self.received_at.into();
        shown
    }
}

/// A score on its way into the store.
#[derive(Serialize)]
pub(crate) struct SealedScore {
    #[serde(flatten)]
    stored: StoredScore,
    labels: String,
    comment_text: String,
}

impl SealedScore {
    /// Of an execution's score.
    pub(crate) fn of(score: &ScoreFacts, execution: &str, indexer: &Indexer) -> Self {
        let mut sealed = Sealed::default();
        let stored = score.indexed(execution, &mut indexer.keeping(&mut sealed));
        Self { stored, labels: sealed.labels.to_json(), comment_text: sealed.comment.to_json() }
    }
}

/// What scores say.
pub(crate) async fn labels(env: &Env, project: &ProjectId, scores: &[Score]) -> Outcome<OpenLabels> {
    let sealed = scores.iter().flat_map(|score| [score.labels.as_str(), &score.comment_text]);
    labels::open(env, project, sealed).await
}

/// Where a batch's scores belong, and the attempt that stores them.
pub(super) struct OfBatch<'a> {
    pub(super) project: &'a str,
    pub(super) execution: &'a str,
    pub(super) writer: &'a str,
    pub(super) k: u64,
    pub(super) attempt: &'a str,
    pub(super) received_at: u64,
}

/// The statement that stores a batch's scores.
pub(super) fn insert(
    database: &D1Database,
    of: &OfBatch<'_>,
    scores: &[SealedScore],
) -> Outcome<D1PreparedStatement> {
    let doing = "binding scores";
    let scores = serde_json::to_string(scores).doing(doing)?;
    let values = [
        Bind::Text(of.project),
        Bind::Text(of.execution),
        Bind::Text(of.writer),
        Bind::Number(of.k),
        Bind::Text(&scores),
        Bind::Text(of.attempt),
        Bind::Number(of.received_at),
    ];
    Ok(bind(database, include_str!("insert_of_batch.sql"), &values).doing(doing)?)
}

/// Stores a key's score.
pub(crate) async fn add(
    env: &Env,
    project: &str,
    execution: &str,
    score: &SealedScore,
    author: &str,
    now: u64,
) -> Outcome<Added> {
    let doing = "storing a score";
    let database = env.d1("DB").doing(doing)?;
    let text = serde_json::to_string(score).doing(doing)?;
    let values = [
        Bind::Text(project),
        Bind::Text(execution),
        Bind::Text(&text),
        Bind::Text(author),
        Bind::Number(now),
        Bind::Number(SCORES_OF_EXECUTION_MAX),
    ];
    let inserted = bind(&database, include_str!("insert.sql"), &values).doing(doing)?.all().await;
    let inserted = !inserted.storing(doing)?.results::<Value>().doing(doing)?.is_empty();
    let values = [Bind::Text(project), Bind::Text(execution), Bind::Text(&score.stored.id)];
    Ok(match read(env, include_str!("one.sql"), &values).await?.pop() {
        Some(found) if found.stored() == score.stored => Added::There { score: found, duplicate: !inserted },
        Some(_) => Added::Conflict,
        None => Added::Refused,
    })
}

/// Up to `most` scores of an execution, newest first.
pub(crate) async fn newest(env: &Env, project: &str, execution: &str, most: u32) -> Outcome<Vec<Score>> {
    let values = [Bind::Text(project), Bind::Text(execution), Bind::Number(most.into())];
    read(env, include_str!("page.sql"), &values).await
}

/// The scores of an execution that its batches brought.
pub(crate) async fn of_sessions(env: &Env, project: &str, execution: &str) -> Outcome<Vec<Score>> {
    read(env, include_str!("of_sessions.sql"), &[Bind::Text(project), Bind::Text(execution)]).await
}

async fn read(env: &Env, sql: &str, values: &[Bind<'_>]) -> Outcome<Vec<Score>> {
    let doing = "reading scores";
    let database = env.d1("DB").doing(doing)?;
    let found = bind(&database, sql, values).doing(doing)?.all().await.storing(doing)?;
    Ok(found.results().doing(doing)?)
}
