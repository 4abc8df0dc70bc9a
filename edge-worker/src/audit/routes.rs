//! `/v1/audit`: the log by filters, and its verification. Reading the log is not itself noted.

use super::ask;
use super::log::{Ask, Filter};
use crate::access::Administrator;
use crate::call::Call;
use crate::config::Secrets;
use crate::failure::{Doing, Outcome};
use crate::request::url;
use crate::respond::Reply;
use serde_json::{Value, json};
use stepseal_protocol::audit::{Chain, Entry, Fault, GENESIS, cut_off};
use stepseal_protocol::query::{AuditQuery, AuditVerifyQuery, Cursors};
use worker::Request;

/// Entries that one request verifies.
const WALK_MAX: u32 = 1_000;

fn cursors(call: &Call, admin: &Administrator, query: String) -> Outcome<Cursors> {
    Ok(Cursors::of(&Secrets::of(&call.env)?.oldest_root()?, &admin.project, query))
}

/// `GET /v1/audit`: newest first.
pub(crate) async fn list(request: &Request, call: &Call, admin: &Administrator) -> Outcome<Reply> {
    let doing = "opening a cursor";
    let query = AuditQuery::parse(url(request)?.query_pairs())?;
    let cursors = cursors(call, admin, query.canonical())?;
    let before = match &query.page.cursor {
        Some(cursor) => cursors.open(cursor)?.parse::<i64>().doing(doing)?,
        None => i64::MAX >> 11,
    };
    let filter = Filter {
        action: query.action.map(|action| action.as_str().into()),
        actor: query.actor,
        target: query.target,
        from: query.from,
        to: query.to,
    };
    let asked = Ask::List { filter, before, limit: query.page.limit + 1 };
    let mut entries = ask(&call.env, &admin.project, &asked).await?.entries;
    let more = entries.len() > query.page.limit as usize;
    entries.truncate(query.page.limit as usize);
    let next_cursor = entries.last().filter(|_| more).map(|last| cursors.seal(&last.seq.to_string()));
    Reply::ok(
        &json!({ "entries": entries.iter().map(shown).collect::<Vec<_>>(), "next_cursor": next_cursor }),
    )
}

fn shown(entry: &Entry) -> Value {
    json!({
        "seq": entry.seq,
        "at": entry.at,
        "actor": entry.actor,
        "action": entry.action,
        "target": entry.target,
        "details": entry.details(),
        "hash": entry.hash,
    })
}

/// `GET /v1/audit/verify`: a page of the chain, oldest first. With `seq` and `hash` also whether that entry
/// is still the one that somebody noted.
pub(crate) async fn verify(request: &Request, call: &Call, admin: &Administrator) -> Outcome<Reply> {
    let query = AuditVerifyQuery::parse(url(request)?.query_pairs())?;
    let cursors = cursors(call, admin, "audit-verify".into())?;
    let (after, hash) = match &query.cursor {
        Some(cursor) => position(&cursors.open(cursor)?)?,
        None => (0, GENESIS.to_owned()),
    };
    let asked = Ask::Walk { after: i64::try_from(after).doing("walking the log")?, limit: WALK_MAX };
    let answer = ask(&call.env, &admin.project, &asked).await?;
    let chain = Chain::of(&Secrets::of(&call.env)?.oldest_root()?, &admin.project);
    let mut faults = chain.check((after, &hash), &answer.entries);
    let last = answer.entries.last().map_or((after, hash.as_str()), |entry| (entry.seq, &*entry.hash));
    let more = answer.entries.len() == WALK_MAX as usize && last.0 < answer.head.seq;
    if !more {
        faults.extend(cut_off(last, (answer.head.seq, &answer.head.hash)));
    }
    faults.extend(query.noted.as_ref().and_then(|noted| not_the_noted(noted, after, &answer.entries, more)));
    let next_cursor = more.then(|| cursors.seal(&format!("{}|{}", last.0, last.1)));
    Reply::ok(&json!({
        "verdict": if faults.is_empty() { "verified" } else { "tampered" },
        "entries": answer.entries.len(),
        "faults": faults,
        "head": answer.head,
        "next_cursor": next_cursor,
    }))
}

/// Whether the noted entry belongs on this page and is not there as it was.
fn not_the_noted(noted: &(u64, String), after: u64, entries: &[Entry], more: bool) -> Option<Fault> {
    let (seq, hash) = noted;
    let beyond = more && entries.last().is_some_and(|last| *seq > last.seq);
    if *seq <= after || beyond {
        return None;
    }
    let found = entries.iter().any(|entry| entry.seq == *seq && entry.hash == *hash);
    (!found).then_some(Fault::NotTheNoted { seq: *seq })
}

fn position(text: &str) -> Outcome<(u64, String)> {
    let doing = "opening a cursor";
    let (seq, hash) = text.split_once('|').ok_or("a cursor of ours").doing(doing)?;
    Ok((seq.parse::<u64>().doing(doing)?, hash.to_owned()))
}
