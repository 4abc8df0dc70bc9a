//! Tombstones that have stood long enough. Once a day, because they are not indexed by time.

use super::progress;
use crate::failure::Outcome;
use crate::storage::deletion;
use stepseal_protocol::administration::TOMBSTONE_LIFE_MS;
use worker::Env;

const CHORE: &str = "tombstones";
const DAY_MS: u64 = 86_400_000;

pub(super) async fn run(env: &Env, now: u64) -> Outcome<()> {
    let today = (now / DAY_MS).to_string();
    if progress::read(env, CHORE).await?.as_deref() == Some(today.as_str()) {
        return Ok(());
    }
    deletion::purge_tombstones(env, now.saturating_sub(TOMBSTONE_LIFE_MS)).await?;
    progress::write(env, CHORE, &today).await
}
