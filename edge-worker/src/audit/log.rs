//! The Durable Object that holds a project's audit log: one instance a project, so its chain has one
//! writer. Entries are only ever inserted.

use crate::config::Secrets;
use serde::{Deserialize, Serialize};
use stepseal_protocol::audit::{Chain, Entry, GENESIS, Note};
use stepseal_protocol::ids::ProjectId;
use worker::{
    DurableObject, Env, Request, Response, Result, SqlStorage, SqlStorageValue, State, durable_object,
};

const HEAD: &str = "head";

/// What the log is asked.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ask {
    Append {
        project: String,
        note: Note,
    },
    /// Newest first, before number `before`.
    List {
        filter: Filter,
        before: i64,
        limit: u32,
    },
    /// Oldest first, after number `after`.
    Walk {
        after: i64,
        limit: u32,
    },
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Filter {
    pub(crate) action: Option<String>,
    pub(crate) actor: Option<String>,
    pub(crate) target: Option<String>,
    pub(crate) from: Option<i64>,
    pub(crate) to: Option<i64>,
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) entries: Vec<Entry>,
    /// What was appended last, as noted beside the entries.
    pub(crate) head: Head,
}

/// The last entry's number and hash.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) seq: u64,
    pub(crate) hash: String,
}

impl Default for Head {
    fn default() -> Self {
        Self { seq: 0, hash: GENESIS.into() }
    }
}

/// Holds the audit log of one project.
#[durable_object]
pub struct AuditLog {
    state: State,
    env: Env,
}

impl DurableObject for AuditLog {
    fn new(state: State, env: Env) -> Self {
        Self { state, env }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let ask: Ask = request.json().await?;
        let sql = self.state.storage().sql();
        sql.exec(include_str!("create_entries.sql"), None)?;
        let head: Head = self.state.storage().get(HEAD).await?.unwrap_or_default();
        let answer = match ask {
            Ask::Append { project, note } => {
                let entry = self.entry_after(&head, &project, note)?;
                let head = Head { seq: entry.seq, hash: entry.hash.clone() };
                // Both writes are one: nothing is awaited between them.
                insert(&sql, entry)?;
                self.state.storage().put(HEAD, head.clone()).await?;
                Answer { entries: Vec::new(), head }
            }
            Ask::List { filter, before, limit } => {
                Answer { entries: list(&sql, filter, before, limit)?, head }
            }
            Ask::Walk { after, limit } => Answer { entries: walk(&sql, after, limit)?, head },
        };
        Response::from_json(&answer)
    }
}

impl AuditLog {
    fn entry_after(&self, head: &Head, project: &str, note: Note) -> Result<Entry> {
        let project = ProjectId::parse(project).map_err(|_| "no project id")?;
        let root = Secrets::of(&self.env)
            .and_then(|secrets| secrets.oldest_root())
            .map_err(|failure| format!("{failure:?}"))?;
        Ok(Chain::of(&root, &project).append((head.seq, &head.hash), note))
    }
}

#[expect(clippy::cast_possible_wrap, reason = "numbers and times are below 2^53")]
fn insert(sql: &SqlStorage, entry: Entry) -> Result<()> {
    let values: Vec<SqlStorageValue> = vec![
        (entry.seq as i64).into(),
        (entry.at as i64).into(),
        entry.actor.into(),
        entry.action.into(),
        entry.target.into(),
        entry.text.into(),
        entry.hash.into(),
    ];
    sql.exec(include_str!("insert_entry.sql"), values).map(|_| ())
}

fn list(sql: &SqlStorage, filter: Filter, before: i64, limit: u32) -> Result<Vec<Entry>> {
    let values: Vec<SqlStorageValue> = vec![
        before.into(),
        filter.action.into(),
        filter.actor.into(),
        filter.target.into(),
        filter.from.into(),
        filter.to.into(),
        i64::from(limit).into(),
    ];
    sql.exec(include_str!("list_entries.sql"), values)?.to_array()
}

fn walk(sql: &SqlStorage, after: i64, limit: u32) -> Result<Vec<Entry>> {
    let values: Vec<SqlStorageValue> = vec![after.into(), i64::from(limit).into()];
    sql.exec(include_str!("walk_entries.sql"), values)?.to_array()
}
