//! Telling a project's feed that its log grew, after the reply to the sender.

use super::feed_of;
use crate::call::Call;
use crate::failure::{Doing, Failure, Outcome};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::HashMap;
use stepseal_protocol::ids::ProjectId;
use worker::Env;

/// For how long a feed without readers is left alone, in milliseconds. A feed asks the log by itself for longer than
/// this after its first reader came.
pub(super) const QUIET_MS: u64 = 5_000;
/// Projects at which the memory is dropped: a bound, not a policy.
const PROJECTS_MAX: usize = 4_096;

thread_local! {
    /// Until when each project's feed is left alone, Unix ms.
    static QUIET: RefCell<HashMap<String, u64>> = RefCell::new(HashMap::new());
}

/// What a feed says to an announcement.
#[derive(Serialize, Deserialize)]
pub(super) struct Audience {
    pub(super) readers: usize,
}

/// Announces that a batch was stored. Readers miss nothing if this is lost: feeds with readers look by themselves too.
pub(crate) fn stored(call: &Call, project: &ProjectId) {
    let project = project.to_string();
    let now = call.now;
    if QUIET.with_borrow(|quiet| quiet.get(&project).is_some_and(|until| now < *until)) {
        return;
    }
    let env = call.env.clone();
    call.context.wait_until(async move {
        match tell(&env, &project).await {
            Ok(Audience { readers: 0 }) => QUIET.with_borrow_mut(|quiet| {
                if quiet.len() >= PROJECTS_MAX {
                    quiet.clear();
                }
                quiet.insert(project, now + QUIET_MS);
            }),
            Err(Failure::Fault(fault)) => {
                worker::console_warn!("no announcement: {} ({})", fault.doing, fault.cause);
            }
            Ok(_) | Err(Failure::Refused(_)) => {}
        }
    });
}

async fn tell(env: &Env, project: &str) -> Outcome<Audience> {
    let doing = "announcing a batch";
    let mut answer = feed_of(env, project)?.fetch_with_str("https://feed/announce").await.storing(doing)?;
    Ok(answer.json().await.doing(doing)?)
}
