//! Bodies in KV whose commit never came: the worker died between the two writes. A page of keys a run, and
//! round again; what is older than a day and named by no row is removed.

use super::progress;
use crate::failure::Outcome;
use crate::storage::bodies;
use worker::Env;

const CHORE: &str = "orphaned bodies";
const PAGE: u64 = 100;
/// A commit is over by then, however slow.
const AGE_MS: u64 = 86_400_000;

pub(super) async fn run(env: &Env, now: u64) -> Outcome<()> {
    let cursor = progress::read(env, CHORE).await?.filter(|cursor| !cursor.is_empty());
    let page = bodies::list(env, cursor, PAGE).await?;
    let old: Vec<_> = page.bodies.into_iter().filter(|body| body.written_at + AGE_MS < now).collect();
    for key in bodies::orphaned(env, &old).await? {
        bodies::delete(env, &key).await?;
    }
    progress::write(env, CHORE, page.cursor.as_deref().unwrap_or_default()).await
}
