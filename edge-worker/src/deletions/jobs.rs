//! Deletions that take more than one request: stored when ordered, advanced a slice at a time.

use crate::config::Secrets;
use crate::failure::{Doing, Outcome};
use crate::projects::{key_store, store};
use crate::storage::{deletion, log, prices, subject_keys};
use serde::Deserialize;
use serde_json::{Value, json};
use stepseal_protocol::administration::DeletionKind;
use stepseal_protocol::ids::ProjectId;
use worker::wasm_bindgen::JsValue;
use worker::{Env, query};

/// Executions that one slice deletes.
const SLICE: u32 = 25;

/// A row of `deletions`.
#[derive(Deserialize)]
pub(super) struct Deletion {
    pub(super) project_id: String,
    pub(super) id: String,
    pub(super) kind: DeletionKind,
    pub(super) value: String,
    pub(super) ordered_at: u64,
    pub(super) finished_at: Option<u64>,
    pub(super) executions: u64,
}

impl Deletion {
    pub(super) fn shown(&self) -> Value {
        json!({
            "id": self.id,
            "kind": self.kind,
            "ordered_at": self.ordered_at,
            "finished_at": self.finished_at,
            "executions": self.executions,
        })
    }
}

pub(super) async fn insert(env: &Env, job: &Deletion) -> Outcome<()> {
    let doing = "ordering a deletion";
    let database = env.d1("DB").doing(doing)?;
    let sql = include_str!("insert_deletion.sql");
    query!(&database, sql, job.project_id, job.id, job.kind.as_str(), job.value, job.ordered_at)
        .doing(doing)?
        .run()
        .await
        .storing(doing)?;
    Ok(())
}

pub(super) async fn list(env: &Env, project: &str) -> Outcome<Vec<Deletion>> {
    let doing = "listing deletions";
    let database = env.d1("DB").doing(doing)?;
    let statement = query!(&database, include_str!("list_deletions.sql"), project).doing(doing)?;
    Ok(statement.all().await.storing(doing)?.results().doing(doing)?)
}

/// Advances up to `most` deletions that are not finished. Says whether any has more to delete.
pub(crate) async fn advance_open(env: &Env, most: u32, now: u64) -> Outcome<bool> {
    let mut more = false;
    for mut job in open(env, most).await? {
        more |= advance(env, &mut job, now).await?;
    }
    Ok(more)
}

async fn open(env: &Env, most: u32) -> Outcome<Vec<Deletion>> {
    let doing = "listing open deletions";
    let database = env.d1("DB").doing(doing)?;
    let statement = query!(&database, include_str!("open_deletions.sql"), most).doing(doing)?;
    Ok(statement.all().await.storing(doing)?.results().doing(doing)?)
}

/// Deletes a slice, and says whether there may be more. Safe to repeat, and to run twice at once: what is gone already counts for
/// nothing.
pub(super) async fn advance(env: &Env, job: &mut Deletion, now: u64) -> Outcome<bool> {
    let project = job.project_id.as_str();
    let had_keys = destroy_keys(env, job).await?;
    let ids = match job.kind {
        DeletionKind::User => deletion::of_user(env, project, &job.value, SLICE).await?,
        DeletionKind::Subject => deletion::of_subject(env, project, &job.value, SLICE).await?,
        DeletionKind::Project => {
            key_store::end_all(env, project, now).await?;
            deletion::of_project(env, project, SLICE).await?
        }
    };
    let deleted = deletion::delete_executions(env, project, &ids, now).await? as u64;
    let nothing_left = ids.len() < SLICE as usize;
    if nothing_left && job.kind.is_done(job.ordered_at, now, had_keys) {
        if job.kind == DeletionKind::Project {
            purge_project_tombstones(env, project).await?;
            log::delete(env, project).await?;
            prices::delete(env, project).await?;
        }
        job.finished_at = Some(now);
    }
    job.executions += deleted;
    note_progress(env, job, deleted).await?;
    Ok(!nothing_left)
}

/// Keys of subjects go before anything else: with them the contents are gone wherever a copy of them lies. Whether
/// there were any, or may be where this place does not see them yet.
async fn destroy_keys(env: &Env, job: &Deletion) -> Outcome<bool> {
    let project = job.project_id.as_str();
    match job.kind {
        DeletionKind::User => Ok(false),
        DeletionKind::Project => Ok(subject_keys::destroy_all(env, project).await? > 0),
        DeletionKind::Subject => {
            let doing = "destroying a subject's keys";
            let id = ProjectId::parse(project).map_err(|_| "a stored project id").doing(doing)?;
            let tag = Secrets::of(env)?.oldest_root()?.subject_tag(&id, &job.value);
            let destroyed = subject_keys::destroy(env, project, tag).await?;
            let wanted = store::read(env, project).await?.is_some_and(|project| project.subject_keys);
            Ok(wanted || destroyed > 0)
        }
    }
}

async fn note_progress(env: &Env, job: &Deletion, deleted: u64) -> Outcome<()> {
    let doing = "noting a deletion's progress";
    let database = env.d1("DB").doing(doing)?;
    #[expect(clippy::cast_precision_loss, reason = "counts and times are below 2^53")]
    let number = |value: u64| JsValue::from_f64(value as f64);
    let values = [
        job.project_id.as_str().into(),
        job.id.as_str().into(),
        number(deleted),
        job.finished_at.map_or(JsValue::NULL, number),
    ];
    let statement = database.prepare(include_str!("advance_deletion.sql")).bind(&values).doing(doing)?;
    statement.run().await.storing(doing)?;
    Ok(())
}

/// The project itself refuses late batches; its tombstones have nothing left to do.
async fn purge_project_tombstones(env: &Env, project: &str) -> Outcome<()> {
    let doing = "purging a project's tombstones";
    let database = env.d1("DB").doing(doing)?;
    let statement = query!(&database, include_str!("purge_project_tombstones.sql"), project).doing(doing)?;
    statement.run().await.storing(doing)?;
    Ok(())
}
