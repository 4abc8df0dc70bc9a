//! The fair limits of a project, spent from leases.
//!
//! The buckets live in one Durable Object a project. So that not every batch pays a call, an isolate
//! takes a little more than it needs and spends the rest on the batches that follow; what it does not
//! spend in time is lost, never lent twice, so no more is ever admitted than the buckets allow.

use super::fair_limiter::{Ask, Grant};
use crate::call::Call;
use crate::failure::{Doing, Outcome, Refusal};
use std::cell::RefCell;
use std::collections::HashMap;
use stepseal_protocol::ingest::admission::{Limits, Project};
use stepseal_protocol::problem::{Code, Problem};
use worker::{Headers, Method, Request, RequestInit};

/// How long an isolate may spend a lease. Short, so that a burst in one place does not starve another.
const LEASE_MS: u64 = 3_000;

thread_local! {
    static LEASES: RefCell<HashMap<String, Lease>> = RefCell::new(HashMap::new());
}

#[derive(Clone, Copy, Default)]
struct Lease {
    bytes: u64,
    steps: u64,
    until: u64,
    /// Steps that were left in the bucket when the lease was taken, for the `RateLimit` header.
    steps_left: u64,
}

/// Spends `bytes` of the project's bucket, or refuses.
pub(crate) async fn spend_bytes(call: &Call, project: &Project, bytes: u64) -> Outcome<()> {
    spend(call, project, Ask { bytes, steps: 0, limits: project.limits }).await.map(|_| ())
}

/// Spends `steps` (events) of the project's bucket, or refuses. Returns the headers that tell the sender
/// where it stands (draft-ietf-httpapi-ratelimit-headers).
pub(crate) async fn spend_steps(
    call: &Call,
    project: &Project,
    steps: u64,
) -> Outcome<Vec<(&'static str, String)>> {
    let left = spend(call, project, Ask { bytes: 0, steps, limits: project.limits }).await?;
    Ok(vec![policy(&project.limits), ("RateLimit", format!("\"steps\";r={left}"))])
}

async fn spend(call: &Call, project: &Project, ask: Ask) -> Outcome<u64> {
    if let Some(left) = LEASES.with_borrow_mut(|leases| from_lease(leases, project, &ask, call.now)) {
        return Ok(left);
    }
    match ask_object(call, project, &ask).await? {
        Grant::Taken { bytes, steps, steps_left } => Ok(LEASES.with_borrow_mut(|leases| {
            let lease = leases.entry(project.id.clone()).or_default();
            if lease.until <= call.now {
                *lease = Lease::default();
            }
            lease.bytes += bytes - ask.bytes;
            lease.steps += steps - ask.steps;
            lease.until = call.now + LEASE_MS;
            lease.steps_left = steps_left;
            lease.steps + lease.steps_left
        })),
        Grant::Exhausted { retry_after_ms, bucket } => {
            Err(exhausted(project, retry_after_ms, &bucket).into())
        }
    }
}

fn from_lease(leases: &mut HashMap<String, Lease>, project: &Project, ask: &Ask, now: u64) -> Option<u64> {
    let lease = leases.get_mut(&project.id).filter(|lease| now < lease.until)?;
    lease.bytes = lease.bytes.checked_sub(ask.bytes).filter(|_| lease.steps >= ask.steps)?;
    lease.steps -= ask.steps;
    Some(lease.steps + lease.steps_left)
}

async fn ask_object(call: &Call, project: &Project, ask: &Ask) -> Outcome<Grant> {
    let doing = "asking the fair limiter";
    let stub = call.env.durable_object("FAIR_LIMITER").doing(doing)?.get_by_name(&project.id).doing(doing)?;
    let headers = Headers::new();
    headers.set("content-type", "application/json").doing(doing)?;
    let mut init = RequestInit::new();
    init.with_method(Method::Post).with_headers(headers);
    init.with_body(Some(serde_json::to_string(ask).doing(doing)?.into()));
    let request = Request::new_with_init("https://fair-limiter/take", &init).doing(doing)?;
    let mut response = stub.fetch_with_request(request).await.storing(doing)?;
    Ok(response.json().await.storing(doing)?)
}

fn exhausted(project: &Project, retry_after_ms: u64, bucket: &str) -> Refusal {
    let seconds = retry_after_ms.div_ceil(1_000).max(1);
    Refusal {
        problem: Problem::new(
            Code::RateLimited,
            format!(
                "The project's limit in {bucket} is used up. Wait {seconds} s and send the same batch again."
            ),
        ),
        members: crate::respond::members([("retry_after_s", seconds.into())]),
        headers: vec![
            ("Retry-After", seconds.to_string()),
            policy(&project.limits),
            ("RateLimit", format!("\"{bucket}\";r=0;t={seconds}")),
        ],
    }
}

fn policy(limits: &Limits) -> (&'static str, String) {
    let window = |rate: u64, burst: u64| burst.div_ceil(rate);
    let value = format!(
        "\"bytes\";q={};w={};qu=\"content-bytes\", \"steps\";q={};w={}",
        limits.bytes_burst,
        window(limits.bytes_per_s, limits.bytes_burst),
        limits.steps_burst,
        window(limits.steps_per_s, limits.steps_burst),
    );
    ("RateLimit-Policy", value)
}
