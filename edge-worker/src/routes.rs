//! From a request to its handler. Which routes there are stands in `stepseal_protocol::api`.

use crate::access::{administrator, cross_origin, metrics_reader, sign_in};
use crate::call::Call;
use crate::failure::{Failure, Outcome};
use crate::meter::{self, counts};
use crate::projects::{self, denials, generations, keys, prices};
use crate::respond::{Reply, Surface, named, preflight, send};
use crate::{audit, deletions, executions, ingest, live, sessions, statistics, transfer, transparency};
use serde_json::json;
use std::cell::RefCell;
use stepseal_protocol::api::{self, Found, NotFound, Operation as Op};
use stepseal_protocol::problem::{Code, Problem};
use worker::{Context, Date, Env, Method, Request, Response, Result};

/// Finds the route, runs it, counts what came of it and sends that.
pub(crate) async fn answer(request: Request, env: Env, context: Context) -> Result<Response> {
    let path = request.path();
    if !path.starts_with("/v1/") && path != "/healthz" && path != "/openapi.json" {
        return env.assets("ASSETS")?.fetch_request(request).await;
    }
    let method = request.method();
    let surface = match path.as_str() {
        // Minting; a list of the sessions is behind the same path.
        "/v1/sessions" if method == Method::Get => Surface::Api,
        "/v1/batches" | "/v1/server/batches" | "/v1/sessions" => Surface::Ingest,
        _ => Surface::Api,
    };
    if method == Method::Options {
        return if surface == Surface::Ingest { preflight() } else { cross_origin::preflight(&request) };
    }
    let now = Date::now().as_millis();
    let call = Call { env, context, now, readable_by: RefCell::default(), counted: RefCell::default() };
    let (operation, outcome) = match api::find(method.as_ref(), &path) {
        Ok(found) => (Some(found.operation), run(request, found, &call).await),
        Err(reason) => (None, Err(no_route(reason))),
    };
    counts::note(&call, operation, named(&outcome));
    send(outcome, surface, call.readable_by.take())
}

async fn run(mut request: Request, found: Found<'_>, call: &Call) -> Outcome<Reply> {
    // A route's path has at most two names beside the project's.
    let [id, other] = [0, 1].map(|at| found.values.get(at).copied().unwrap_or_default());
    match found.operation {
        Op::ShowHealth => Reply::ok(&json!({ "status": "ok", "server_time": call.now })),
        Op::ShowDocument => Reply::ok(&api::document(env!("CARGO_PKG_VERSION"))),
        Op::SendBatch => ingest::sealed_batch(request, call).await,
        Op::SendServerBatch => ingest::server_batch(request, call).await,
        Op::MintSession => sessions::mint(request, call).await,
        Op::SignIn => sign_in::begin(&mut request, call).await,
        Op::ShowSignIn => sign_in::show(&request, call).await,
        Op::SignOut => sign_in::end(&request, call).await,
        Op::ShowStats => statistics::stats(&request, call).await,
        Op::ListFacets => statistics::facets(&request, call).await,
        Op::ListSessions => executions::sessions(&request, call).await,
        Op::ListUsers => executions::users(&request, call).await,
        Op::Follow => live::follow(&request, call).await,
        Op::ExportTable => executions::table(&request, call).await,
        Op::SearchSteps => executions::search(&request, call).await,
        Op::ListExecutions => executions::list(&request, call).await,
        Op::ShowExecution => executions::show(&request, call, id).await,
        Op::ListSteps => executions::steps(&request, call, id).await,
        Op::CompareExecutions => executions::compare(&request, call, id, other).await,
        Op::AddScore => executions::add_score(request, call, id).await,
        Op::VerifyExecution => executions::verify(&request, call, id).await,
        Op::ListCheckpoints => transparency::list(&request, call).await,
        Op::ShowLatestCheckpoint => transparency::latest(&request, call).await,
        Op::ShowVerifierKey => transparency::key(&request, call).await,
        Op::Export => transfer::log(&request, call).await,
        Op::ExportExecutions => transfer::batches(&request, call).await,
        Op::ExportTraces => transfer::traces(&request, call).await,
        Op::CreateProject => projects::create(request, call).await,
        Op::ListProjects => projects::list(&request, call).await,
        Op::ShowMetrics => meter::metrics(call, &metrics_reader(&request, call).await?).await,
        // The operator sees a project as it is stored, a key its own as the hot path has it.
        Op::ShowProject if found.scope == api::Scope::Own => projects::show(&request, call).await,
        _ => administer(request, &found, id, call).await,
    }
}

/// What administrators do with a project: the operator's `/v1/projects/{id}/…` and an admin key's
/// `/v1/project/…` are the same routes.
async fn administer(mut request: Request, found: &Found<'_>, id: &str, call: &Call) -> Outcome<Reply> {
    let admin = administrator(&request, call, found.scope).await?;
    match found.operation {
        Op::DeleteExecution => deletions::delete_execution(call, &admin, id).await,
        Op::ShowProject => projects::show_named(call, &admin).await,
        Op::ChangeProject => projects::change(&mut request, call, &admin).await,
        Op::DeleteProject => deletions::delete_project(call, &admin).await,
        Op::ListDeletions => deletions::list(call, &admin).await,
        Op::OrderDeletion => deletions::order(&mut request, call, &admin).await,
        Op::ListKeys => keys::list(call, &admin).await,
        Op::CreateKey => keys::create(&mut request, call, &admin).await,
        Op::RevokeKey => keys::revoke(call, &admin, id).await,
        Op::RotateKey => keys::rotate(&mut request, call, &admin, id).await,
        Op::AddGeneration => generations::add(call, &admin).await,
        Op::RetireGeneration => generations::retire(call, &admin, id).await,
        Op::ListDenials => denials::list(call, &admin).await,
        Op::AddDenial => denials::add(&mut request, call, &admin).await,
        Op::RemoveDenial => denials::remove(&request, call, &admin).await,
        Op::ImportBatches => transfer::import(&mut request, call, &admin).await,
        Op::ShowPrices => prices::show(call, &admin).await,
        Op::ShowPricesVersion => prices::show_version(call, &admin, id).await,
        Op::ReplacePrices => prices::replace(&mut request, call, &admin).await,
        Op::ListAudit => audit::list(&request, call, &admin).await,
        Op::VerifyAudit => audit::verify(&request, call, &admin).await,
        Op::ShowUsage => meter::usage(call, &admin).await,
        _ => Err(no_route(NotFound::Path)),
    }
}

fn no_route(reason: NotFound) -> Failure {
    match reason {
        NotFound::Method => {
            Problem::new(Code::MethodNotAllowed, "This path is there, for another method.").into()
        }
        NotFound::Path => Problem::new(Code::RouteNotFound, "This worker has no such route.").into(),
    }
}
