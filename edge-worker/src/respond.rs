//! Replies. Every status, header and problem document is made here.

use crate::failure::{Doing, Failure, Outcome, Refusal};
use serde::Serialize;
use serde_json::{Map, Value};
use stepseal_protocol::ledger::DONE;
use stepseal_protocol::problem::Problem;
use worker::{Date, Headers, Response, console_error};

/// How a route's replies look beside their content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Surface {
    /// Ingest and minting: any page may read the reply (SPEC.md, section 7: it must learn why it was refused),
    /// and every reply carries `server_time`.
    Ingest,
    /// Everything else: our own pages, and those of a project's origins (`access::cross_origin`).
    Api,
}

/// A result about to be sent.
pub(crate) struct Reply {
    status: u16,
    body: Body,
    headers: Vec<(&'static str, String)>,
    /// The named outcome it is counted under.
    outcome: &'static str,
}

enum Body {
    Json(Value),
    /// Media type and text.
    Text(&'static str, String),
    /// Made elsewhere, headers and all: a stream, or a socket.
    Made(Response),
}

impl Reply {
    pub(crate) fn ok(body: &impl Serialize) -> Outcome<Self> {
        Self::with_status(200, body)
    }

    pub(crate) fn with_status(status: u16, body: &impl Serialize) -> Outcome<Self> {
        let body = Body::Json(serde_json::to_value(body).doing("writing a reply")?);
        Ok(Self { status, body, headers: Vec::new(), outcome: DONE })
    }

    pub(crate) fn text(media_type: &'static str, text: String) -> Self {
        Self { status: 200, body: Body::Text(media_type, text), headers: Vec::new(), outcome: DONE }
    }

    pub(crate) fn made(response: Response) -> Self {
        Self {
            status: response.status_code(),
            body: Body::Made(response),
            headers: Vec::new(),
            outcome: DONE,
        }
    }

    #[must_use]
    pub(crate) fn of_outcome(mut self, outcome: &'static str) -> Self {
        self.outcome = outcome;
        self
    }

    #[must_use]
    pub(crate) fn with_headers(mut self, headers: Vec<(&'static str, String)>) -> Self {
        self.headers.extend(headers);
        self
    }
}

/// The reply to a preflight. Batches need none (text/plain); minting with JSON does.
pub(crate) fn preflight() -> worker::Result<Response> {
    let headers = Headers::new();
    headers.set("Access-Control-Allow-Origin", "*")?;
    headers.set("Access-Control-Allow-Methods", "POST")?;
    headers.set("Access-Control-Allow-Headers", "content-type")?;
    headers.set("Access-Control-Max-Age", "86400")?;
    Ok(Response::empty()?.with_status(204).with_headers(headers))
}

/// The named outcome of a request.
pub(crate) fn named(outcome: &Outcome<Reply>) -> &'static str {
    match outcome {
        Ok(reply) => reply.outcome,
        Err(Failure::Refused(refusal)) => refusal.problem.code.as_str(),
        Err(Failure::Fault(fault)) => fault.code.as_str(),
    }
}

/// Sends a result or says why there is none.
pub(crate) fn send(
    outcome: Outcome<Reply>,
    surface: Surface,
    readable_by: Option<String>,
) -> worker::Result<Response> {
    if let Ok(Reply { body: Body::Made(response), .. }) = outcome {
        return Ok(response);
    }
    let response = send_to_own(outcome, surface)?;
    if surface == Surface::Api {
        let headers = response.headers();
        headers.set("Vary", "Origin, Cookie")?;
        if let Some(origin) = readable_by {
            headers.set("Access-Control-Allow-Origin", &origin)?;
        }
    }
    Ok(response)
}

fn send_to_own(outcome: Outcome<Reply>, surface: Surface) -> worker::Result<Response> {
    match outcome {
        Ok(Reply { status, body: Body::Json(body), headers, .. }) => {
            write(status, "application/json", body, headers, surface)
        }
        Ok(Reply { status, body: Body::Text(media_type, text), headers, .. }) => {
            write_bytes(status, media_type, text.into_bytes(), headers, surface)
        }
        Ok(Reply { body: Body::Made(response), .. }) => Ok(response),
        Err(Failure::Refused(refusal)) => send_refusal(refusal, surface),
        Err(Failure::Fault(fault)) => {
            console_error!(
                "fault code={} doing=\"{}\" cause=\"{}\"",
                fault.code.as_str(),
                fault.doing,
                fault.cause
            );
            let detail = "The fault is ours and was logged. Try again.";
            send_refusal(Problem::new(fault.code, detail).into(), surface)
        }
    }
}

fn send_refusal(refusal: Refusal, surface: Surface) -> worker::Result<Response> {
    let mut members = refusal.problem.to_members();
    members.extend(refusal.members);
    let status = refusal.problem.code.status();
    write(status, "application/problem+json", Value::Object(members), refusal.headers, surface)
}

fn write(
    status: u16,
    media_type: &str,
    mut body: Value,
    further: Vec<(&'static str, String)>,
    surface: Surface,
) -> worker::Result<Response> {
    if surface == Surface::Ingest {
        stamp(&mut body);
    }
    write_bytes(status, media_type, serde_json::to_vec(&body)?, further, surface)
}

fn write_bytes(
    status: u16,
    media_type: &str,
    body: Vec<u8>,
    further: Vec<(&'static str, String)>,
    surface: Surface,
) -> worker::Result<Response> {
    let headers = Headers::new();
    headers.set("Content-Type", media_type)?;
    headers.set("Cache-Control", "no-store")?;
    headers.set("X-Content-Type-Options", "nosniff")?;
    headers.set("Referrer-Policy", "no-referrer")?;
    headers.set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")?;
    if status == 401 && surface == Surface::Api {
        headers.set("WWW-Authenticate", "Bearer")?;
    }
    if surface == Surface::Ingest {
        headers.set("Access-Control-Allow-Origin", "*")?;
        headers.set("Access-Control-Expose-Headers", "Retry-After, RateLimit, RateLimit-Policy")?;
    }
    for (name, value) in further {
        headers.set(name, &value)?;
    }
    Ok(Response::from_bytes(body)?.with_status(status).with_headers(headers))
}

/// A client with a wrong clock corrects itself by this.
fn stamp(body: &mut Value) {
    if let Value::Object(members) = body {
        members.insert("server_time".into(), Date::now().as_millis().into());
    }
}

/// Members of a reply as a map, for refusals that carry more than the problem.
pub(crate) fn members<const N: usize>(pairs: [(&str, Value); N]) -> Map<String, Value> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
