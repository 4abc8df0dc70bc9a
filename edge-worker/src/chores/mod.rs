//! Work in the background, in slices that fit one invocation: every run does a little of each, so that no
//! kind starves another, and then more of what is to be deleted. A run that is cut off is taken up by the next.

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
use stepseal_protocol::ingest::admission::Project;
use worker::{Date, Env};

const DELETIONS: u32 = 4;
const BODIES: u32 = 200;
/// How often a run goes on with what is to be deleted, and with bodies, and until when: the platform allows 1,000 operations on D1 and
/// as many on KV.
const ROUNDS_MAX: u32 = 30;
const BODY_ROUNDS_MAX: u32 = 3;
const TIME_MAX_MS: u64 = 20_000;

/// One run. A chore that fails is logged and does not keep the others from running.
pub(crate) async fn run(env: &Env, now: u64) {
    let deletions = log("deletions", advance_open(env, DELETIONS, now).await);
    log("checkpoints", checkpoints::run(env, now).await);
    log("abandonment", abandonment::run(env, now).await);
    let expired = log("retention", retention::run(env, now).await);
    let bodies = log("discarded bodies", clear_bodies(env).await);
    log("orphaned bodies", sweep::run(env, now).await);
    log("tombstones", tombstones::run(env, now).await);
    log("resealing", reseal::run(env).await);
    log("texts", texts::run(env).await);
    Left { deletions, expired, bodies }.go_on(env, now).await;
}

/// What is to be deleted and did not fit a slice: it must not come in faster than it goes.
struct Left {
    deletions: bool,
    expired: Vec<Project>,
    bodies: bool,
}

impl Left {
    /// More slices of it, after everything else had its own.
    async fn go_on(&mut self, env: &Env, now: u64) {
        for round in 0..ROUNDS_MAX {
            let Self { deletions, expired, bodies } = self;
            let is_done = !*deletions && expired.is_empty() && !*bodies;
            if is_done || Date::now().as_millis() > now + TIME_MAX_MS {
                return;
            }
            if *deletions {
                *deletions = log("deletions", advance_open(env, DELETIONS, now).await);
            }
            *expired = log("retention", retention::apply(env, std::mem::take(expired), now).await);
            *bodies = round < BODY_ROUNDS_MAX && log("discarded bodies", clear_bodies(env).await);
        }
    }
}

async fn clear_bodies(env: &Env) -> Outcome<bool> {
    Ok(deletion::clear_discarded(env, BODIES).await? == BODIES as usize)
}

/// What a chore says; of one that fails, that nothing is left.
fn log<T: Default>(chore: &str, outcome: Outcome<T>) -> T {
    outcome.unwrap_or_else(|failure| {
        if let Failure::Fault(fault) = failure {
            worker::console_error!(
                "fault chore=\"{chore}\" doing=\"{}\" cause=\"{}\"",
                fault.doing,
                fault.cause
            );
        }
        T::default()
    })
}
