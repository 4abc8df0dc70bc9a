//! What readers are told of an entry of the log.

use crate::failure::{Doing, Outcome};
use crate::storage::executions::{self, Execution};
use crate::storage::listing;
use crate::storage::log::Exported;
use crate::storage::prices::{self, Prices};
use serde_json::{Map, Value, json};
use stepseal_protocol::batch::{Batch, Event, Kind, inflate};
use stepseal_protocol::ids::ProjectId;
use stepseal_protocol::query::LiveQuery;
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

/// An entry as readers get it, and the execution that their filters judge.
pub(super) struct Message {
    pub(super) text: String,
    execution: Option<Execution>,
}

impl Message {
    /// Of an entry; none if what it was about is gone.
    pub(super) async fn of(env: &Env, project: &ProjectId, entry: &Exported) -> Outcome<Option<Self>> {
        let Exported { leaf, segment } = entry;
        let (seq, id) = (leaf.seq, leaf.execution_id.as_str());
        if leaf.is_deletion() {
            let text = json!({ "type": "deletion", "cursor": seq, "execution": { "id": id } }).to_string();
            return Ok(Some(Self { text, execution: None }));
        }
        let Some(segment) = segment else { return Ok(None) };
        let Some(execution) = executions::one(env, project.as_str(), id).await? else { return Ok(None) };
        let labels = Execution::labels(env, project, [&execution]).await?;
        let body = segment.load_body(env, project.as_str(), id).await?.opened();
        let prices = prices::versions(env, project.as_str(), segment.price_version.into_iter()).await?;
        let steps =
            body.map(|body| steps(&body, &prices, segment.price_version)).transpose()?.unwrap_or_default();
        let text = json!({
            "type": "batch", "cursor": seq, "writer": leaf.writer, "k": leaf.k,
            "execution": execution.shown(&labels), "steps": steps,
        });
        Ok(Some(Self { text: text.to_string(), execution: Some(execution) }))
    }

    /// Whether a reader is told: whether the list that is asked for, whose words `expression` finds, has the execution. Deletions
    /// concern everyone: what was deleted says no more what it was.
    pub(super) async fn concerns(
        &self,
        env: &Env,
        project: &ProjectId,
        asked: &LiveQuery,
        expression: Option<&str>,
    ) -> Outcome<bool> {
        match &self.execution {
            Some(execution) if !asked.is_of_all() => {
                listing::lists(env, project, &asked.list, expression, execution).await
            }
            _ => Ok(true),
        }
    }
}

/// The batch's steps, begun and ended. A body that cannot be read has none: `verify` says what is wrong with it.
fn steps(body: &[u8], prices: &Prices, version: Option<u64>) -> Outcome<Vec<Value>> {
    let Ok(ndjson) = inflate(body) else { return Ok(Vec::new()) };
    let Ok(batch) = Batch::parse(&ndjson) else { return Ok(Vec::new()) };
    let mut steps = Vec::new();
    for event in &batch.events {
        match &event.kind {
            Kind::Step(step) => {
                let mut shown = step_shown(event)?;
                prices.add_derived(&mut shown, step, version);
                steps.push(shown.into());
            }
            Kind::Open(_) => {
                let mut shown = step_shown(event)?;
                shown.insert("status".into(), "running".into());
                steps.push(shown.into());
            }
            _ => {}
        }
    }
    Ok(steps)
}

/// What happened in a step, without what was said.
pub(crate) fn step_shown(event: &Event<'_>) -> Outcome<Map<String, Value>> {
    let all: Map<String, Value> = serde_json::from_str(event.text).doing("showing a step")?;
    Ok(all.into_iter().filter(|(name, _)| STEP_FIELDS.contains(&name.as_str())).collect())
}
