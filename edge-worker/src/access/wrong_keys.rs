//! Wrong keys, limited by the address that sends them.
//!
//! The platform's counter says when an address has sent too many; from then on this isolate answers no
//! further guess of it for a while. Keys it knows to be good still pass, so that whoever shares the address
//! with a guesser and works is not shut out.

use crate::call::Call;
use crate::failure::{Doing, Failure, Outcome, Refusal};
use crate::request::client_address;
use crate::respond::members;
use std::cell::RefCell;
use std::collections::HashMap;
use stepseal_protocol::problem::{Code, Problem};
use worker::Request;

/// The binding's period (wrangler.toml).
const PERIOD_S: u64 = 60;
/// Addresses at which the memory is dropped: a bound, not a policy.
const ADDRESSES_MAX: usize = 4_096;

thread_local! {
    /// Until when an address gets no answer, Unix ms.
    static BLOCKED: RefCell<HashMap<String, u64>> = RefCell::new(HashMap::new());
}

/// Refuses to look up a key for an address that sent too many wrong ones.
pub(super) fn refuse_blocked(request: &Request, call: &Call) -> Outcome<()> {
    let until = BLOCKED.with_borrow(|blocked| blocked.get(&client_address(request)).copied());
    match until {
        Some(until) if call.now < until => Err(too_many()),
        _ => Ok(()),
    }
}

/// Counts a wrong key. What the sender is told instead of "wrong", if it was one too many.
pub(super) async fn count(request: &Request, call: &Call) -> Outcome<Option<Failure>> {
    let doing = "counting a wrong key";
    let address = client_address(request);
    let limiter = call.env.rate_limiter("WRONG_KEY_LIMITER").doing(doing)?;
    if limiter.limit(address.clone()).await.doing(doing)?.success {
        return Ok(None);
    }
    BLOCKED.with_borrow_mut(|blocked| {
        if blocked.len() >= ADDRESSES_MAX {
            blocked.clear();
        }
        blocked.insert(address, call.now + PERIOD_S * 1_000);
    });
    Ok(Some(too_many()))
}

fn too_many() -> Failure {
    Refusal {
        problem: Problem::new(
            Code::RateLimited,
            format!("Too many wrong keys came from this address. Wait {PERIOD_S} s."),
        ),
        members: members([("retry_after_s", PERIOD_S.into())]),
        headers: vec![("Retry-After", PERIOD_S.to_string())],
    }
    .into()
}
