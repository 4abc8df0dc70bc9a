//! Batches of authenticated senders that were refused. A sender that goes on is one entry a minute and
//! isolate, with the number of repeats before it: otherwise it could fill the log.

use super::{append, note_of, recent::Recent};
use crate::call::Call;
use serde_json::json;
use std::cell::RefCell;
use stepseal_protocol::audit::Action;
use stepseal_protocol::envelope::Verified;
use stepseal_protocol::problem::{Code, Problem};

const SAME_REJECTION_MS: u64 = 60_000;

thread_local! {
    static REJECTIONS: RefCell<Recent> = RefCell::new(Recent::default());
}

/// Notes why a verified batch was refused, after the reply.
pub(crate) fn note(call: &Call, batch: &Verified<'_>, problem: &Problem) {
    // Without a project there is no log to write to.
    if problem.code == Code::ProjectUnknown {
        return;
    }
    let session = batch.claims().map_or("", |claims| claims.sid.as_str());
    let key = match problem.code {
        // These meet every sender of a project at once.
        Code::RateLimited | Code::ProjectPaused => format!("{} {}", batch.project(), problem.code.as_str()),
        _ => format!("{} {} {session}", batch.project(), problem.code.as_str()),
    };
    if REJECTIONS.with_borrow_mut(|recent| recent.repeat(&key, call.now)) {
        return;
    }
    let repeats = REJECTIONS.with_borrow_mut(|recent| recent.note(key, call.now, SAME_REJECTION_MS));
    let actor =
        if session.is_empty() { format!("server:{}", batch.kid()) } else { format!("session:{session}") };
    let details = json!({
        "subject": batch.claims().map(|claims| claims.sub.as_str()),
        "batch_id": batch.batch_id().as_str(),
        "earlier_repeats": repeats,
    });
    let note = note_of(call.now, &actor, Action::SenderReject, problem.code.as_str(), details);
    let (env, project) = (call.env.clone(), *batch.project());
    call.context.wait_until(async move {
        if let Err(failure) = append(&env, &project, note).await {
            worker::console_error!("fault doing=\"noting a rejection\" cause=\"{failure:?}\"");
        }
    });
}
