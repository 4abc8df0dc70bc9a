//! Projects and API keys: D1 is the truth, KV the copy that the hot path reads.

use super::cache::Fresh;
use crate::call::Call;
use crate::failure::{Doing, Outcome};
use std::cell::RefCell;
use std::rc::Rc;
use stepseal_protocol::access::ApiKeyRecord;
use stepseal_protocol::ids::ProjectId;
use stepseal_protocol::ingest::admission::Project;
use worker::{Env, KvStore, query};

const CONFIG: &str = "CONFIG";

thread_local! {
    static PROJECTS: RefCell<Fresh<Option<Rc<Project>>>> = RefCell::new(Fresh::default());
}

fn project_key(id: &str) -> String {
    format!("project/{id}")
}

fn api_key_key(digest: &str) -> String {
    format!("api-key/{digest}")
}

fn config(env: &Env) -> Outcome<KvStore> {
    Ok(env.kv(CONFIG).doing("opening the configuration store")?)
}

/// The project's configuration, at most a minute old.
pub(crate) async fn project(call: &Call, id: &ProjectId) -> Outcome<Option<Rc<Project>>> {
    if let Some(project) = PROJECTS.with_borrow(|projects| projects.get(id.as_str(), call.now)) {
        return Ok(project);
    }
    let text = config(&call.env)?.get(&project_key(id.as_str())).text().await.storing("reading a project")?;
    let project = text
        .map(|text| serde_json::from_str::<Project>(&text).map(Rc::new))
        .transpose()
        .doing("reading a project's configuration")?;
    let found = project.is_some();
    PROJECTS.with_borrow_mut(|projects| projects.put(id.to_string(), project.clone(), found, call.now));
    Ok(project)
}

/// The record of an API key by its digest.
pub(crate) async fn api_key(env: &Env, digest: &str) -> Outcome<Option<ApiKeyRecord>> {
    let text = config(env)?.get(&api_key_key(digest)).text().await.storing("reading an API key")?;
    Ok(text.map(|text| serde_json::from_str(&text)).transpose().doing("reading an API key's record")?)
}

/// Stores a new project and its first keys. False if a project of that id is there already.
pub(crate) async fn create(env: &Env, project: &Project, keys: &[(String, ApiKeyRecord)]) -> Outcome<bool> {
    let doing = "storing a project";
    let database = env.d1("DB").doing(doing)?;
    let config_text = serde_json::to_string(project).doing(doing)?;
    let inserted =
        query!(&database, include_str!("insert_project.sql"), project.id, config_text, project.created_at)
            .doing(doing)?
            .all()
            .await
            .storing(doing)?
            .results::<serde_json::Value>()
            .doing(doing)?;
    if inserted.is_empty() {
        return Ok(false);
    }
    for (digest, record) in keys {
        query!(
            &database,
            include_str!("insert_api_key.sql"),
            digest,
            record.project,
            record.role.as_str(),
            record.name,
            record.created_at
        )
        .doing(doing)?
        .run()
        .await
        .storing(doing)?;
    }
    publish(env, project, keys, config_text).await?;
    Ok(true)
}

/// The project as D1 has it, for changing it.
pub(crate) async fn read(env: &Env, id: &str) -> Outcome<Option<Project>> {
    let doing = "reading a project to change it";
    let database = env.d1("DB").doing(doing)?;
    let text = query!(&database, include_str!("read_project.sql"), id)
        .doing(doing)?
        .first::<String>(Some("config"))
        .await
        .storing(doing)?;
    Ok(text.map(|text| serde_json::from_str(&text)).transpose().doing(doing)?)
}

/// Stores a changed project and publishes it. Other isolates follow within a minute, this one at once.
pub(crate) async fn update(call: &Call, project: &Project) -> Outcome<()> {
    let doing = "storing a changed project";
    let database = call.env.d1("DB").doing(doing)?;
    let text = serde_json::to_string(project).doing(doing)?;
    query!(&database, include_str!("update_project.sql"), project.id, text)
        .doing(doing)?
        .run()
        .await
        .storing(doing)?;
    publish(&call.env, project, &[], text).await?;
    PROJECTS.with_borrow_mut(|projects| {
        projects.put(project.id.clone(), Some(Rc::new(project.clone())), true, call.now);
    });
    Ok(())
}

async fn publish(env: &Env, project: &Project, keys: &[(String, ApiKeyRecord)], text: String) -> Outcome<()> {
    let doing = "publishing a project";
    let config = config(env)?;
    for (digest, record) in keys {
        let text = serde_json::to_string(record).doing(doing)?;
        config.put(&api_key_key(digest), text).doing(doing)?.execute().await.storing(doing)?;
    }
    config.put(&project_key(&project.id), text).doing(doing)?.execute().await.storing(doing)?;
    Ok(())
}
