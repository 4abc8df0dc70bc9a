//! Executions that went silent.

use super::statement::{Bind, bind};
use crate::failure::{Doing, Outcome};
use serde::{Deserialize, Serialize};
use worker::Env;

/// An execution that has not ended.
#[derive(Deserialize)]
pub(crate) struct GoingOn {
    pub(crate) id: String,
    pub(crate) started_at: i64,
    /// 1 if nothing arrived since the cutoff.
    silent: u8,
}

impl GoingOn {
    pub(crate) fn is_silent(&self) -> bool {
        self.silent == 1
    }
}

/// Before which a walk over the executions of a status goes on.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct After {
    pub(crate) started_at: i64,
    pub(crate) id: String,
}

/// Up to `most` executions of a status, oldest start first.
pub(crate) async fn going_on(
    env: &Env,
    project: &str,
    status: &str,
    cutoff: u64,
    after: &After,
    most: u32,
) -> Outcome<Vec<GoingOn>> {
    let doing = "listing silent executions";
    let database = env.d1("DB").doing(doing)?;
    let values = [
        Bind::Text(project),
        Bind::Text(status),
        Bind::Number(cutoff),
        Bind::Signed(after.started_at),
        Bind::Text(&after.id),
        Bind::Number(most.into()),
    ];
    let found = bind(&database, include_str!("list_silent.sql"), &values).doing(doing)?.all().await;
    Ok(found.storing(doing)?.results().doing(doing)?)
}

/// Gives these up, unless something arrived meanwhile.
pub(crate) async fn abandon(env: &Env, project: &str, ids: &[&str], cutoff: u64) -> Outcome<()> {
    let doing = "abandoning executions";
    let database = env.d1("DB").doing(doing)?;
    let ids = serde_json::to_string(ids).doing(doing)?;
    let values = [Bind::Text(project), Bind::Text(&ids), Bind::Number(cutoff)];
    bind(&database, include_str!("abandon.sql"), &values).doing(doing)?.run().await.storing(doing)?;
    Ok(())
}
