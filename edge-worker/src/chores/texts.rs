//! Indexed words of projects that do not want them any more: round the projects, a slice of each a run.

use super::progress;
use crate::failure::Outcome;
use crate::projects::store;
use crate::storage::text;
use worker::Env;

const CHORE: &str = "texts";
const PROJECTS: u32 = 10;
const TEXTS: u32 = 200;

pub(super) async fn run(env: &Env) -> Outcome<()> {
    let after = progress::read(env, CHORE).await?.unwrap_or_default();
    let projects = store::list(env, &after, PROJECTS).await?;
    for project in &projects {
        text::drop_outdated(env, project, TEXTS).await?;
    }
    let last = projects.last().filter(|_| projects.len() == PROJECTS as usize);
    progress::write(env, CHORE, last.map_or("", |project| project.id.as_str())).await
}
