//! Following a project live: executions and steps as they are stored.
//!
//! The project's log (`leaves`) is the order: it has no gaps, and a number in it is the cursor that a reader resumes from.
//! One Durable Object a project ([`feed`]) holds the readers. A commit tells it that there is more ([`announce`]); it reads
//! the log from its slowest reader on and hands each what passes its filter. Messages say what happened and not what was
//! said: contents are read by `/steps`, where reading is audited.

pub(crate) mod announce;
pub(crate) mod feed;
pub(crate) mod message;

use crate::access::{self, cross_origin};
use crate::call::Call;
use crate::failure::{Doing, Outcome};
use crate::request::{header, url};
use crate::respond::Reply;
use crate::storage::{log, text};
use stepseal_protocol::problem::{Code, Problem};
use stepseal_protocol::query::{CONNECTION_MS, LiveQuery, Subscription};
use worker::{Env, Headers, Method, Request, RequestInit, Stub};

/// The header that carries a [`Subscription`] to the feed.
const SUBSCRIPTION: &str = "stepseal-subscription";

/// Connects a reader to its project's feed: a WebSocket where one is asked for, server-sent events otherwise.
pub(crate) async fn follow(request: &Request, call: &Call) -> Outcome<Reply> {
    let reader = access::reader(request, call).await?;
    let upgrade = header(request, "upgrade");
    if upgrade.is_some() {
        // A WebSocket's page is not bound by CORS: another site's would ride on the cookie.
        cross_origin::refuse_foreign(request)?;
    }
    if upgrade.as_deref().is_some_and(|protocol| !protocol.eq_ignore_ascii_case("websocket")) {
        let detail = "This route upgrades to `websocket` only.";
        return Err(Problem::new(Code::ParameterInvalid, detail).of_field("upgrade").into());
    }
    let asked = url(request)?;
    let query = LiveQuery::parse(asked.query_pairs())?;
    let next = match query.cursor.or(last_event_id(request)?) {
        Some(seen) => seen + 1,
        None => log::next(&call.env, reader.project.as_str()).await?,
    };
    let question = asked.query().unwrap_or_default().to_owned();
    let ends_at = call.now + CONNECTION_MS;
    let expression = text::expression(call, &reader.project, query.list.text.as_ref()).await?;
    let subscription =
        Subscription::new(reader.project.to_string(), reader.actor, question, expression, next, ends_at);
    let headers = Headers::new();
    let doing = "following a project";
    let text = serde_json::to_string(&subscription).doing(doing)?;
    headers.set(SUBSCRIPTION, &text).doing(doing)?;
    if upgrade.is_some() {
        headers.set("upgrade", "websocket").doing(doing)?;
    }
    let mut init = RequestInit::new();
    init.with_method(Method::Get).with_headers(headers);
    let forwarded = Request::new_with_init("https://feed/follow", &init).doing(doing)?;
    let stub = feed_of(&call.env, &subscription.project)?;
    Ok(Reply::made(stub.fetch_with_request(forwarded).await.storing(doing)?))
}

/// Where a browser's `EventSource` resumes.
fn last_event_id(request: &Request) -> Outcome<Option<u64>> {
    let Some(text) = header(request, "last-event-id") else { return Ok(None) };
    let invalid =
        || Problem::new(Code::CursorInvalid, "`Last-Event-ID` is none of ours.").of_field("last-event-id");
    Ok(Some(text.parse::<u64>().ok().filter(|id| *id < 1 << 53).ok_or_else(invalid)?))
}

fn feed_of(env: &Env, project: &str) -> Outcome<Stub> {
    let doing = "finding a project's feed";
    Ok(env.durable_object("LIVE").doing(doing)?.get_by_name(project).doing(doing)?)
}
