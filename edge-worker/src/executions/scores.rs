//! `POST /v1/executions/{id}/scores`: what somebody thinks of an execution, by a key that may write.

use super::find_in;
use crate::access;
use crate::audit;
use crate::call::Call;
use crate::failure::Outcome;
use crate::projects::{read_request, store};
use crate::respond::Reply;
use crate::storage::labels::Indexer;
use crate::storage::scores::{self, Added, SealedScore};
use crate::storage::subject_keys;
use serde_json::json;
use stepseal_protocol::audit::Action;
use stepseal_protocol::problem::{Code, Problem};
use stepseal_protocol::scores::{SCORES_OF_EXECUTION_MAX, ScoreRequest};
use worker::Request;

/// Scores an execution.
pub(crate) async fn add(mut request: Request, call: &Call, id: &str) -> Outcome<Reply> {
    let writer = access::writer(&request, call).await?;
    // What is not there is said first; the body is read before anything is answered.
    let wanted = read_request::<ScoreRequest>(&mut request).await;
    let (id, execution) = find_in(call, &writer.project, id).await?;
    let wanted = wanted?.check()?;
    let settings = store::project(call, &writer.project).await?;
    if let Some(settings) = &settings {
        settings.refuse_inactive()?;
    }
    let project = writer.project.as_str();
    // What is said of an execution goes with the data of the person whose it is.
    let subject_key = match settings {
        Some(settings) if settings.subject_keys => {
            Some(subject_keys::of(&call.env, &writer.project, &execution.subject).await?)
        }
        _ => None,
    };
    let indexer = Indexer::of(&call.env, &writer.project, subject_key.as_deref())?;
    let score = SealedScore::of(&wanted, id.as_str(), &indexer);
    match scores::add(&call.env, project, id.as_str(), &score, &writer.actor, call.now).await? {
        Added::There { score, duplicate } => {
            // A repeat too: the first one may not have been noted.
            let details = json!({ "score": wanted.id });
            audit::note_by(call, &writer.project, &writer.actor, Action::ScoreAdd, id.as_str(), details)
                .await?;
            let labels = scores::labels(&call.env, &writer.project, std::slice::from_ref(&score)).await?;
            Reply::ok(&json!({ "score": score.shown(&labels), "duplicate": duplicate }))
        }
        Added::Conflict => {
            let detail = "Another score of this execution has this id. Give each an id of its own.";
            Err(Problem::new(Code::ScoreConflict, detail).of_field("id").into())
        }
        Added::Refused => {
            // Deleted meanwhile?
            find_in(call, &writer.project, id.as_str()).await?;
            let detail = format!("Keys gave this execution {SCORES_OF_EXECUTION_MAX} scores already.");
            Err(Problem::new(Code::ListFull, detail).into())
        }
    }
}
