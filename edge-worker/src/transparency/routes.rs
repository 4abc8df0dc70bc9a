//! `/v1/checkpoints`: what a customer keeps, and what it proves an export with.

use super::signer::Signer;
use crate::access::{self, Reader};
use crate::call::Call;
use crate::config::Secrets;
use crate::failure::{Doing, Outcome};
use crate::request::url;
use crate::respond::Reply;
use crate::storage::log::{self, CheckpointRow};
use serde_json::json;
use stepseal_protocol::problem::{Code, Problem};
use stepseal_protocol::query::{Cursors, PageQuery};
use worker::Request;

const NOTE_TYPE: &str = "text/plain; charset=utf-8";

fn cursors(call: &Call, reader: &Reader, query: &str) -> Outcome<Cursors> {
    Ok(Cursors::of(&Secrets::of(&call.env)?.oldest_root()?, &reader.project, query.into()))
}

fn refuse_parameters(request: &Request) -> Outcome<()> {
    match url(request)?.query_pairs().next() {
        None => Ok(()),
        Some((name, _)) => {
            Err(Problem::new(Code::ParameterUnknown, "This route has no parameters.").of_field(name).into())
        }
    }
}

/// `GET /v1/checkpoints/key`: the verifier key of the project's log.
pub(crate) async fn key(request: &Request, call: &Call) -> Outcome<Reply> {
    let reader = access::reader(request, call).await?;
    refuse_parameters(request)?;
    let signer = Signer::of(&call.env, &reader.project).await?;
    Ok(Reply::text(NOTE_TYPE, format!("{}\n", signer.verifier().to_text())))
}

/// `GET /v1/checkpoints/latest`: the last note.
pub(crate) async fn latest(request: &Request, call: &Call) -> Outcome<Reply> {
    let reader = access::reader(request, call).await?;
    refuse_parameters(request)?;
    let found = log::latest(&call.env, reader.project.as_str()).await?.ok_or_else(none_yet)?;
    Ok(Reply::text(NOTE_TYPE, found.note))
}

pub(crate) fn none_yet() -> Problem {
    Problem::new(
        Code::CheckpointNotFound,
        "There is no checkpoint yet: one is made within minutes of a batch.",
    )
}

/// `GET /v1/checkpoints`: all of them, largest first.
pub(crate) async fn list(request: &Request, call: &Call) -> Outcome<Reply> {
    let reader = access::reader(request, call).await?;
    let query = PageQuery::parse(url(request)?.query_pairs())?;
    let cursors = cursors(call, &reader, "checkpoints")?;
    let before = match &query.cursor {
        Some(cursor) => cursors.open(cursor)?.parse::<u64>().doing("opening a cursor")?,
        None => u64::MAX >> 11,
    };
    let mut found = log::checkpoints(&call.env, reader.project.as_str(), before, query.limit + 1).await?;
    let more = found.len() > query.limit as usize;
    found.truncate(query.limit as usize);
    let next_cursor = found.last().filter(|_| more).map(|last| cursors.seal(&last.size.to_string()));
    let shown = |row: &CheckpointRow| json!({ "size": row.size, "made_at": row.made_at, "note": row.note });
    Reply::ok(&json!({
        "checkpoints": found.iter().map(shown).collect::<Vec<_>>(),
        "next_cursor": next_cursor,
    }))
}
