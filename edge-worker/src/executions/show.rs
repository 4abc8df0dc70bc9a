//! `GET /v1/executions/{id}`.

use super::find;
use crate::access;
use crate::audit;
use crate::call::Call;
use crate::failure::{Doing, Outcome};
use crate::request::url;
use crate::respond::Reply;
use crate::storage::executions::Execution;
use crate::storage::{executions, scores, segments};
use serde_json::{Value, json};
use stepseal_protocol::audit::Action;
use stepseal_protocol::batch::{Batch, Kind, inflate};
use stepseal_protocol::ids::ProjectId;
use stepseal_protocol::problem::{Code, Problem};
use worker::{Env, Request};

/// Scores that are shown with an execution, at most: the newest.
const SCORES_MAX: u32 = 200;

/// Shows one execution: its roll-up, and what its `start` and `end` say.
pub(crate) async fn show(request: &Request, call: &Call, id: &str) -> Outcome<Reply> {
    let reader = access::reader(request, call).await?;
    if let Some((name, _)) = url(request)?.query_pairs().next() {
        return Err(Problem::new(Code::ParameterUnknown, "This route has no parameters.")
            .of_field(name)
            .into());
    }
    let (id, execution) = find(call, &reader, id).await?;
    audit::note_read(call, &reader, Action::ExecutionRead, id.as_str()).await?;
    let project = reader.project.as_str();
    let labels = Execution::labels(&call.env, &reader.project, [&execution]).await?;
    let mut shown = execution.shown(&labels);
    add_contents_of(&call.env, project, &execution, &mut shown).await?;
    add_scores_of(&call.env, &reader.project, id.as_str(), &mut shown).await?;
    shown["writers"] = serde_json::to_value(executions::writers(&call.env, project, id.as_str()).await?)
        .doing("showing writers")?;
    Reply::ok(&json!({ "execution": shown }))
}

/// Adds the newest scores, and whether there are more.
pub(crate) async fn add_scores_of(
    env: &Env,
    project: &ProjectId,
    id: &str,
    shown: &mut Value,
) -> Outcome<()> {
    let mut found = scores::newest(env, project.as_str(), id, SCORES_MAX + 1).await?;
    shown["more_scores"] = (found.len() > SCORES_MAX as usize).into();
    found.truncate(SCORES_MAX as usize);
    let labels = scores::labels(env, project, &found).await?;
    shown["scores"] = found.iter().map(|score| score.shown(&labels)).collect();
    Ok(())
}

/// Adds what the execution's `start` and `end` say.
pub(crate) async fn add_contents_of(
    env: &Env,
    project: &str,
    execution: &Execution,
    shown: &mut Value,
) -> Outcome<()> {
    let id = execution.id.as_str();
    for name in ["parent", "metadata", "input", "output", "error"] {
        shown[name] = Value::Null;
    }
    let places = [
        (execution.start_writer.as_deref(), execution.start_k),
        (execution.end_writer.as_deref(), execution.end_k),
    ];
    let mut seen = None;
    for (writer, k) in places.into_iter().filter_map(|(writer, k)| writer.zip(k)) {
        if seen.replace((writer, k)) == Some((writer, k)) {
            continue;
        }
        if let Some(segment) = segments::one(env, project, id, writer, k).await?
            && let Some(body) = segment.load_body(env, project, id).await?.opened()
        {
            add_contents(shown, &body)?;
        }
    }
    Ok(())
}

/// Adds what the `start` and `end` events of a body say. A body that cannot be read adds nothing: whether
/// it was touched is for `verify` to say.
fn add_contents(shown: &mut Value, body: &[u8]) -> Outcome<()> {
    let doing = "reading a stored batch";
    let Ok(ndjson) = inflate(body) else { return Ok(()) };
    let Ok(batch) = Batch::parse(&ndjson) else { return Ok(()) };
    for event in &batch.events {
        let contents = match &event.kind {
            Kind::Start(start) => {
                // The execution or step that began it.
                let line: Value = serde_json::from_str(event.text).doing(doing)?;
                shown["parent"] = line["parent"].clone();
                [("metadata", start.metadata), ("input", start.input)]
            }
            Kind::End(end) => [("output", end.output), ("error", end.error)],
            _ => continue,
        };
        for (name, raw) in contents {
            if let Some(raw) = raw {
                shown[name] = serde_json::from_str(raw.get()).doing(doing)?;
            }
        }
    }
    Ok(())
}
