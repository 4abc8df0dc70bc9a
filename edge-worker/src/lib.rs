//! The Stepseal worker: a shell around `stepseal-protocol` that reads requests, keeps time, fetches and
//! stores. What is accepted and why is decided in the protocol crate; here is only where things go.
//!
//! One batch, by the files it passes:
//!
//! 1. [`routes`] finds the route; [`request`] reads the body, never more than the limit.
//! 2. [`ingest`] is the pipeline, one line a stage: frame, address limit, time, key, MAC, admission,
//!    fair limit in bytes, inflate, parse, fair limit in steps, store, reply.
//! 3. [`ingest::fair_limit`] spends leases that it fetched from the Durable Object in [`meter::object`].
//! 4. [`storage::commit`] commits: one D1 batch, one round trip; large bodies go to KV first.
//! 5. [`respond`] is the one place that turns results and failures into HTTP.
//!
//! 6. [`meter::counts`] counts the request under its named outcome.
//!
//! Reading goes through [`access`] (who asks) into [`executions`] (list, one, steps, verify).

mod access;
mod audit;
mod call;
mod chores;
mod config;
mod deletions;
mod executions;
mod failure;
mod ingest;
mod live;
mod meter;
mod platform;
mod projects;
mod request;
mod respond;
mod routes;
mod sessions;
mod statistics;
mod storage;
mod transfer;
mod transparency;

use worker::{Context, Date, Env, Request, Response, Result, ScheduleContext, ScheduledEvent, event};

#[event(fetch)]
async fn fetch(request: Request, env: Env, context: Context) -> Result<Response> {
    routes::answer(request, env, context).await
}

#[event(scheduled)]
async fn scheduled(_event: ScheduledEvent, env: Env, _context: ScheduleContext) {
    chores::run(&env, Date::now().as_millis()).await;
}
