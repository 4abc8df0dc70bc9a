//! What readers are told of an entry of the log.

use crate::failure::{Doing, Outcome};
use crate::storage::executions::{self, Execution};
use crate::storage::log::Exported;
use serde_json::{Map, Value, json};
use stepseal_protocol::batch::{Batch, Event, Kind, inflate};
use stepseal_protocol::ids::ProjectId;
use stepseal_protocol::query::{Facts, Filter};
use worker::Env;

/// Members of a step that say what happened, not what was said.
const STEP_FIELDS: [&str; 14] = [
    "n",
    "id",
    "kind",
    "name",
    "status",
    "at",
    "duration_ms",
    "ttft_ms",
    "parent",
    "model",
    "provider",
    "tool",
    "usage",
    "cost_usd",
];

/// An entry as readers get it, and what their filters judge of its execution.
pub(super) struct Message {
    pub(super) text: String,
    facts: Option<Facts>,
}

impl Message {
    /// Of an entry; none if what it was about is gone.
    pub(super) async fn of(env: &Env, project: &ProjectId, entry: &Exported) -> Outcome<Option<Self>> {
        let Exported { leaf, segment } = entry;
        let (seq, id) = (leaf.seq, leaf.execution_id.as_str());
        if leaf.is_deletion() {
            let text = json!({ "type": "deletion", "cursor": seq, "execution": { "id": id } }).to_string();
            return Ok(Some(Self { text, facts: None }));
        }
        let Some(segment) = segment else { return Ok(None) };
        let Some(execution) = executions::one(env, project.as_str(), id).await? else { return Ok(None) };
        let labels = Execution::labels(env, project, [&execution]).await?;
        let body = segment.load_body(env, project.as_str(), id).await?.opened();
        let steps = body.map(|body| steps(&body)).transpose()?.unwrap_or_default();
        let text = json!({
            "type": "batch", "cursor": seq, "writer": leaf.writer, "k": leaf.k,
            "execution": execution.shown(&labels), "steps": steps,
        });
        Ok(Some(Self { text: text.to_string(), facts: Some(execution.facts(&labels)) }))
    }

    /// Whether a reader with this filter is told. Deletions concern everyone: what was deleted says no more what it was.
    pub(super) fn passes(&self, filter: &Filter) -> bool {
        self.facts.as_ref().is_none_or(|facts| filter.passes(facts))
    }
}

/// The batch's steps, begun and ended. A body that cannot be read has none: `verify` says what is wrong with it.
fn steps(body: &[u8]) -> Outcome<Vec<Value>> {
    let Ok(ndjson) = inflate(body) else { return Ok(Vec::new()) };
    let Ok(batch) = Batch::parse(&ndjson) else { return Ok(Vec::new()) };
    let steps = batch.events.iter().filter_map(|event| match &event.kind {
        Kind::Step(_) => Some(step_shown(event, None)),
        Kind::Open(_) => Some(step_shown(event, Some("running"))),
        _ => None,
    });
    steps.collect()
}

/// What happened in a step, without what was said.
pub(crate) fn step_shown(event: &Event<'_>, status: Option<&str>) -> Outcome<Value> {
    let all: Map<String, Value> = serde_json::from_str(event.text).doing("showing a step")?;
    let mut shown: Map<String, Value> =
        all.into_iter().filter(|(name, _)| STEP_FIELDS.contains(&name.as_str())).collect();
    if let Some(status) = status {
        shown.insert("status".into(), status.into());
    }
    Ok(Value::Object(shown))
}
