//! API keys of a project: list, create, revoke, rotate. A key is shown once, in the reply that made it.

use super::key_store::{self, KeyEntry, KeyRow};
use super::{random, read_request};
use crate::access::Administrator;
use crate::audit;
use crate::call::Call;
use crate::config::Secrets;
use crate::failure::Outcome;
use crate::respond::Reply;
use serde_json::{Value, json};
use stepseal_protocol::access::{ApiKey, ApiKeyRecord, key_id};
use stepseal_protocol::administration::{KeyRotation, NewKey};
use stepseal_protocol::audit::Action;
use stepseal_protocol::problem::{Code, Problem};
use worker::Request;

/// `GET …/keys`.
pub(crate) async fn list(call: &Call, admin: &Administrator) -> Outcome<Reply> {
    let keys = key_store::list(&call.env, admin.project.as_str()).await?;
    Reply::ok(&json!({ "keys": keys.iter().map(KeyRow::shown).collect::<Vec<_>>() }))
}

/// `POST …/keys`.
pub(crate) async fn create(request: &mut Request, call: &Call, admin: &Administrator) -> Outcome<Reply> {
    let wanted: NewKey = read_request(request).await?;
    let record = wanted.record(admin.project.as_str(), call.now)?;
    super::store::read(&call.env, admin.project.as_str()).await?.ok_or_else(super::store::absent)?;
    let (key, entry) = generate(call, record)?;
    key_store::insert(&call.env, &entry).await?;
    let details = json!({ "role": entry.record.role, "name": entry.record.name });
    audit::note(call, admin, Action::KeyCreate, &key_id(&entry.digest), details).await?;
    Reply::with_status(201, &shown_once(&key, &entry))
}

/// A key for a record, and what is stored of it.
pub(super) fn generate(call: &Call, record: ApiKeyRecord) -> Outcome<(ApiKey, KeyEntry)> {
    let key = ApiKey::generate(record.role, random()?);
    let digest = key.digest(&Secrets::of(&call.env)?.oldest_root()?);
    Ok((key, KeyEntry { digest, record }))
}

fn shown_once(key: &ApiKey, KeyEntry { digest, record }: &KeyEntry) -> Value {
    json!({
        "key": key.reveal(),
        "id": key_id(digest),
        "role": record.role,
        "name": record.name,
        "created_at": record.created_at,
        "expires_at": record.expires_at,
    })
}

/// `DELETE …/keys/{id}`: effective here at once, everywhere within 60 s.
pub(crate) async fn revoke(call: &Call, admin: &Administrator, id: &str) -> Outcome<Reply> {
    let key = find(call, admin, id).await?;
    key_store::revoke(call, admin.project.as_str(), &key.digest).await?;
    audit::note(call, admin, Action::KeyRevoke, id, Value::Null).await?;
    Reply::ok(&json!({ "revoked": id }))
}

/// `POST …/keys/{id}/rotate`: a new key of the same role and name; the old one goes on for the overlap.
pub(crate) async fn rotate(
    request: &mut Request,
    call: &Call,
    admin: &Administrator,
    id: &str,
) -> Outcome<Reply> {
    let rotation: KeyRotation = super::read_request_or_default(request).await?;
    let old = find(call, admin, id).await?;
    if old.is_revoked() {
        return Err(Problem::new(Code::KeyEnded, "The key is revoked. Create a new one.").into());
    }
    let (record, ends_at) = rotation.apply(&old.record(), call.now)?;
    let (key, entry) = generate(call, record)?;
    key_store::replace(call, &old, ends_at, &entry).await?;
    let details = json!({ "successor": key_id(&entry.digest), "expires_at": ends_at });
    audit::note(call, admin, Action::KeyRotate, id, details).await?;
    let mut reply = shown_once(&key, &entry);
    reply["replaces"] = json!({ "id": id, "expires_at": ends_at });
    Reply::with_status(201, &reply)
}

async fn find(call: &Call, admin: &Administrator, id: &str) -> Outcome<KeyRow> {
    let key = key_store::one(&call.env, admin.project.as_str(), id).await?;
    Ok(key.ok_or_else(|| Problem::new(Code::KeyNotFound, "The project has no API key of this id."))?)
}
