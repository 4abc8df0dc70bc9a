//! Executions whose retention is over: round the projects, a few of each a slice.

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

/// The next projects of the round. Gives those that have more to delete.
pub(super) async fn run(env: &Env, now: u64) -> Outcome<Vec<Project>> {
    let after = progress::read(env, CHORE).await?.unwrap_or_default();
    let projects = store::list(env, &after, PROJECTS).await?;
    let last = projects.last().filter(|_| projects.len() == PROJECTS as usize);
    let reached = last.map_or(String::new(), |project| project.id.clone());
    let behind = apply(env, projects, now).await?;
    progress::write(env, CHORE, &reached).await?;
    Ok(behind)
}

/// A slice of each project. Gives those that have more to delete.
pub(super) async fn apply(env: &Env, projects: Vec<Project>, now: u64) -> Outcome<Vec<Project>> {
    let mut behind = Vec::new();
    for project in projects {
        if apply_to(env, &project, now).await? {
            behind.push(project);
        }
    }
    Ok(behind)
}

async fn apply_to(env: &Env, project: &Project, now: u64) -> Outcome<bool> {
    let Some(cutoff) = project.retention_cutoff(now) else { return Ok(false) };
    let ids = deletion::expired(env, &project.id, cutoff, now + FUTURE_MS, EXECUTIONS).await?;
    if ids.is_empty() {
        return Ok(false);
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
    deletion::delete_executions(env, &project.id, &ids, now).await?;
    Ok(ids.len() == EXECUTIONS as usize)
}
