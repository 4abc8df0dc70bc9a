//! Sealing stored bodies under the newest root. Each body by itself, guarded by its attempt, so that a run
//! that is cut off leaves every body readable.

use super::bodies::{body_key, delete, put_body};
use super::cipher;
use super::segments::{self, Body};
use super::statement::{Bind, bind};
use super::subject_keys::SubjectKey;
use crate::failure::{Doing, Outcome};
use crate::projects::random;
use serde::{Deserialize, Serialize};
use stepseal_protocol::at_rest::BodyPlace;
use stepseal_protocol::encoding::hex_encode;
use worker::Env;

/// A row's place in the walk; the default is before all.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RowKey {
    project_id: String,
    execution_id: String,
    writer: String,
    k: u64,
}

/// A row that may have to be sealed anew.
#[derive(Deserialize)]
pub(crate) struct Row {
    project_id: String,
    execution_id: String,
    writer: String,
    k: u64,
    attempt: String,
    sealed_under: Option<String>,
}

/// A page of rows after `after`, in order of their keys.
pub(crate) async fn page(env: &Env, after: &RowKey, limit: u32) -> Outcome<Vec<Row>> {
    let doing = "walking the segments";
    let values = [
        Bind::Text(&after.project_id),
        Bind::Text(&after.execution_id),
        Bind::Text(&after.writer),
        Bind::Number(after.k),
        Bind::Number(limit.into()),
    ];
    let database = env.d1("DB").doing(doing)?;
    let statement = bind(&database, include_str!("walk_segments.sql"), &values).doing(doing)?;
    Ok(statement.all().await.storing(doing)?.results().doing(doing)?)
}

impl Row {
    pub(crate) fn key(&self) -> RowKey {
        RowKey {
            project_id: self.project_id.clone(),
            execution_id: self.execution_id.clone(),
            writer: self.writer.clone(),
            k: self.k,
        }
    }

    pub(crate) fn is_under(&self, root: &str) -> bool {
        self.sealed_under.as_deref() == Some(root)
    }

    fn place<'a>(&'a self, attempt: &'a str) -> BodyPlace<'a> {
        BodyPlace {
            project: &self.project_id,
            execution: &self.execution_id,
            writer: &self.writer,
            k: self.k,
            attempt,
        }
    }

    /// Seals the row's body under the newest root. One that is not there or does not open is left as it is,
    /// for `verify` to show.
    pub(crate) async fn reseal(&self, env: &Env) -> Outcome<()> {
        let (project, execution) = (self.project_id.as_str(), self.execution_id.as_str());
        let Some(segment) = segments::one(env, project, execution, &self.writer, self.k).await? else {
            return Ok(());
        };
        let (body, key) = segment.load_with_key(env, project, execution).await?;
        let Body::Opened(body) = body else { return Ok(()) };
        if segment.is_in_kv() {
            self.move_in_kv(env, key.as_deref(), &body).await
        } else {
            self.replace_in_row(env, key.as_deref(), &body).await
        }
    }

    async fn replace_in_row(&self, env: &Env, key: Option<&SubjectKey>, body: &[u8]) -> Outcome<()> {
        let sealed = cipher::seal(env, &self.place(&self.attempt), key, body).await?;
        let hex = hex_encode(&sealed.bytes);
        self.update(env, &self.attempt, &sealed.root, Some(&hex)).await.map(|_| ())
    }

    /// Values in KV are never overwritten: the new one stands beside the old until the row names it.
    async fn move_in_kv(&self, env: &Env, key: Option<&SubjectKey>, body: &[u8]) -> Outcome<()> {
        let attempt = hex_encode(&random::<16>()?);
        let place = self.place(&attempt);
        let sealed = cipher::seal(env, &place, key, body).await?;
        put_body(env, &place, &sealed.bytes).await?;
        if !self.update(env, &attempt, &sealed.root, None).await? {
            delete(env, &body_key(&place)).await?;
        }
        Ok(())
    }

    /// Writes what was sealed, unless the row is gone or another run was first. False if so.
    async fn update(&self, env: &Env, attempt: &str, root: &str, body: Option<&str>) -> Outcome<bool> {
        let doing = "storing a resealed body";
        let old_body = body_key(&self.place(&self.attempt));
        let key = || {
            [
                Bind::Text(&self.project_id),
                Bind::Text(&self.execution_id),
                Bind::Text(&self.writer),
                Bind::Number(self.k),
                Bind::Text(&self.attempt),
            ]
        };
        let database = env.d1("DB").doing(doing)?;
        let [project, execution, writer, k, old] = key();
        let discard = [project, execution, writer, k, old, Bind::Text(&old_body)];
        let [project, execution, writer, k, old] = key();
        let change = [
            project,
            execution,
            writer,
            k,
            old,
            Bind::Text(attempt),
            Bind::Text(root),
            Bind::MaybeText(body),
        ];
        let statements = vec![
            bind(&database, include_str!("discard_moved_body.sql"), &discard).doing(doing)?,
            bind(&database, include_str!("reseal_segment.sql"), &change).doing(doing)?,
        ];
        let results = database.batch(statements).await.storing(doing)?;
        let updated =
            results.last().map(worker::D1Result::results::<serde_json::Value>).transpose().doing(doing)?;
        Ok(!updated.unwrap_or_default().is_empty())
    }
}
