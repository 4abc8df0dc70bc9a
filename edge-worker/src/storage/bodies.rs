//! Bodies too large for a row, in KV. A value is written before the row that names it, under a key that ends
//! in the attempt's random id, and is never overwritten.

use crate::call::Call;
use crate::failure::{Doing, Outcome};
use stepseal_protocol::ingest::receipt::BatchKey;
use worker::{Env, KvStore};

/// Reads the body of the attempt that a row names.
pub(super) async fn read_body(
    env: &Env,
    project: &str,
    execution: &str,
    writer: &str,
    k: u64,
    attempt: &str,
) -> Outcome<Option<Vec<u8>>> {
    let key = body_key(project, execution, writer, k, attempt);
    Ok(bodies(env)?.get(&key).bytes().await.storing("reading a large body")?)
}

fn body_key(project: &str, execution: &str, writer: &str, k: u64, attempt: &str) -> String {
    format!("segment/{project}/{execution}/{writer}/{k}/{attempt}")
}

fn bodies(env: &Env) -> Outcome<KvStore> {
    Ok(env.kv("SEGMENTS").doing("opening the body store")?)
}

fn key_of(key: &BatchKey, attempt: &str) -> String {
    body_key(key.project.as_str(), key.execution.as_str(), key.writer.as_str(), key.k, attempt)
}

/// Writes the body of an attempt.
pub(super) async fn put_body(env: &Env, key: &BatchKey, attempt: &str, body: &[u8]) -> Outcome<()> {
    let doing = "storing a large body";
    let put = bodies(env)?.put_bytes(&key_of(key, attempt), body).doing(doing)?;
    Ok(put.execute().await.storing(doing)?)
}

/// Takes back the body of an attempt that lost, so no row names its body.
pub(super) fn discard_body(call: &Call, key: &BatchKey, attempt: &str) -> Outcome<()> {
    let (store, key) = (bodies(&call.env)?, key_of(key, attempt));
    call.context.wait_until(async move {
        if let Err(cause) = store.delete(&key).await {
            worker::console_error!("fault doing=\"discarding a large body\" cause=\"{cause}\"");
        }
    });
    Ok(())
}
