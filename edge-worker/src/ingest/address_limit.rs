//! The coarse limit per client address, before any cryptography. It counts per location and is a guard,
//! not an account: the exact limits are [`super::fair_limit`]'s.

use crate::failure::{Doing, Outcome, Refusal};
use crate::request::client_address;
use stepseal_protocol::problem::{Code, Problem};
use worker::{Env, Request};

/// The binding's period (wrangler.toml): after it the address starts afresh.
const PERIOD_S: u64 = 60;

pub(crate) async fn check(request: &Request, env: &Env) -> Outcome<()> {
    let doing = "asking the address limiter";
    let outcome = env
        .rate_limiter("ADDRESS_LIMITER")
        .doing(doing)?
        .limit(client_address(request))
        .await
        .doing(doing)?;
    if outcome.success {
        return Ok(());
    }
    Err(Refusal {
        problem: Problem::new(
            Code::RateLimited,
            format!("Too many requests from this address. Wait {PERIOD_S} s, or send larger batches."),
        ),
        members: crate::respond::members([("retry_after_s", PERIOD_S.into())]),
        headers: vec![("Retry-After", PERIOD_S.to_string())],
    }
    .into())
}
