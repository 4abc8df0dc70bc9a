//! Projects: D1 is the truth, KV the copy that the hot path reads.

use super::cache::{CONFIG_TTL_S, Fresh};
use super::key_store::{self, KeyEntry};
use crate::call::Call;
use crate::failure::{Doing, Outcome};
use std::cell::RefCell;
use std::rc::Rc;
use stepseal_protocol::ids::ProjectId;
use stepseal_protocol::ingest::admission::{Project, ProjectStatus};
use stepseal_protocol::problem::{Code, Problem};
use worker::{D1Database, Env, KvStore, query};

/// How often a change is tried again when others change the same project at the same time.
const CHANGE_ATTEMPTS: usize = 5;

thread_local! {
    static PROJECTS: RefCell<Fresh<Option<Rc<Project>>>> = RefCell::new(Fresh::default());
}

fn project_key(id: &str) -> String {
    format!("project/{id}")
}

/// The store that the hot path reads.
pub(crate) fn config(env: &Env) -> Outcome<KvStore> {
    Ok(env.kv("CONFIG").doing("opening the configuration store")?)
}

/// The project's configuration, at most a minute old.
pub(crate) async fn project(call: &Call, id: &ProjectId) -> Outcome<Option<Rc<Project>>> {
    if let Some(project) = PROJECTS.with_borrow(|projects| projects.get(id.as_str(), call.now)) {
        return Ok(project);
    }
    let text = config(&call.env)?
        .get(&project_key(id.as_str()))
        .cache_ttl(CONFIG_TTL_S)
        .text()
        .await
        .storing("reading a project")?;
    let project = text
        .map(|text| serde_json::from_str::<Project>(&text).map(Rc::new))
        .transpose()
        .doing("reading a project's configuration")?;
    let found = project.is_some();
    PROJECTS.with_borrow_mut(|projects| projects.put(id.to_string(), project.clone(), found, call.now));
    Ok(project)
}

/// Stores a new project and its first keys. False if a project of that id is there already.
pub(super) async fn create(env: &Env, project: &Project, keys: &[KeyEntry]) -> Outcome<bool> {
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
    for key in keys {
        key_store::insert(env, key).await?;
    }
    publish(env, &database, &project.id, config_text).await?;
    Ok(true)
}

/// A page of projects by id, after `after`.
pub(crate) async fn list(env: &Env, after: &str, limit: u32) -> Outcome<Vec<Project>> {
    #[derive(serde::Deserialize)]
    struct Row {
        config: String,
    }
    let doing = "listing projects";
    let database = env.d1("DB").doing(doing)?;
    let rows = query!(&database, include_str!("list_projects.sql"), after, limit)
        .doing(doing)?
        .all()
        .await
        .storing(doing)?
        .results::<Row>()
        .doing(doing)?;
    Ok(rows.iter().map(|row| serde_json::from_str(&row.config)).collect::<Result<_, _>>().doing(doing)?)
}

async fn read_text(database: &D1Database, id: &str) -> Outcome<Option<String>> {
    let doing = "reading a project to change it";
    let statement = query!(database, include_str!("read_project.sql"), id).doing(doing)?;
    Ok(statement.first::<String>(Some("config")).await.storing(doing)?)
}

/// The project as the truth has it; a deleted one is there too.
pub(crate) async fn read(env: &Env, id: &str) -> Outcome<Option<Project>> {
    let doing = "reading a project";
    let text = read_text(&env.d1("DB").doing(doing)?, id).await?;
    Ok(text.map(|text| serde_json::from_str(&text)).transpose().doing(doing)?)
}

/// Changes a project by `change` and publishes it: here at once, in other isolates within a minute.
/// `change` may run more than once, on what others left.
pub(crate) async fn change<T>(
    call: &Call,
    id: &str,
    mut change: impl FnMut(&mut Project) -> Outcome<T>,
) -> Outcome<(Project, T)> {
    let doing = "storing a changed project";
    let database = call.env.d1("DB").doing(doing)?;
    for _ in 0..CHANGE_ATTEMPTS {
        let before = read_text(&database, id).await?.ok_or_else(absent)?;
        let mut project: Project = serde_json::from_str(&before).doing(doing)?;
        if project.status == ProjectStatus::Deleted {
            return Err(absent().into());
        }
        let changed = change(&mut project)?;
        let after = serde_json::to_string(&project).doing(doing)?;
        let updated = query!(&database, include_str!("update_project.sql"), id, after, before)
            .doing(doing)?
            .all()
            .await
            .storing(doing)?;
        if updated.results::<serde_json::Value>().doing(doing)?.is_empty() {
            continue;
        }
        publish(&call.env, &database, id, after).await?;
        let shared = Some(Rc::new(project.clone()));
        PROJECTS.with_borrow_mut(|projects| projects.put(id.to_owned(), shared, true, call.now));
        return Ok((project, changed));
    }
    let detail =
        "Others change this project at the same time. Read it again and repeat what is still wanted.";
    Err(Problem::new(Code::ChangedMeanwhile, detail).into())
}

/// What is said of a project that is not there.
pub(crate) fn absent() -> Problem {
    Problem::new(Code::ProjectNotFound, "There is no project of this id.")
}

/// Copies a configuration to where the hot path reads it. Of two changes at once the later copy might be
/// the older text, so the truth is read again afterwards.
async fn publish(env: &Env, database: &D1Database, id: &str, mut text: String) -> Outcome<()> {
    let doing = "publishing a project";
    for _ in 0..CHANGE_ATTEMPTS {
        config(env)?.put(&project_key(id), text.as_str()).doing(doing)?.execute().await.storing(doing)?;
        match read_text(database, id).await? {
            Some(current) if current != text => text = current,
            _ => return Ok(()),
        }
    }
    Ok(())
}
