//! What a project uses: its token buckets, its month against its budget, and the outcomes of its requests.
//! One Durable Object a project ([`object`]) holds all three, so they are exact; isolates spend leases from it
//! ([`crate::ingest::fair_limit`]) and report to it in one call a second ([`counts`]).
//!
//! What belongs to no project (wrong signatures, unknown keys, the operator's requests) is counted in an
//! object of the deployment, whose name no project can have.

pub(crate) mod counts;
pub(crate) mod object;
mod routes;

pub(crate) use routes::{metrics, usage};

use crate::failure::{Doing, Outcome};
use object::{Answer, Ask};
use worker::{Env, Headers, Method, Request, RequestInit};

/// The object of what belongs to no project: no project's id has a dot.
pub(crate) const DEPLOYMENT: &str = ".deployment";

/// Asks the object of a project, or of the deployment.
pub(crate) async fn ask(env: &Env, owner: &str, ask: &Ask) -> Outcome<Answer> {
    let doing = "asking the meter";
    let stub = env.durable_object("METER").doing(doing)?.get_by_name(owner).doing(doing)?;
    let headers = Headers::new();
    headers.set("content-type", "application/json").doing(doing)?;
    let mut init = RequestInit::new();
    init.with_method(Method::Post).with_headers(headers);
    init.with_body(Some(serde_json::to_string(ask).doing(doing)?.into()));
    let request = Request::new_with_init("https://meter/", &init).doing(doing)?;
    let mut response = stub.fetch_with_request(request).await.storing(doing)?;
    Ok(response.json().await.storing(doing)?)
}
