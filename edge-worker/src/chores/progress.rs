//! How far each chore has come, by its name.

use crate::failure::{Doing, Outcome};
use worker::{Env, query};

pub(super) async fn read(env: &Env, name: &str) -> Outcome<Option<String>> {
    let doing = "reading a chore's progress";
    let database = env.d1("DB").doing(doing)?;
    let statement = query!(&database, include_str!("read_chore.sql"), name).doing(doing)?;
    Ok(statement.first::<String>(Some("state")).await.storing(doing)?)
}

pub(super) async fn write(env: &Env, name: &str, state: &str) -> Outcome<()> {
    let doing = "writing a chore's progress";
    let database = env.d1("DB").doing(doing)?;
    let statement = query!(&database, include_str!("write_chore.sql"), name, state).doing(doing)?;
    statement.run().await.storing(doing)?;
    Ok(())
}
