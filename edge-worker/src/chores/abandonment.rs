//! Executions that were silent for longer than their project allows are marked as abandoned: round the projects, a slice of
//! those that go on a run.

use super::progress;
use crate::failure::{Doing, Outcome};
use crate::projects::store;
use crate::storage::silence::{self, After};
use serde::{Deserialize, Serialize};
use stepseal_protocol::ingest::admission::Project;
use worker::Env;

const CHORE: &str = "abandonment";
const PROJECTS: u32 = 10;
const EXECUTIONS: u32 = 500;
/// What may go silent.
const STATUSES: [&str; 2] = ["running", "waiting"];

/// How far the round has come. A project with more than a slice of executions that go on keeps its place.
#[derive(Default, Serialize, Deserialize)]
struct Round {
    /// The project before the next.
    project: String,
    /// Within the next project, for each status.
    after: [After; 2],
}

pub(super) async fn run(env: &Env, now: u64) -> Outcome<()> {
    let doing = "marking abandoned executions";
    let stored = progress::read(env, CHORE).await?;
    let mut round: Round =
        stored.as_deref().map(serde_json::from_str).transpose().doing(doing)?.unwrap_or_default();
    let projects = store::list(env, &round.project, PROJECTS).await?;
    for project in &projects {
        if !look_through(env, project, &mut round.after, now).await? {
            break;
        }
        round = Round { project: project.id.clone(), ..Round::default() };
    }
    if projects.len() < PROJECTS as usize && projects.last().is_none_or(|last| last.id == round.project) {
        round = Round::default();
    }
    progress::write(env, CHORE, &serde_json::to_string(&round).doing(doing)?).await
}

/// Looks a slice of a project's executions through, and says whether that was all of them.
async fn look_through(env: &Env, project: &Project, after: &mut [After; 2], now: u64) -> Outcome<bool> {
    let cutoff = project.silence_cutoff(now);
    let mut all = true;
    for (status, after) in STATUSES.into_iter().zip(after) {
        let found = silence::going_on(env, &project.id, status, cutoff, after, EXECUTIONS).await?;
        let silent: Vec<&str> =
            found.iter().filter(|row| row.is_silent()).map(|row| row.id.as_str()).collect();
        if !silent.is_empty() {
            silence::abandon(env, &project.id, &silent, cutoff).await?;
        }
        if let Some(last) = found.last().filter(|_| found.len() == EXECUTIONS as usize) {
            *after = After { started_at: last.started_at, id: last.id.clone() };
            all = false;
        }
    }
    Ok(all)
}
