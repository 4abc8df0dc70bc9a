//! The route table.

use crate::access::{Scope, administrator, cross_origin, sign_in};
use crate::call::Call;
use crate::failure::{Failure, Outcome};
use crate::projects::{self, denials, generations, keys};
use crate::respond::{Reply, Surface, preflight, send};
use crate::{audit, deletions, executions, ingest, sessions};
use serde_json::json;
use std::cell::RefCell;
use stepseal_protocol::problem::{Code, Problem};
use worker::{Context, Date, Env, Method, Request, Response, Result};

/// Finds the route, runs it and sends what came of it.
pub(crate) async fn answer(request: Request, env: Env, context: Context) -> Result<Response> {
    let path = request.path();
    if !path.starts_with("/v1/") && path != "/healthz" {
        return env.assets("ASSETS")?.fetch_request(request).await;
    }
    let surface = match path.as_str() {
        "/v1/batches" | "/v1/server/batches" | "/v1/sessions" => Surface::Ingest,
        _ => Surface::Api,
    };
    if request.method() == Method::Options {
        return if surface == Surface::Ingest { preflight() } else { cross_origin::preflight(&request) };
    }
    let now = Date::now().as_millis();
    let call = Call { env, context, now, readable_by: RefCell::default() };
    let outcome = route(request, &path, &call).await;
    send(outcome, surface, call.readable_by.take())
}

async fn route(mut request: Request, path: &str, call: &Call) -> Outcome<Reply> {
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match (request.method(), segments.as_slice()) {
        (Method::Get, ["healthz"]) => Reply::ok(&json!({ "status": "ok", "server_time": call.now })),
        (Method::Post, ["v1", "batches"]) => ingest::sealed_batch(request, call).await,
        (Method::Post, ["v1", "server", "batches"]) => ingest::server_batch(request, call).await,
        (Method::Post, ["v1", "sessions"]) => sessions::mint(request, call).await,
        (Method::Post, ["v1", "sign-in"]) => sign_in::begin(&mut request, call).await,
        (Method::Get, ["v1", "sign-in"]) => sign_in::show(&request, call).await,
        (Method::Delete, ["v1", "sign-in"]) => sign_in::end(&request, call).await,
        (Method::Post, ["v1", "projects"]) => projects::create(request, call).await,
        (Method::Get, ["v1", "projects"]) => projects::list(&request, call).await,
        (Method::Get, ["v1", "project"]) => projects::show(&request, call).await,
        (_, ["v1", "audit"]) => project_route(request, call, Scope::Own, &["audit"]).await,
        (_, ["v1", "audit", "verify"]) => {
            project_route(request, call, Scope::Own, &["audit", "verify"]).await
        }
        (_, ["v1", "project", rest @ ..]) => project_route(request, call, Scope::Own, rest).await,
        (_, ["v1", "projects", id, rest @ ..]) => project_route(request, call, Scope::Named(id), rest).await,
        (Method::Delete, ["v1", "executions", id]) => {
            let admin = administrator(&request, call, Scope::Own).await?;
            deletions::delete_execution(call, &admin, id).await
        }
        (Method::Get, ["v1", "executions"]) => executions::list(&request, call).await,
        (Method::Get, ["v1", "executions", id]) => executions::show(&request, call, id).await,
        (Method::Get, ["v1", "executions", id, "steps"]) => executions::steps(&request, call, id).await,
        (Method::Get, ["v1", "executions", id, "verify"]) => executions::verify(&request, call, id).await,
        (
            _,
            ["healthz"]
            | ["v1", "batches" | "sessions" | "sign-in" | "projects" | "executions"]
            | ["v1", "server", "batches"]
            | ["v1", "executions", _]
            | ["v1", "executions", _, "steps" | "verify"],
        ) => Err(method_not_allowed()),
        _ => Err(route_not_found()),
    }
}

/// What administrators do with a project: the operator's `/v1/projects/{id}/…` and an admin key's
/// `/v1/project/…` are the same routes.
async fn project_route(mut request: Request, call: &Call, scope: Scope<'_>, path: &[&str]) -> Outcome<Reply> {
    let method = request.method();
    let known = matches!(
        path,
        [] | ["keys" | "generations" | "denials" | "deletions" | "audit"]
            | ["audit", "verify"]
            | ["keys" | "generations", _]
            | ["keys", _, "rotate"]
    );
    if !known {
        return Err(route_not_found());
    }
    let admin = administrator(&request, call, scope).await?;
    match (method, path) {
        (Method::Get, []) => projects::show_named(call, &admin).await,
        (Method::Patch, []) => projects::change(&mut request, call, &admin).await,
        (Method::Delete, []) => deletions::delete_project(call, &admin).await,
        (Method::Get, ["deletions"]) => deletions::list(call, &admin).await,
        (Method::Post, ["deletions"]) => deletions::order(&mut request, call, &admin).await,
        (Method::Get, ["keys"]) => keys::list(call, &admin).await,
        (Method::Post, ["keys"]) => keys::create(&mut request, call, &admin).await,
        (Method::Delete, ["keys", id]) => keys::revoke(call, &admin, id).await,
        (Method::Post, ["keys", id, "rotate"]) => keys::rotate(&mut request, call, &admin, id).await,
        (Method::Post, ["generations"]) => generations::add(call, &admin).await,
        (Method::Delete, ["generations", kid]) => generations::retire(call, &admin, kid).await,
        (Method::Get, ["denials"]) => denials::list(call, &admin).await,
        (Method::Post, ["denials"]) => denials::add(&mut request, call, &admin).await,
        (Method::Get, ["audit"]) => audit::list(&request, call, &admin).await,
        (Method::Get, ["audit", "verify"]) => audit::verify(&request, call, &admin).await,
        (Method::Delete, ["denials"]) => denials::remove(&request, call, &admin).await,
        _ => Err(method_not_allowed()),
    }
}

fn method_not_allowed() -> Failure {
    Problem::new(Code::MethodNotAllowed, "This path is there, for another method.").into()
}

fn route_not_found() -> Failure {
    Problem::new(Code::RouteNotFound, "This worker has no such route.").into()
}
