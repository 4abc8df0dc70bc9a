//! `POST /v1/sessions`: sessions for pages whose customer has no backend. The publishable key names the
//! project, the request's Origin must be on its allow-list; what is minted is bound to that origin.

mod turnstile;

use crate::call::Call;
use crate::config::Secrets;
use crate::failure::{Fault, Outcome};
use crate::ingest::address_limit;
use crate::projects::{random, store};
use crate::request::{header, read_body};
use crate::respond::Reply;
use serde::Deserialize;
use serde_json::json;
use stepseal_protocol::access::{mint_origin_session, parse_install, project_of_publishable_key};
use stepseal_protocol::ids::KeyId;
use stepseal_protocol::ingest::admission::Project;
use stepseal_protocol::problem::{Code, Problem};
use worker::Request;

/// A challenge's token has up to 2,048 characters.
const REQUEST_MAX: usize = 4 * 1024;

#[derive(Deserialize)]
struct Wanted {
    publishable_key: String,
    install: String,
    /// The token of a solved challenge, where the project asks for one.
    #[serde(default)]
    turnstile: Option<String>,
}

/// Mints a session for an anonymous page.
pub(crate) async fn mint(mut request: Request, call: &Call) -> Outcome<Reply> {
    let body = read_body(&mut request, REQUEST_MAX).await?;
    address_limit::check(&request, &call.env).await?;
    let wanted: Wanted = serde_json::from_slice(&body).map_err(|fault| {
        Problem::new(Code::RequestMalformed, format!("The body cannot be read: {fault}."))
    })?;
    let install = parse_install(&wanted.install).ok_or_else(|| {
        Problem::new(Code::RequestMalformed, "`install` is 128 random bits, 22 characters of base64url.")
            .of_field("install")
    })?;
    let project_id = project_of_publishable_key(&wanted.publishable_key).ok_or_else(unknown)?;
    let project = store::project(call, &project_id).await?.ok_or_else(unknown)?;
    let origin = allowed_origin(&project, &wanted, header(&request, "origin"))?;
    call.counted.borrow_mut().project = Some(project_id);
    if project.turnstile {
        turnstile::check(&request, call, wanted.turnstile.as_deref(), &origin).await?;
    }
    let (kid, root) = signing_key(&project, call)?;
    let session =
        mint_origin_session(&root, &project_id, &kid, &origin, &install, call.now / 1_000, random()?);
    project.refuse_denied("", &session.subject, call.now)?;
    Reply::ok(&json!({
        "code": "minted",
        "token": session.token,
        "key": session.key,
        "subject": session.subject,
        "expires_at": session.expires_at * 1_000,
    }))
}

fn unknown() -> Problem {
    Problem::new(Code::ProjectUnknown, "The publishable key names no project here.")
        .of_field("publishable_key")
}

fn allowed_origin(project: &Project, wanted: &Wanted, origin: Option<String>) -> Result<String, Problem> {
    if project.publishable_key != wanted.publishable_key {
        return Err(unknown());
    }
    project.refuse_inactive()?;
    origin.filter(|origin| project.origins.contains(origin)).ok_or_else(|| {
        Problem::new(
            Code::OriginNotAllowed,
            "The request's `Origin` is not on the project's allow-list. Add it there, or mint sessions in \
             your backend.",
        )
    })
}

/// The newest generation that every isolate knows by now, and its root.
fn signing_key(project: &Project, call: &Call) -> Outcome<(KeyId, stepseal_protocol::keys::Root)> {
    let doing = "choosing a project's key";
    let kid =
        project.minting_kid(call.now).ok_or_else(|| Fault::internal(doing, "the project accepts none"))?;
    let root = Secrets::of(&call.env)?
        .root(kid.root_name())
        .ok_or_else(|| Fault::misconfigured(doing, "the project's root is not in STEPSEAL_ROOTS"))?;
    Ok((kid, root))
}
