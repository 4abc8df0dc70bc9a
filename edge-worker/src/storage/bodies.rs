//! Bodies too large for a row, in KV. A value is written before the row that names it, under a key that ends
//! in the attempt's random id, and is never overwritten.

use super::statement::{Bind, bind};
use crate::call::Call;
use crate::failure::{Doing, Outcome};
use serde::{Deserialize, Serialize};
use serde_json::json;
use stepseal_protocol::at_rest::BodyPlace;
use worker::{Date, Env, KvStore};

/// What a value in KV says beside its bytes.
#[derive(Serialize, Deserialize)]
struct Written {
    /// When, Unix ms.
    at: u64,
}

/// Reads the value of a row.
pub(super) async fn read_body(env: &Env, place: &BodyPlace<'_>) -> Outcome<Option<Vec<u8>>> {
    Ok(bodies(env)?.get(&body_key(place)).bytes().await.storing("reading a large body")?)
}

/// The key of a row's value; `discard_bodies.sql` writes the same.
pub(super) fn body_key(place: &BodyPlace<'_>) -> String {
    let BodyPlace { project, execution, writer, k, attempt } = place;
    format!("segment/{project}/{execution}/{writer}/{k}/{attempt}")
}

fn bodies(env: &Env) -> Outcome<KvStore> {
    Ok(env.kv("SEGMENTS").doing("opening the body store")?)
}

/// Writes the value of an attempt.
pub(super) async fn put_body(env: &Env, place: &BodyPlace<'_>, body: &[u8]) -> Outcome<()> {
    let doing = "storing a large body";
    let put = bodies(env)?.put_bytes(&body_key(place), body).doing(doing)?;
    let put = put.metadata(Written { at: Date::now().as_millis() }).doing(doing)?;
    Ok(put.execute().await.storing(doing)?)
}

/// Takes back the value of an attempt that lost, so no row names it.
pub(super) fn discard_body(call: &Call, place: &BodyPlace<'_>) -> Outcome<()> {
    let (store, key) = (bodies(&call.env)?, body_key(place));
    call.context.wait_until(async move {
        if let Err(cause) = store.delete(&key).await {
            worker::console_error!("fault doing=\"discarding a large body\" cause=\"{cause}\"");
        }
    });
    Ok(())
}

/// Removes a value by its key.
pub(crate) async fn delete(env: &Env, key: &str) -> Outcome<()> {
    Ok(bodies(env)?.delete(key).await.storing("removing a body")?)
}

/// A value in KV, by its key alone.
pub(crate) struct ListedBody {
    key: String,
    /// When it was written, Unix ms; 0 if it does not say.
    pub(crate) written_at: u64,
}

/// A page of the values in KV.
pub(crate) struct BodyPage {
    pub(crate) bodies: Vec<ListedBody>,
    /// Where the next page begins; none after the last.
    pub(crate) cursor: Option<String>,
}

/// Lists bodies, whichever project's they are: only the sweep does.
pub(crate) async fn list(env: &Env, cursor: Option<String>, most: u64) -> Outcome<BodyPage> {
    let mut asked = bodies(env)?.list().prefix("segment/".into()).limit(most);
    if let Some(cursor) = cursor {
        asked = asked.cursor(cursor);
    }
    let found = asked.execute().await.storing("listing bodies")?;
    let bodies = found.keys.into_iter().map(|key| ListedBody {
        written_at: key.metadata.and_then(|written| written["at"].as_u64()).unwrap_or(0),
        key: key.name,
    });
    Ok(BodyPage { bodies: bodies.collect(), cursor: found.cursor.filter(|_| !found.list_complete) })
}

/// Those of the listed bodies that no row names.
pub(crate) async fn orphaned(env: &Env, listed: &[ListedBody]) -> Outcome<Vec<String>> {
    #[derive(Deserialize)]
    struct Row {
        key: String,
    }
    let doing = "looking for orphaned bodies";
    let places: Vec<_> = listed.iter().filter_map(|body| place(&body.key)).collect();
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let places = serde_json::to_string(&places).doing(doing)?;
    let database = env.d1("DB").doing(doing)?;
    let statement =
        bind(&database, include_str!("orphaned_bodies.sql"), &[Bind::Text(&places)]).doing(doing)?;
    let rows: Vec<Row> = statement.all().await.storing(doing)?.results().doing(doing)?;
    Ok(rows.into_iter().map(|row| row.key).collect())
}

/// What a key says of the row that would name it.
fn place(key: &str) -> Option<serde_json::Value> {
    let fields: Vec<&str> = key.split('/').collect();
    let ["segment", project, execution, writer, k, attempt] = fields[..] else { return None };
    let k: u64 = k.parse().ok()?;
    Some(json!({
        "key": key, "project": project, "execution": execution, "writer": writer, "k": k, "attempt": attempt,
    }))
}
