//! `GET /v1/executions/{a}/compare/{b}`: what two executions did alike and otherwise.

use super::{Execution, find};
use crate::access;
use crate::audit;
use crate::call::Call;
use crate::failure::Outcome;
use crate::request::url;
use crate::respond::Reply;
use crate::storage::prices;
use crate::storage::segments::{self, SegmentPosition};
use serde_json::{Value, json};
use stepseal_protocol::at_rest::labels::OpenLabels;
use stepseal_protocol::audit::Action;
use stepseal_protocol::batch::{Batch, inflate};
use stepseal_protocol::compare::{Side, compare as compared};
use stepseal_protocol::problem::{Code, Problem};
use worker::Request;

/// Batches of each execution that are opened, at most: each may lie in KV, and the free plan allows 50 calls a request.
const SEGMENTS_MAX: u32 = 18;

/// Compares two executions. Of long ones the beginning is compared, and the reply says so.
pub(crate) async fn compare(request: &Request, call: &Call, a: &str, b: &str) -> Outcome<Reply> {
    let reader = access::reader(request, call).await?;
    if let Some((name, _)) = url(request)?.query_pairs().next() {
        return Err(Problem::new(Code::ParameterUnknown, "This route has no parameters.")
            .of_field(name)
            .into());
    }
    let (a, of_a) = find(call, &reader, a).await?;
    let (b, of_b) = find(call, &reader, b).await?;
    for id in [&a, &b] {
        audit::note_read(call, &reader, Action::ExecutionRead, id.as_str()).await?;
    }
    let project = reader.project.as_str();
    let (one, other) = (side(call, project, a.as_str()).await?, side(call, project, b.as_str()).await?);
    let labels = Execution::labels(&call.env, &reader.project, [&of_a, &of_b]).await?;
    let (shown_a, shown_b) = (shown(&of_a, &one, &labels), shown(&of_b, &other, &labels));
    let mut reply = compared(one, other);
    reply["a"] = shown_a;
    reply["b"] = shown_b;
    Reply::ok(&reply)
}

/// As much of an execution as is compared. A body that cannot be read has no steps: `verify` says what is wrong with it.
async fn side(call: &Call, project: &str, execution: &str) -> Outcome<Side> {
    let mut side = Side::default();
    let first = SegmentPosition::first();
    let page = segments::page(&call.env, project, execution, &first, SEGMENTS_MAX + 1).await?;
    let versions = page.iter().filter_map(|segment| segment.price_version);
    let prices = prices::versions(&call.env, project, versions).await?;
    for (index, segment) in page.iter().enumerate() {
        if index == SEGMENTS_MAX as usize || side.is_full() {
            side.truncated = true;
            break;
        }
        let Some(body) = segment.load_body(&call.env, project, execution).await?.opened() else { continue };
        let Ok(ndjson) = inflate(&body) else { continue };
        let Ok(batch) = Batch::parse(&ndjson) else { continue };
        side.add(&batch, ndjson.len(), prices.at(segment.price_version));
    }
    Ok(side)
}

/// The execution's own sums, whole, and how much of it was compared.
fn shown(execution: &Execution, side: &Side, labels: &OpenLabels) -> Value {
    let mut whole = execution.shown(labels);
    let mut shown = json!({ "compared_steps": side.steps(), "truncated": side.truncated });
    for name in [
        "id",
        "name",
        "status",
        "started_at",
        "duration_ms",
        "ttft_ms",
        "steps",
        "error_steps",
        "usage",
        "cost_usd",
        "derived_cost_usd",
    ] {
        shown[name] = whole[name].take();
    }
    shown
}
