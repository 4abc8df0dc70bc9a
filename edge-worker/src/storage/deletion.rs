//! Deleting executions: rows and a tombstone in one transaction, then the values in KV.

use super::bodies;
use super::statement::{Bind, bind};
use crate::failure::{Doing, Outcome};
use serde::Deserialize;
use worker::Env;

#[derive(Deserialize)]
struct IdRow {
    id: String,
}

#[derive(Deserialize)]
struct KeyRow {
    key: String,
}

/// Deletes executions of a project, and notes which of their bodies are left in KV. Returns how many were
/// there.
pub(crate) async fn delete_executions(env: &Env, project: &str, ids: &[String], now: u64) -> Outcome<usize> {
    if ids.is_empty() {
        return Ok(0);
    }
    let doing = "deleting executions";
    let database = env.d1("DB").doing(doing)?;
    let ids = serde_json::to_string(ids).doing(doing)?;
    let which = || [Bind::Text(project), Bind::Text(&ids)];
    let statements = vec![
        bind(
            &database,
            include_str!("insert_tombstones.sql"),
            &[Bind::Text(project), Bind::Text(&ids), Bind::Number(now)],
        )
        .doing(doing)?,
        bind(&database, include_str!("insert_deletion_leaves.sql"), &which()).doing(doing)?,
        bind(&database, include_str!("discard_bodies.sql"), &which()).doing(doing)?,
        bind(&database, include_str!("delete_segments.sql"), &which()).doing(doing)?,
        bind(&database, include_str!("delete_executions.sql"), &which()).doing(doing)?,
    ];
    let results = database.batch(statements).await.storing(doing)?;
    let deleted = results.last().map(worker::D1Result::results::<IdRow>).transpose().doing(doing)?;
    Ok(deleted.unwrap_or_default().len())
}

/// Removes up to `most` noted bodies from KV. Returns how many.
pub(crate) async fn clear_discarded(env: &Env, most: u32) -> Outcome<usize> {
    let doing = "clearing discarded bodies";
    let database = env.d1("DB").doing(doing)?;
    let found: Vec<KeyRow> =
        bind(&database, include_str!("list_discarded_bodies.sql"), &[Bind::Number(most.into())])
            .doing(doing)?
            .all()
            .await
            .storing(doing)?
            .results()
            .doing(doing)?;
    if found.is_empty() {
        return Ok(0);
    }
    for row in &found {
        bodies::delete(env, &row.key).await?;
    }
    let keys = serde_json::to_string(&found.iter().map(|row| &row.key).collect::<Vec<_>>()).doing(doing)?;
    bind(&database, include_str!("strike_discarded_bodies.sql"), &[Bind::Text(&keys)])
        .doing(doing)?
        .run()
        .await
        .storing(doing)?;
    Ok(found.len())
}

/// Whether an execution was deleted, as far back as tombstones stand.
pub(crate) async fn is_deleted(env: &Env, project: &str, execution: &str) -> Outcome<bool> {
    let doing = "asking for a tombstone";
    let database = env.d1("DB").doing(doing)?;
    let values = [Bind::Text(project), Bind::Text(execution)];
    let statement = bind(&database, include_str!("one_tombstone.sql"), &values).doing(doing)?;
    Ok(statement.first::<u64>(Some("deleted_at")).await.storing(doing)?.is_some())
}

/// Removes tombstones from before `before` (Unix ms).
pub(crate) async fn purge_tombstones(env: &Env, before: u64) -> Outcome<()> {
    let doing = "purging tombstones";
    let database = env.d1("DB").doing(doing)?;
    let statement =
        bind(&database, include_str!("purge_tombstones.sql"), &[Bind::Number(before)]).doing(doing)?;
    statement.run().await.storing(doing)?;
    Ok(())
}

/// Up to `most` executions whose retention is over: nothing arrived for them since `cutoff`. A page's clock
/// may have dated one beyond `future`; it must not live for ever.
pub(crate) async fn expired(
    env: &Env,
    project: &str,
    cutoff: u64,
    future: u64,
    most: u32,
) -> Outcome<Vec<String>> {
    let values = [Bind::Text(project), Bind::Number(cutoff), Bind::Number(future), Bind::Number(most.into())];
    ids(env, include_str!("list_expired.sql"), &values, "listing expired executions").await
}

/// Up to `most` executions of a user.
pub(crate) async fn of_user(env: &Env, project: &str, user: &str, most: u32) -> Outcome<Vec<String>> {
    let values = [Bind::Text(project), Bind::Text(user), Bind::Number(most.into())];
    ids(env, include_str!("list_of_user.sql"), &values, "listing a user's executions").await
}

/// Up to `most` executions of a subject.
pub(crate) async fn of_subject(env: &Env, project: &str, subject: &str, most: u32) -> Outcome<Vec<String>> {
    let values = [Bind::Text(project), Bind::Text(subject), Bind::Number(most.into())];
    ids(env, include_str!("list_of_subject.sql"), &values, "listing a subject's executions").await
}

/// Up to `most` executions of a project.
pub(crate) async fn of_project(env: &Env, project: &str, most: u32) -> Outcome<Vec<String>> {
    let values = [Bind::Text(project), Bind::Number(most.into())];
    ids(env, include_str!("list_of_project.sql"), &values, "listing a project's executions").await
}

async fn ids(env: &Env, sql: &str, values: &[Bind<'_>], doing: &'static str) -> Outcome<Vec<String>> {
    let database = env.d1("DB").doing(doing)?;
    let found = bind(&database, sql, values).doing(doing)?.all().await.storing(doing)?;
    Ok(found.results::<IdRow>().doing(doing)?.into_iter().map(|row| row.id).collect())
}
