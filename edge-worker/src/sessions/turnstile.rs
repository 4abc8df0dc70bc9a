//! Cloudflare's Turnstile before minting, for projects that ask for it. It fails closed: no judgement, no session.

use crate::call::Call;
use crate::config::Secrets;
use crate::failure::{Doing, Fault, Outcome};
use crate::request::header;
use serde::Deserialize;
use std::time::Duration;
use stepseal_protocol::problem::{Code, Problem};
use worker::{AbortController, Delay, Fetch, Headers, Method, Request, RequestInit, Url};

const SITEVERIFY: &str = "https://challenges.cloudflare.com/turnstile/v0/siteverify";
/// A stand-in's address, for tests and closed networks.
const SITEVERIFY_VARIABLE: &str = "STEPSEAL_TURNSTILE_URL";
const PATIENCE: Duration = Duration::from_secs(5);
const TOKEN_MAX: usize = 2_048;

#[derive(Deserialize)]
struct Judgement {
    success: bool,
    #[serde(default)]
    hostname: String,
}

/// Lets a page of `origin` pass that solved the challenge there.
pub(super) async fn check(request: &Request, call: &Call, token: Option<&str>, origin: &str) -> Outcome<()> {
    let token = token
        .filter(|token| (1..=TOKEN_MAX).contains(&token.len()))
        .ok_or_else(|| failed("none, or one that is too long"))?;
    let secrets = Secrets::of(&call.env)?;
    let judgement = ask(call, secrets.turnstile()?, token, header(request, "cf-connecting-ip")).await?;
    if !judgement.success {
        return Err(failed("a wrong one, or one that was used or ran out").into());
    }
    // A token solved on another page is no sign of a person on this one.
    let host = Url::parse(origin).ok().and_then(|url| url.host_str().map(str::to_owned));
    if host.as_deref() != Some(judgement.hostname.as_str()) {
        return Err(failed("one of another site").into());
    }
    Ok(())
}

fn failed(found: &str) -> Problem {
    Problem::new(
        Code::ChallengeFailed,
        format!("The project asks for a solved Turnstile challenge in `turnstile`; there is {found}."),
    )
    .of_field("turnstile")
}

async fn ask(call: &Call, secret: &str, token: &str, address: Option<String>) -> Outcome<Judgement> {
    let doing = "asking Turnstile";
    let url = call.env.var(SITEVERIFY_VARIABLE).map_or_else(|_| SITEVERIFY.to_owned(), |url| url.to_string());
    let mut asked = serde_json::json!({ "secret": secret, "response": token });
    if let Some(address) = address {
        asked["remoteip"] = address.into();
    }
    let headers = Headers::new();
    headers.set("content-type", "application/json").doing(doing)?;
    let mut init = RequestInit::new();
    init.with_method(Method::Post).with_headers(headers).with_body(Some(asked.to_string().into()));
    let request = Request::new_with_init(&url, &init).doing(doing)?;
    let controller = AbortController::default();
    let signal = controller.signal();
    call.context.wait_until(async move {
        Delay::from(PATIENCE).await;
        controller.abort();
    });
    let mut reply =
        Fetch::Request(request).send_with_signal(&signal).await.map_err(|cause| unavailable(&cause))?;
    if reply.status_code() != 200 {
        return Err(unavailable(&format!("it answered {}", reply.status_code())).into());
    }
    Ok(reply.json().await.map_err(|cause| unavailable(&cause))?)
}

/// Ours to log, the page's to try again.
fn unavailable(cause: &impl ToString) -> Fault {
    Fault { code: Code::ChallengeUnavailable, doing: "asking Turnstile", cause: cause.to_string() }
}
