//! The transparency log's rows: leaves and checkpoints.

use super::segments::Segment;
use super::statement::{Bind, bind};
use crate::failure::{Doing, Outcome};
use serde::Deserialize;
use stepseal_protocol::transparency::Leaf;
use worker::Env;

/// An entry of the log.
#[derive(Deserialize)]
pub(crate) struct LeafRow {
    pub(crate) seq: u64,
    kind: String,
    pub(crate) execution_id: String,
    pub(crate) writer: String,
    pub(crate) k: u64,
    pub(crate) content: String,
    /// Subject of the execution, where it is still there.
    #[serde(default)]
    pub(crate) owner: Option<String>,
}

impl LeafRow {
    pub(crate) fn leaf(&self) -> Leaf<'_> {
        if self.is_deletion() {
            return Leaf::Deletion { execution: &self.execution_id };
        }
        Leaf::Batch { execution: &self.execution_id, writer: &self.writer, k: self.k, content: &self.content }
    }

    pub(crate) fn is_deletion(&self) -> bool {
        self.kind == "deletion"
    }
}

/// An entry with the batch it is about, if that is still there.
pub(crate) struct Exported {
    pub(crate) leaf: LeafRow,
    pub(crate) segment: Option<Segment>,
}

/// A signed checkpoint and where the next goes on.
#[derive(Deserialize)]
pub(crate) struct CheckpointRow {
    pub(crate) size: u64,
    pub(crate) made_at: u64,
    pub(crate) note: String,
    pub(crate) frontier: String,
}

#[derive(Deserialize)]
struct Next {
    next: u64,
}

/// A project whose log has grown.
#[derive(Deserialize)]
pub(crate) struct Behind {
    pub(crate) id: String,
    pub(crate) leaves: u64,
}

async fn rows<T: for<'a> Deserialize<'a>>(
    env: &Env,
    sql: &str,
    values: &[Bind<'_>],
    doing: &'static str,
) -> Outcome<Vec<T>> {
    let database = env.d1("DB").doing(doing)?;
    let result = bind(&database, sql, values).doing(doing)?.all().await.storing(doing)?;
    Ok(result.results().doing(doing)?)
}

/// Up to `most` entries from number `from` on, before `end`.
pub(crate) async fn leaves(
    env: &Env,
    project: &str,
    from: u64,
    end: u64,
    most: u32,
) -> Outcome<Vec<LeafRow>> {
    let values = [Bind::Text(project), Bind::Number(from), Bind::Number(end), Bind::Number(most.into())];
    rows(env, include_str!("page_leaves.sql"), &values, "reading a log").await
}

/// The same with their batches.
pub(crate) async fn export(
    env: &Env,
    project: &str,
    from: u64,
    end: u64,
    most: u32,
) -> Outcome<Vec<Exported>> {
    let doing = "reading a log to export";
    let values = [Bind::Text(project), Bind::Number(from), Bind::Number(end), Bind::Number(most.into())];
    let found: Vec<serde_json::Value> = rows(env, include_str!("page_export.sql"), &values, doing).await?;
    let exported = |row: serde_json::Value| {
        let segment = row["attempt"].is_string().then(|| Segment::deserialize(&row)).transpose()?;
        Ok::<_, serde_json::Error>(Exported { leaf: LeafRow::deserialize(&row)?, segment })
    };
    Ok(found.into_iter().map(exported).collect::<Result<_, _>>().doing(doing)?)
}

/// The number that the next entry gets.
pub(crate) async fn next(env: &Env, project: &str) -> Outcome<u64> {
    let doing = "looking for a log's end";
    let sql = include_str!("next_leaf.sql");
    let found: Vec<Next> = rows(env, sql, &[Bind::Text(project)], doing).await?;
    Ok(found.first().map_or(0, |row| row.next))
}

/// Up to `most` projects by id after `after` whose log has grown.
pub(crate) async fn behind(env: &Env, after: &str, most: u32) -> Outcome<Vec<Behind>> {
    let values = [Bind::Text(after), Bind::Number(most.into())];
    rows(env, include_str!("behind_logs.sql"), &values, "looking for logs that grew").await
}

/// Up to `most` checkpoints smaller than `before`, largest first.
pub(crate) async fn checkpoints(
    env: &Env,
    project: &str,
    before: u64,
    most: u32,
) -> Outcome<Vec<CheckpointRow>> {
    let values = [Bind::Text(project), Bind::Number(before), Bind::Number(most.into())];
    rows(env, include_str!("list_checkpoints.sql"), &values, "reading checkpoints").await
}

/// The largest checkpoint.
pub(crate) async fn latest(env: &Env, project: &str) -> Outcome<Option<CheckpointRow>> {
    Ok(checkpoints(env, project, u64::MAX >> 11, 1).await?.pop())
}

/// Keeps a checkpoint. One that is there stays: two runs at once make the same.
pub(crate) async fn keep(env: &Env, project: &str, checkpoint: &CheckpointRow) -> Outcome<()> {
    let doing = "keeping a checkpoint";
    let database = env.d1("DB").doing(doing)?;
    let values = [
        Bind::Text(project),
        Bind::Number(checkpoint.size),
        Bind::Number(checkpoint.made_at),
        Bind::Text(&checkpoint.note),
        Bind::Text(&checkpoint.frontier),
    ];
    bind(&database, include_str!("insert_checkpoint.sql"), &values)
        .doing(doing)?
        .run()
        .await
        .storing(doing)?;
    Ok(())
}

/// Forgets the log of a deleted project: nobody is left who could ask for it.
pub(crate) async fn delete(env: &Env, project: &str) -> Outcome<()> {
    let doing = "deleting a log";
    let database = env.d1("DB").doing(doing)?;
    let values = [Bind::Text(project)];
    let statements = vec![
        bind(&database, include_str!("delete_checkpoints.sql"), &values).doing(doing)?,
        bind(&database, include_str!("delete_leaves.sql"), &values).doing(doing)?,
    ];
    database.batch(statements).await.storing(doing)?;
    Ok(())
}
