//! The deny-list of a project: sessions and subjects whose batches are refused.

use super::{read_request, store};
use crate::access::Administrator;
use crate::audit;
use crate::call::Call;
use crate::failure::Outcome;
use crate::request::url;
use crate::respond::Reply;
use serde_json::json;
use stepseal_protocol::administration::DenialRequest;
use stepseal_protocol::audit::Action;
use stepseal_protocol::problem::{Code, Problem};
use worker::Request;

/// `GET …/denials`.
pub(crate) async fn list(call: &Call, admin: &Administrator) -> Outcome<Reply> {
    let project = store::read(&call.env, admin.project.as_str()).await?.ok_or_else(store::absent)?;
    Reply::ok(&json!({ "denials": project.denials }))
}

/// `POST …/denials`: `{"session": …}` or `{"subject": …}`.
pub(crate) async fn add(request: &mut Request, call: &Call, admin: &Administrator) -> Outcome<Reply> {
    let (kind, value) = read_request::<DenialRequest>(request).await?.read()?;
    let (_, denial) = store::change(call, admin.project.as_str(), |project| {
        Ok(project.deny(kind, value.clone(), call.now)?)
    })
    .await?;
    audit::note(call, admin, Action::DenialAdd, &value, json!({ "kind": kind })).await?;
    Reply::with_status(201, &json!({ "denial": denial }))
}

/// `DELETE …/denials?session=…` or `?subject=…`.
pub(crate) async fn remove(request: &Request, call: &Call, admin: &Administrator) -> Outcome<Reply> {
    let mut wanted = DenialRequest::default();
    for (name, value) in url(request)?.query_pairs() {
        match &*name {
            "session" => wanted.session = Some(value.into_owned()),
            "subject" => wanted.subject = Some(value.into_owned()),
            _ => {
                return Err(Problem::new(Code::ParameterUnknown, "This route has `session` and `subject`.")
                    .of_field(name)
                    .into());
            }
        }
    }
    let (kind, value) = wanted.read()?;
    store::change(call, admin.project.as_str(), |project| Ok(project.allow(kind, &value)?)).await?;
    audit::note(call, admin, Action::DenialRemove, &value, json!({ "kind": kind })).await?;
    Reply::ok(&json!({ "allowed": value }))
}
