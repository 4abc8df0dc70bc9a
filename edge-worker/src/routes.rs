//! The route table.

use crate::call::Call;
use crate::failure::Outcome;
use crate::respond::{Reply, Surface, preflight, send};
use crate::{executions, ingest, projects, sessions};
use serde_json::json;
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
    if surface == Surface::Ingest && request.method() == Method::Options {
        return preflight();
    }
    let call = Call { env, context, now: Date::now().as_millis() };
    send(route(request, &path, &call).await, surface)
}

async fn route(request: Request, path: &str, call: &Call) -> Outcome<Reply> {
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match (request.method(), segments.as_slice()) {
        (Method::Get, ["healthz"]) => Reply::ok(&json!({ "status": "ok", "server_time": call.now })),
        (Method::Post, ["v1", "batches"]) => ingest::sealed_batch(request, call).await,
        (Method::Post, ["v1", "server", "batches"]) => ingest::server_batch(request, call).await,
        (Method::Post, ["v1", "sessions"]) => sessions::mint(request, call).await,
        (Method::Post, ["v1", "projects"]) => projects::create(request, call).await,
        (Method::Patch, ["v1", "projects", id]) => projects::change(request, call, id).await,
        (Method::Get, ["v1", "project"]) => projects::show(&request, call).await,
        (Method::Get, ["v1", "executions"]) => executions::list(&request, call).await,
        (Method::Get, ["v1", "executions", id]) => executions::show(&request, call, id).await,
        (Method::Get, ["v1", "executions", id, "steps"]) => executions::steps(&request, call, id).await,
        (Method::Get, ["v1", "executions", id, "verify"]) => executions::verify(&request, call, id).await,
        (
            _,
            ["healthz"]
            | ["v1", "batches" | "sessions" | "projects" | "project" | "executions"]
            | ["v1", "server", "batches"]
            | ["v1", "projects" | "executions", _]
            | ["v1", "executions", _, "steps" | "verify"],
        ) => Err(Problem::new(Code::MethodNotAllowed, "This path is there, for another method.").into()),
        _ => Err(Problem::new(Code::RouteNotFound, "This worker has no such route.").into()),
    }
}
