//! Which pages may use the reading and administrative routes: our own, and those of the project's origins
//! that hold an API key. Others are refused before anything is read or done, whatever they hold.

use crate::call::Call;
use crate::failure::Outcome;
use crate::projects::store;
use crate::request::{header, own_origin};
use stepseal_protocol::ids::ProjectId;
use stepseal_protocol::problem::{Code, Problem};
use worker::{Headers, Request, Response};

/// Lets a page of the project's origins pass, and its browser read the reply.
pub(super) async fn check(request: &Request, call: &Call, project: &ProjectId) -> Outcome<()> {
    let Some(origin) = foreign_origin(request)? else { return Ok(()) };
    let project = store::project(call, project).await?;
    if project.is_some_and(|project| project.origins.contains(&origin)) {
        call.readable_by.replace(Some(origin));
        return Ok(());
    }
    Err(not_allowed().into())
}

/// Refuses every page but our own.
pub(crate) fn refuse_foreign(request: &Request) -> Outcome<()> {
    match foreign_origin(request)? {
        None => Ok(()),
        Some(_) => Err(not_allowed().into()),
    }
}

fn foreign_origin(request: &Request) -> Outcome<Option<String>> {
    let own = own_origin(request)?;
    Ok(header(request, "origin").filter(|origin| *origin != own))
}

fn not_allowed() -> Problem {
    Problem::new(Code::OriginNotAllowed, "The request's `Origin` is not on the project's allow-list.")
}

/// The reply to a preflight. It carries no credential, so the project is not known yet: this only lets the
/// browser ask, and [`check`] decides. Cookies stay out, as no reply allows credentials.
pub(crate) fn preflight(request: &Request) -> worker::Result<Response> {
    let headers = Headers::new();
    if let Some(origin) = header(request, "origin") {
        headers.set("Access-Control-Allow-Origin", &origin)?;
        headers.set("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE")?;
        headers.set("Access-Control-Allow-Headers", "authorization, content-type")?;
        headers.set("Access-Control-Max-Age", "600")?;
    }
    headers.set("Vary", "Origin")?;
    Ok(Response::empty()?.with_status(204).with_headers(headers))
}
