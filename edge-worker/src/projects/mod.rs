//! Projects: creating one (the operator), showing one to its own readers.

pub(crate) mod cache;
pub(crate) mod store;

use crate::access::{self, require_operator};
use crate::call::Call;
use crate::config::Secrets;
use crate::failure::{Doing, Fault, Outcome};
use crate::request::read_body;
use crate::respond::Reply;
use serde::Deserialize;
use serde_json::json;
use stepseal_protocol::access::{ApiKey, ApiKeyRecord, Role, publishable_key};
use stepseal_protocol::ids::{KeyId, ProjectId};
use stepseal_protocol::ingest::admission::{Limits, Project, ProjectStatus};
use stepseal_protocol::keys::Root;
use stepseal_protocol::problem::{Code, Problem};
use worker::Request;

/// Longest body of an administrative request, in bytes.
const REQUEST_MAX: usize = 64 * 1024;
const NAME_MAX: usize = 128;
const ORIGINS_MAX: usize = 32;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewProject {
    id: String,
    name: String,
    #[serde(default)]
    origins: Vec<String>,
    #[serde(default)]
    limits: Limits,
}

/// `POST /v1/projects`: creates a project with a viewer and an admin key; every secret in the reply is
/// shown this once.
pub(crate) async fn create(mut request: Request, call: &Call) -> Outcome<Reply> {
    require_operator(&request, call)?;
    let body = read_body(&mut request, REQUEST_MAX).await?;
    let wanted: NewProject = serde_json::from_slice(&body).map_err(|fault| unreadable(&fault))?;
    let id = wanted.check()?;
    let secrets = Secrets::of(&call.env)?;
    let (kid, root) = secrets.newest_root()?;
    let project = Project {
        id: id.to_string(),
        name: wanted.name,
        status: ProjectStatus::Active,
        kids: vec![kid.to_string()],
        origins: wanted.origins,
        publishable_key: publishable_key(&id, random()?),
        limits: wanted.limits,
        denied_sessions: Vec::new(),
        created_at: call.now,
    };
    let keys = [Role::Viewer, Role::Admin]
        .map(|role| random().map(|bytes| ApiKey::generate(role, bytes)))
        .into_iter()
        .collect::<Result<Vec<_>, _>>()?;
    let digest_root = secrets.oldest_root()?;
    let records: Vec<_> =
        keys.iter().map(|key| (key.digest(&digest_root), first_key(key.role(), &project))).collect();
    if !store::create(&call.env, &project, &records).await? {
        return Err(Problem::new(Code::ProjectExists, format!("There is a project {id} already.")).into());
    }
    created(&project, &id, &kid, &root, &keys)
}

fn created(project: &Project, id: &ProjectId, kid: &KeyId, root: &Root, keys: &[ApiKey]) -> Outcome<Reply> {
    let revealed: serde_json::Map<String, serde_json::Value> =
        keys.iter().map(|key| (key.role().as_str().to_owned(), key.reveal().into())).collect();
    Reply::with_status(
        201,
        &json!({
            "project": shown(project),
            "kid": kid.as_str(),
            "project_secret": root.project_secret(id, kid).reveal(),
            "keys": revealed,
        }),
    )
}

fn first_key(role: Role, project: &Project) -> ApiKeyRecord {
    ApiKeyRecord {
        project: project.id.clone(),
        role,
        name: format!("first {} key", role.as_str()),
        created_at: project.created_at,
        expires_at: None,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProjectChange {
    name: Option<String>,
    status: Option<ProjectStatus>,
    origins: Option<Vec<String>>,
    limits: Option<Limits>,
}

/// `PATCH /v1/projects/{id}`: changes what is given and leaves the rest (the operator). Effective
/// everywhere within 60 s.
pub(crate) async fn change(mut request: Request, call: &Call, id: &str) -> Outcome<Reply> {
    require_operator(&request, call)?;
    let body = read_body(&mut request, REQUEST_MAX).await?;
    let change: ProjectChange = serde_json::from_slice(&body).map_err(|fault| unreadable(&fault))?;
    let stored = store::read(&call.env, id).await?;
    let mut project =
        stored.ok_or_else(|| Problem::new(Code::ProjectNotFound, "There is no project of this id."))?;
    project.name = change.name.unwrap_or(project.name);
    project.status = change.status.unwrap_or(project.status);
    project.origins = change.origins.unwrap_or(project.origins);
    project.limits = change.limits.unwrap_or(project.limits);
    check_settings(&project.name, &project.origins, &project.limits)?;
    store::update(call, &project).await?;
    Reply::ok(&json!({ "project": shown(&project) }))
}

fn unreadable(fault: &serde_json::Error) -> Problem {
    Problem::new(Code::RequestMalformed, format!("The body cannot be read: {fault}."))
}

fn check_settings(name: &str, origins: &[String], limits: &Limits) -> Result<(), Problem> {
    let refuse = |field: &str, detail: &str| Problem::new(Code::RequestMalformed, detail).of_field(field);
    if !(1..=NAME_MAX).contains(&name.len()) {
        return Err(refuse("name", "The name has 1 to 128 bytes."));
    }
    if origins.len() > ORIGINS_MAX || !origins.iter().all(|origin| is_origin(origin)) {
        return Err(refuse(
            "origins",
            "At most 32 origins, each as a browser sends it: `https://app.example.com`, no path, no trailing \
             slash; http for localhost only.",
        ));
    }
    limits.check()
}

/// `GET /v1/project`: the project that the key opens.
pub(crate) async fn show(request: &Request, call: &Call) -> Outcome<Reply> {
    let reader = access::reader(request, call).await?;
    let project = store::project(call, &reader.project)
        .await?
        .ok_or_else(|| Fault::internal("showing a project", "a key opens a project that is not there"))?;
    Reply::ok(&shown(&project))
}

fn shown(project: &Project) -> serde_json::Value {
    json!({
        "id": project.id,
        "name": project.name,
        "status": project.status,
        "kids": project.kids,
        "origins": project.origins,
        "publishable_key": project.publishable_key,
        "limits": project.limits,
        "created_at": project.created_at,
    })
}

impl NewProject {
    fn check(&self) -> Result<ProjectId, Problem> {
        let id = ProjectId::parse(&self.id).map_err(|fault| {
            Problem::new(Code::RequestMalformed, format!("The project id must match {}.", fault.grammar))
                .of_field("id")
        })?;
        check_settings(&self.name, &self.origins, &self.limits)?;
        Ok(id)
    }
}

/// Whether a text is an origin as browsers write it (RFC 6454, section 6.2), secure or local.
fn is_origin(text: &str) -> bool {
    let Ok(url) = worker::Url::parse(text) else { return false };
    let local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    let secure = match url.scheme() {
        "https" | "chrome-extension" | "moz-extension" => true,
        "http" => local,
        _ => false,
    };
    // Opaque origins of extensions' pages serialise as `null` in this library: compare the text.
    secure
        && (url.origin().ascii_serialization() == text
            || (url.scheme().ends_with("-extension") && url.path().is_empty()))
}

/// Random bytes from the platform.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Fault> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).doing("drawing random bytes")?;
    Ok(bytes)
}
