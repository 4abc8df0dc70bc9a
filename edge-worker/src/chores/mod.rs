//! Work in the background, in slices that fit one invocation: every run does a little of each, so that no
//! kind starves another, and a run that is cut off is taken up by the next.

mod abandonment;
mod checkpoints;
mod progress;
mod reseal;
mod retention;
mod sweep;
mod texts;
mod tombstones;

use crate::deletions::advance_open;
use crate::failure::{Failure, Outcome};
use crate::storage::deletion;
use worker::Env;

const DELETIONS: u32 = 4;
const BODIES: u32 = 200;

/// One run. A chore that fails is logged and does not keep the others from running.
pub(crate) async fn run(env: &Env, now: u64) {
    log("deletions", advance_open(env, DELETIONS, now).await);
    log("checkpoints", checkpoints::run(env, now).await);
    log("abandonment", abandonment::run(env, now).await);
    log("retention", retention::run(env, now).await);
    log("discarded bodies", deletion::clear_discarded(env, BODIES).await.map(|_| ()));
    log("orphaned bodies", sweep::run(env, now).await);
    log("tombstones", tombstones::run(env, now).await);
    log("resealing", reseal::run(env).await);
    log("texts", texts::run(env).await);
}

fn log(chore: &str, outcome: Outcome<()>) {
    if let Err(Failure::Fault(fault)) = outcome {
        worker::console_error!("fault chore=\"{chore}\" doing=\"{}\" cause=\"{}\"", fault.doing, fault.cause);
    }
}
