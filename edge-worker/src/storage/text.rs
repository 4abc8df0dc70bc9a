//! The index of executions' words.

use super::statement::{Bind, bind};
use crate::call::Call;
use crate::config::Secrets;
use crate::failure::{Doing, Fault, Outcome};
use crate::projects::store;
use stepseal_protocol::ids::ProjectId;
use stepseal_protocol::ingest::admission::Project;
use stepseal_protocol::problem::{Code, Problem};
use stepseal_protocol::search::{Search, Text, Tokens};
use worker::Env;

/// What makes the project's tokens; none if it is not searched. Like labels, tokens stay under the first root.
pub(crate) fn tokens(env: &Env, project: &Project) -> Outcome<Option<Tokens>> {
    if project.search == Search::Off {
        return Ok(None);
    }
    let doing = "making a project's tokens";
    let id = ProjectId::parse(&project.id).map_err(|_| Fault::internal(doing, "a stored project id"))?;
    Ok(Tokens::of(&Secrets::of(env)?.oldest_root()?, &id, project.search))
}

/// What finds a text in the project's index; none where no text is asked for.
pub(crate) async fn expression(
    call: &Call,
    project: &ProjectId,
    text: Option<&Text>,
) -> Outcome<Option<String>> {
    let Some(text) = text else { return Ok(None) };
    let project = store::project(call, project).await?.ok_or_else(store::absent)?;
    let tokens = tokens(&call.env, &project)?.ok_or_else(|| {
        let detail =
            "This project is not searched by words. An administrator can change that: its setting `search`.";
        Problem::new(Code::ParameterInvalid, detail).of_field("text")
    })?;
    Ok(Some(tokens.expression(text)?))
}

/// Drops up to `most` texts that the project is not searched by any more.
pub(crate) async fn drop_outdated(env: &Env, project: &Project, most: u32) -> Outcome<()> {
    let doing = "dropping texts that are not searched";
    let values =
        [Bind::Text(&project.id), Bind::Text(project.search.as_str()), Bind::Number(u64::from(most))];
    let statement =
        bind(&env.d1("DB").doing(doing)?, include_str!("drop_texts.sql"), &values).doing(doing)?;
    statement.run().await.storing(doing)?;
    Ok(())
}
