//! API keys: D1 is the truth, KV the copy that authentication reads, under the key's digest.

use super::cache::{CONFIG_TTL_S, Fresh};
use super::store::config;
use crate::call::Call;
use crate::failure::{Doing, Outcome};
use serde::Deserialize;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::HashMap;
use stepseal_protocol::access::{ApiKeyRecord, Role};
use worker::wasm_bindgen::JsValue;
use worker::{D1PreparedStatement, Env, query};

thread_local! {
    static KEYS: RefCell<Fresh<Option<ApiKeyRecord>>> = RefCell::new(Fresh::default());
    /// The day on which this isolate last noted the use of a key, by digest.
    static NOTED: RefCell<HashMap<String, String>> = RefCell::new(HashMap::new());
}

/// A key on its way into the store.
pub(crate) struct KeyEntry {
    pub(crate) digest: String,
    pub(crate) record: ApiKeyRecord,
}

/// A row of `api_keys`.
#[derive(Deserialize)]
pub(crate) struct KeyRow {
    pub(crate) digest: String,
    id: String,
    project_id: String,
    role: Role,
    name: String,
    created_at: u64,
    expires_at: Option<u64>,
    revoked_at: Option<u64>,
    last_used_on: Option<String>,
}

impl KeyRow {
    pub(crate) fn shown(&self) -> Value {
        json!({
            "id": self.id,
            "role": self.role,
            "name": self.name,
            "created_at": self.created_at,
            "expires_at": self.expires_at,
            "revoked_at": self.revoked_at,
            "last_used_on": self.last_used_on,
        })
    }

    pub(crate) fn is_revoked(&self) -> bool {
        self.revoked_at.is_some()
    }

    pub(crate) fn record(&self) -> ApiKeyRecord {
        ApiKeyRecord {
            project: self.project_id.clone(),
            role: self.role,
            name: self.name.clone(),
            created_at: self.created_at,
            expires_at: self.expires_at,
        }
    }
}

fn kv_key(digest: &str) -> String {
    format!("api-key/{digest}")
}

/// Whether this isolate knows the key to be one without asking.
pub(crate) fn is_remembered(call: &Call, digest: &str) -> bool {
    KEYS.with_borrow(|keys| keys.get(digest, call.now)).flatten().is_some()
}

/// The record of a key by its digest, at most a minute old.
pub(crate) async fn look_up(call: &Call, digest: &str) -> Outcome<Option<ApiKeyRecord>> {
    if let Some(record) = KEYS.with_borrow(|keys| keys.get(digest, call.now)) {
        return Ok(record);
    }
    let doing = "reading an API key";
    let text = config(&call.env)?.get(&kv_key(digest)).cache_ttl(CONFIG_TTL_S).text().await.storing(doing)?;
    let record: Option<ApiKeyRecord> =
        text.map(|text| serde_json::from_str(&text)).transpose().doing(doing)?;
    remember(call, digest, record.clone());
    Ok(record)
}

fn remember(call: &Call, digest: &str, record: Option<ApiKeyRecord>) {
    let found = record.is_some();
    KEYS.with_borrow_mut(|keys| keys.put(digest.to_owned(), record, found, call.now));
}

/// Stores a new key.
pub(crate) async fn insert(env: &Env, key: &KeyEntry) -> Outcome<()> {
    let doing = "storing an API key";
    insertion(env, key)?.run().await.storing(doing)?;
    publish(env, &key.digest, &key.record).await
}

fn insertion(env: &Env, KeyEntry { digest, record }: &KeyEntry) -> Outcome<D1PreparedStatement> {
    let doing = "binding an API key";
    #[expect(clippy::cast_precision_loss, reason = "times are below 2^53")]
    let time = |at: u64| JsValue::from_f64(at as f64);
    let database = env.d1("DB").doing(doing)?;
    let sql = include_str!("insert_api_key.sql");
    let values = [
        digest.as_str().into(),
        record.project.as_str().into(),
        record.role.as_str().into(),
        record.name.as_str().into(),
        time(record.created_at),
        record.expires_at.map_or(JsValue::NULL, time),
    ];
    Ok(database.prepare(sql).bind(&values).doing(doing)?)
}

async fn publish(env: &Env, digest: &str, record: &ApiKeyRecord) -> Outcome<()> {
    let doing = "publishing an API key";
    let text = serde_json::to_string(record).doing(doing)?;
    Ok(config(env)?.put(&kv_key(digest), text).doing(doing)?.execute().await.storing(doing)?)
}

/// The project's keys, newest first.
pub(crate) async fn list(env: &Env, project: &str) -> Outcome<Vec<KeyRow>> {
    let doing = "listing API keys";
    let database = env.d1("DB").doing(doing)?;
    let statement = query!(&database, include_str!("list_api_keys.sql"), project).doing(doing)?;
    Ok(statement.all().await.storing(doing)?.results().doing(doing)?)
}

/// One of the project's keys by its public id.
pub(crate) async fn one(env: &Env, project: &str, id: &str) -> Outcome<Option<KeyRow>> {
    let doing = "reading an API key";
    let database = env.d1("DB").doing(doing)?;
    let statement = query!(&database, include_str!("one_api_key.sql"), project, id).doing(doing)?;
    Ok(statement.first(None).await.storing(doing)?)
}

/// Ends a key: here at once, in other isolates within a minute. Safe to repeat after a failure.
pub(crate) async fn revoke(call: &Call, project: &str, digest: &str) -> Outcome<()> {
    let doing = "revoking an API key";
    let database = call.env.d1("DB").doing(doing)?;
    query!(&database, include_str!("revoke_api_key.sql"), project, digest, call.now)
        .doing(doing)?
        .run()
        .await
        .storing(doing)?;
    config(&call.env)?.delete(&kv_key(digest)).await.storing(doing)?;
    remember(call, digest, None);
    Ok(())
}

/// Ends every key of a project. Safe to repeat.
pub(crate) async fn end_all(env: &Env, project: &str, now: u64) -> Outcome<()> {
    #[derive(Deserialize)]
    struct Row {
        digest: String,
    }
    let doing = "ending a project's API keys";
    let database = env.d1("DB").doing(doing)?;
    let live = query!(&database, include_str!("live_api_keys.sql"), project).doing(doing)?;
    let live: Vec<Row> = live.all().await.storing(doing)?.results().doing(doing)?;
    if live.is_empty() {
        return Ok(());
    }
    for Row { digest } in &live {
        config(env)?.delete(&kv_key(digest)).await.storing(doing)?;
    }
    KEYS.with_borrow_mut(Fresh::clear);
    let statement = query!(&database, include_str!("revoke_all_api_keys.sql"), project, now).doing(doing)?;
    statement.run().await.storing(doing)?;
    Ok(())
}

/// Stores a key that replaces another, and when that one ends, in one transaction.
pub(crate) async fn replace(call: &Call, old: &KeyRow, ends_at: u64, new: &KeyEntry) -> Outcome<()> {
    let doing = "rotating an API key";
    let database = call.env.d1("DB").doing(doing)?;
    let ending = query!(&database, include_str!("expire_api_key.sql"), old.project_id, old.digest, ends_at)
        .doing(doing)?;
    database.batch(vec![insertion(&call.env, new)?, ending]).await.storing(doing)?;
    publish(&call.env, &new.digest, &new.record).await?;
    let ending = ApiKeyRecord { expires_at: Some(ends_at), ..old.record() };
    publish(&call.env, &old.digest, &ending).await?;
    remember(call, &old.digest, Some(ending));
    Ok(())
}

/// Notes that a key was used today, after the reply. An isolate asks once a day and key; the row is
/// written once a day, whoever asks.
pub(crate) fn note_use(call: &Call, project: &str, digest: &str) {
    let today = today(call.now);
    let noted = NOTED.with_borrow_mut(|noted| noted.insert(digest.to_owned(), today.clone()));
    if noted.as_ref() == Some(&today) {
        return;
    }
    let (env, project, digest) = (call.env.clone(), project.to_owned(), digest.to_owned());
    call.context.wait_until(async move {
        if let Err(failure) = touch(&env, &project, &digest, &today).await {
            worker::console_error!("fault doing=\"noting a key's use\" cause=\"{failure:?}\"");
        }
    });
}

async fn touch(env: &Env, project: &str, digest: &str, today: &str) -> Outcome<()> {
    let doing = "noting a key's use";
    let database = env.d1("DB").doing(doing)?;
    let statement =
        query!(&database, include_str!("touch_api_key.sql"), project, digest, today).doing(doing)?;
    statement.run().await.storing(doing)?;
    Ok(())
}

/// The day (UTC) as `2026-11-21`.
#[expect(clippy::cast_precision_loss, reason = "times are below 2^53")]
fn today(now: u64) -> String {
    let date = worker::js_sys::Date::new(&JsValue::from_f64(now as f64));
    String::from(date.to_iso_string()).chars().take(10).collect()
}
