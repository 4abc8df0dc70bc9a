//! What administrators and the operator delete.

use super::jobs::{self, Deletion};
use crate::access::Administrator;
use crate::audit;
use crate::call::Call;
use crate::executions::find_in;
use crate::failure::Outcome;
use crate::projects::{random, read_request, store};
use crate::respond::Reply;
use crate::storage::{deletion, labels};
use serde_json::{Value, json};
use stepseal_protocol::administration::{DeletionKind, DeletionRequest};
use stepseal_protocol::audit::Action;
use stepseal_protocol::encoding::hex_encode;
use stepseal_protocol::problem::{Code, Problem};
use stepseal_protocol::query::Facet;
use worker::Request;

/// Bodies that a request removes from KV itself; the rest is left to the background.
const BODIES_NOW: u32 = 40;

/// `DELETE /v1/executions/{id}`. Late batches for it are refused from now on.
pub(crate) async fn delete_execution(call: &Call, admin: &Administrator, id: &str) -> Outcome<Reply> {
    let (id, _) = find_in(call, &admin.project, id).await?;
    audit::note(call, admin, Action::ExecutionDelete, id.as_str(), Value::Null).await?;
    let ids = [id.to_string()];
    deletion::delete_executions(&call.env, admin.project.as_str(), &ids, call.now).await?;
    deletion::clear_discarded(&call.env, BODIES_NOW).await?;
    Reply::ok(&json!({ "deleted": id.as_str() }))
}

/// `GET …/deletions`: the last hundred.
pub(crate) async fn list(call: &Call, admin: &Administrator) -> Outcome<Reply> {
    let found = jobs::list(&call.env, admin.project.as_str()).await?;
    Reply::ok(&json!({ "deletions": found.iter().map(Deletion::shown).collect::<Vec<_>>() }))
}

/// `POST …/deletions`: everything of a user or subject. What is not done at once is done in the background.
pub(crate) async fn order(request: &mut Request, call: &Call, admin: &Administrator) -> Outcome<Reply> {
    let (kind, value) = read_request::<DeletionRequest>(request).await?.read()?;
    store::read(&call.env, admin.project.as_str()).await?.ok_or_else(store::absent)?;
    let value = match kind {
        // Compared with what the store holds, and not kept as anything else.
        DeletionKind::User => Facet::User.stored(&*labels::index(&call.env, &admin.project)?, &value),
        DeletionKind::Subject | DeletionKind::Project => value,
    };
    let job = ordered(call, admin, kind, value)?;
    // The log says that somebody's data was deleted, not whose: it outlives that data.
    audit::note(call, admin, Action::PersonDelete, &job.id, json!({ "kind": kind })).await?;
    begin(call, job).await
}

/// `DELETE /v1/projects/{id}` (the operator): its keys end now, its data in the background. The id is not
/// used again, because its secrets would be the same.
pub(crate) async fn delete_project(call: &Call, admin: &Administrator) -> Outcome<Reply> {
    if !admin.is_operator() {
        let detail = "A project is the operator's to delete.";
        return Err(Problem::new(Code::RoleInsufficient, detail).into());
    }
    store::read(&call.env, admin.project.as_str()).await?.ok_or_else(store::absent)?;
    audit::note(call, admin, Action::ProjectDelete, "", Value::Null).await?;
    store::change(call, admin.project.as_str(), |project| {
        project.delete();
        Ok(())
    })
    .await?;
    begin(call, ordered(call, admin, DeletionKind::Project, String::new())?).await
}

fn ordered(call: &Call, admin: &Administrator, kind: DeletionKind, value: String) -> Outcome<Deletion> {
    Ok(Deletion {
        project_id: admin.project.to_string(),
        id: format!("del_{}", hex_encode(&random::<8>()?)),
        kind,
        value,
        ordered_at: call.now,
        finished_at: None,
        executions: 0,
    })
}

async fn begin(call: &Call, mut job: Deletion) -> Outcome<Reply> {
    jobs::insert(&call.env, &job).await?;
    jobs::advance(&call.env, &mut job, call.now).await?;
    deletion::clear_discarded(&call.env, BODIES_NOW).await?;
    Reply::with_status(202, &json!({ "deletion": job.shown() }))
}
