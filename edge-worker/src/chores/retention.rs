//! Executions whose retention is over: round the projects, a few a run.

use super::progress;
use crate::audit;
use crate::failure::{Doing, Outcome};
use crate::projects::store;
use crate::storage::deletion;
use serde_json::json;
use stepseal_protocol::audit::{Action, Note};
use stepseal_protocol::ids::ProjectId;
use stepseal_protocol::ingest::admission::Project;
use worker::Env;

const CHORE: &str = "retention";
const PROJECTS: u32 = 10;
const EXECUTIONS: u32 = 50;
/// A start dated further ahead than this is a wrong clock's, in milliseconds.
const FUTURE_MS: u64 = 86_400_000;

pub(super) async fn run(env: &Env, now: u64) -> Outcome<()> {
    let after = progress::read(env, CHORE).await?.unwrap_or_default();
    let projects = store::list(env, &after, PROJECTS).await?;
    for project in &projects {
        apply_to(env, project, now).await?;
    }
    let last = projects.last().filter(|_| projects.len() == PROJECTS as usize);
    progress::write(env, CHORE, last.map_or("", |project| project.id.as_str())).await
}

async fn apply_to(env: &Env, project: &Project, now: u64) -> Outcome<()> {
    let Some(cutoff) = project.retention_cutoff(now) else { return Ok(()) };
    let ids = deletion::expired(env, &project.id, cutoff, now + FUTURE_MS, EXECUTIONS).await?;
    if ids.is_empty() {
        return Ok(());
    }
    let id = ProjectId::parse(&project.id).map_err(|_| "a stored project id").doing("applying retention")?;
    let note = Note {
        at: now,
        actor: "system".into(),
        action: Action::RetentionApply.as_str().into(),
        target: String::new(),
        details: json!({ "executions": ids.len(), "days": project.retention_days }),
    };
    audit::append(env, &id, note).await?;
    deletion::delete_executions(env, &project.id, &ids, now).await.map(|_| ())
}
