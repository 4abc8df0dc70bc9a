//! Work in the background, in slices that fit one invocation: every run does a little of each, so that no
//! kind starves another, and a run that is cut off is taken up by the next.

use super::{jobs, sweep};
use crate::audit;
use crate::failure::{Doing, Failure, Outcome};
use crate::projects::store;
use crate::storage::deletion;
use serde_json::json;
use stepseal_protocol::administration::TOMBSTONE_LIFE_MS;
use stepseal_protocol::audit::{Action, Note};
use stepseal_protocol::ids::ProjectId;
use stepseal_protocol::ingest::admission::Project;
use worker::{Env, query};

const DELETIONS: u32 = 4;
const BODIES: u32 = 200;
const PROJECTS: u32 = 10;
const EXPIRED: u32 = 50;
/// A start dated further ahead than this is a wrong clock's, in milliseconds.
const FUTURE_MS: u64 = 86_400_000;
const DAY_MS: u64 = 86_400_000;

/// One run. A chore that fails is logged and does not keep the others from running.
pub(crate) async fn run(env: &Env, now: u64) {
    log("deletions", advance_deletions(env, now).await);
    log("retention", apply_retention(env, now).await);
    log("discarded bodies", deletion::clear_discarded(env, BODIES).await.map(|_| ()));
    log("orphaned bodies", sweep::run(env, now).await);
    log("tombstones", purge_tombstones(env, now).await);
}

fn log(chore: &str, outcome: Outcome<()>) {
    if let Err(Failure::Fault(fault)) = outcome {
        worker::console_error!("fault chore=\"{chore}\" doing=\"{}\" cause=\"{}\"", fault.doing, fault.cause);
    }
}

async fn advance_deletions(env: &Env, now: u64) -> Outcome<()> {
    for mut job in jobs::open(env, DELETIONS).await? {
        jobs::advance(env, &mut job, now).await?;
    }
    Ok(())
}

/// Goes round the projects, a few a run.
async fn apply_retention(env: &Env, now: u64) -> Outcome<()> {
    let after = state(env, "retention").await?.unwrap_or_default();
    let projects = store::list(env, &after, PROJECTS).await?;
    for project in &projects {
        apply_to(env, project, now).await?;
    }
    let last = projects.last().filter(|_| projects.len() == PROJECTS as usize);
    set_state(env, "retention", last.map_or("", |project| project.id.as_str())).await
}

async fn apply_to(env: &Env, project: &Project, now: u64) -> Outcome<()> {
    let Some(cutoff) = project.retention_cutoff(now) else { return Ok(()) };
    let ids = deletion::expired(env, &project.id, cutoff, now + FUTURE_MS, EXPIRED).await?;
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

/// Once a day: tombstones are not indexed by time.
async fn purge_tombstones(env: &Env, now: u64) -> Outcome<()> {
    let today = (now / DAY_MS).to_string();
    if state(env, "tombstones").await?.as_deref() == Some(today.as_str()) {
        return Ok(());
    }
    deletion::purge_tombstones(env, now.saturating_sub(TOMBSTONE_LIFE_MS)).await?;
    set_state(env, "tombstones", &today).await
}

/// How far a chore has come.
pub(super) async fn state(env: &Env, name: &str) -> Outcome<Option<String>> {
    let doing = "reading a chore's state";
    let database = env.d1("DB").doing(doing)?;
    let statement = query!(&database, include_str!("read_chore.sql"), name).doing(doing)?;
    Ok(statement.first::<String>(Some("state")).await.storing(doing)?)
}

pub(super) async fn set_state(env: &Env, name: &str, state: &str) -> Outcome<()> {
    let doing = "writing a chore's state";
    let database = env.d1("DB").doing(doing)?;
    let statement = query!(&database, include_str!("write_chore.sql"), name, state).doing(doing)?;
    statement.run().await.storing(doing)?;
    Ok(())
}
