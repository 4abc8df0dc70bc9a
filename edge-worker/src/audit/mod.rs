//! The audit log of a project. One Durable Object a project ([`log`]) is the only writer of its chain;
//! what a chain is and what breaks it is decided in `stepseal_protocol::audit`.
//!
//! Reads of contents and deletions are noted before they are done, and not done if they cannot be noted.
//! Changes are noted once they hold.

pub(crate) mod log;
pub(crate) mod rejections;
mod routes;

pub(crate) use routes::{list, verify};

use crate::access::{Administrator, Reader};
use crate::call::Call;
use crate::failure::{Doing, Outcome};
use log::{Answer, Ask};
use recent::Recent;
use serde_json::Value;
use std::cell::RefCell;
use stepseal_protocol::audit::{Action, Note};
use stepseal_protocol::ids::ProjectId;
use worker::{Env, Headers, Method, Request, RequestInit};

mod recent;

/// Repeats of one read within this time are one entry, in milliseconds: a dashboard that refreshes itself
/// reads once.
const SAME_READ_MS: u64 = 60_000;

thread_local! {
    static READS: RefCell<Recent> = RefCell::new(Recent::default());
}

/// Notes what an administrator did.
pub(crate) async fn note(
    call: &Call,
    admin: &Administrator,
    action: Action,
    target: &str,
    details: Value,
) -> Outcome<()> {
    append(&call.env, &admin.project, note_of(call.now, &admin.actor, action, target, details)).await
}

/// Notes what anybody else did.
pub(crate) async fn note_by(
    call: &Call,
    project: &ProjectId,
    actor: &str,
    action: Action,
    target: &str,
    details: Value,
) -> Outcome<()> {
    append(&call.env, project, note_of(call.now, actor, action, target, details)).await
}

/// Notes that a reader reads contents of an execution, before it does.
pub(crate) async fn note_read(call: &Call, reader: &Reader, action: Action, execution: &str) -> Outcome<()> {
    let key = format!("{} {} {} {execution}", reader.project, reader.actor, action.as_str());
    if READS.with_borrow(|reads| reads.has(&key, call.now)) {
        return Ok(());
    }
    note_by(call, &reader.project, &reader.actor, action, execution, Value::Null).await?;
    READS.with_borrow_mut(|reads| reads.note(key, call.now, SAME_READ_MS));
    Ok(())
}

fn note_of(at: u64, actor: &str, action: Action, target: &str, details: Value) -> Note {
    Note { at, actor: actor.into(), action: action.as_str().into(), target: target.into(), details }
}

pub(crate) async fn append(env: &Env, project: &ProjectId, note: Note) -> Outcome<()> {
    ask(env, project, &Ask::Append { project: project.to_string(), note }).await.map(|_| ())
}

async fn ask(env: &Env, project: &ProjectId, ask: &Ask) -> Outcome<Answer> {
    let doing = "asking the audit log";
    let stub = env.durable_object("AUDIT_LOG").doing(doing)?.get_by_name(project.as_str()).doing(doing)?;
    let headers = Headers::new();
    headers.set("content-type", "application/json").doing(doing)?;
    let mut init = RequestInit::new();
    init.with_method(Method::Post).with_headers(headers);
    init.with_body(Some(serde_json::to_string(ask).doing(doing)?.into()));
    let request = Request::new_with_init("https://audit-log/", &init).doing(doing)?;
    let mut response = stub.fetch_with_request(request).await.storing(doing)?;
    Ok(response.json().await.storing(doing)?)
}
