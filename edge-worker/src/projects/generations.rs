//! Key generations of a project: the way its secret is rotated.

use super::store;
use crate::access::Administrator;
use crate::audit;
use crate::call::Call;
use crate::config::Secrets;
use crate::failure::Outcome;
use crate::respond::Reply;
use serde_json::{Value, json};
use stepseal_protocol::audit::Action;

/// `POST …/generations`: adds one and shows its project secret, this once. Earlier ones stay accepted.
pub(crate) async fn add(call: &Call, admin: &Administrator) -> Outcome<Reply> {
    let (root_name, root) = Secrets::of(&call.env)?.newest_root()?;
    let (project, kid) = store::change(call, admin.project.as_str(), |project| {
        Ok(project.add_generation(root_name.as_str(), call.now)?)
    })
    .await?;
    audit::note(call, admin, Action::GenerationAdd, kid.as_str(), Value::Null).await?;
    Reply::with_status(
        201,
        &json!({
            "kid": kid.as_str(),
            "project_secret": root.project_secret(&admin.project, &kid).reveal(),
            "kids": project.kids,
        }),
    )
}

/// `DELETE …/generations/{kid}`: sessions and server batches under it are refused within 60 s.
pub(crate) async fn retire(call: &Call, admin: &Administrator, kid: &str) -> Outcome<Reply> {
    let (project, ()) =
        store::change(call, admin.project.as_str(), |project| Ok(project.retire_generation(kid)?)).await?;
    audit::note(call, admin, Action::GenerationRetire, kid, Value::Null).await?;
    Reply::ok(&json!({ "retired": kid, "kids": project.kids }))
}
