//! Projects: what the operator does with all of them, and what administrators do with theirs.

pub(crate) mod cache;
pub(crate) mod denials;
pub(crate) mod generations;
pub(crate) mod key_store;
pub(crate) mod keys;
pub(crate) mod prices;
pub(crate) mod store;

use crate::access::{self, Administrator, OPERATOR, require_operator};
use crate::audit;
use crate::call::Call;
use crate::config::Secrets;
use crate::failure::{Doing, Fault, Outcome};
use crate::request::{read_body, url};
use crate::respond::Reply;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use stepseal_protocol::access::{ApiKey, ApiKeyRecord, Role, publishable_key};
use stepseal_protocol::administration::{
    ABANDON_AFTER_DEFAULT_MINUTES, RETENTION_DEFAULT_DAYS, check_abandon_after, check_name, check_retention,
};
use stepseal_protocol::audit::Action;
use stepseal_protocol::ids::{KeyId, ProjectId};
use stepseal_protocol::ingest::admission::{Limits, Project, ProjectStatus};
use stepseal_protocol::ingest::budget::Budget;
use stepseal_protocol::keys::Root;
use stepseal_protocol::prices::PriceTable;
use stepseal_protocol::problem::{Code, Problem};
use stepseal_protocol::query::{Cursors, PageQuery};
use stepseal_protocol::search::Search;
use worker::Request;

/// Longest body of an administrative request, in bytes.
const REQUEST_MAX: usize = 64 * 1024;
const ORIGINS_MAX: usize = 32;

/// The body of an administrative request.
pub(crate) async fn read_request<T: DeserializeOwned>(request: &mut Request) -> Outcome<T> {
    let body = read_body(request, REQUEST_MAX).await?;
    Ok(serde_json::from_slice(&body).map_err(|fault| unreadable(&fault))?)
}

/// The same, where a request without a body asks for the defaults.
async fn read_request_or_default<T: DeserializeOwned + Default>(request: &mut Request) -> Outcome<T> {
    let body = read_body(request, REQUEST_MAX).await?;
    if body.is_empty() {
        return Ok(T::default());
    }
    Ok(serde_json::from_slice(&body).map_err(|fault| unreadable(&fault))?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewProject {
    id: String,
    name: String,
    #[serde(default)]
    origins: Vec<String>,
    #[serde(default)]
    limits: Limits,
    #[serde(default = "Limits::of_a_session")]
    session_limits: Limits,
    #[serde(default)]
    budget: Budget,
    #[serde(default)]
    turnstile: bool,
    #[serde(default)]
    subject_keys: bool,
    #[serde(default)]
    search: Search,
    #[serde(default = "default_retention")]
    retention_days: u32,
    #[serde(default = "default_silence")]
    abandon_after_minutes: u32,
}

const fn default_silence() -> u32 {
    ABANDON_AFTER_DEFAULT_MINUTES
}

const fn default_retention() -> u32 {
    RETENTION_DEFAULT_DAYS
}

/// `POST /v1/projects`: creates a project with a viewer and an admin key; every secret in the reply is
/// shown this once.
pub(crate) async fn create(mut request: Request, call: &Call) -> Outcome<Reply> {
    require_operator(&request, call).await?;
    let wanted: NewProject = read_request(&mut request).await?;
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
        session_limits: wanted.session_limits,
        budget: wanted.budget,
        turnstile: wanted.turnstile,
        subject_keys: wanted.subject_keys,
        search: wanted.search,
        newest_kid_at: 0,
        generation: 1,
        retention_days: wanted.retention_days,
        abandon_after_minutes: wanted.abandon_after_minutes,
        denials: Vec::new(),
        prices: PriceTable::default(),
        created_at: call.now,
    };
    let made = [Role::Viewer, Role::Admin]
        .map(|role| keys::generate(call, first_key(role, &project)))
        .into_iter()
        .collect::<Outcome<Vec<_>>>()?;
    let (keys, entries): (Vec<_>, Vec<_>) = made.into_iter().unzip();
    if !store::create(&call.env, &project, &entries).await? {
        return Err(Problem::new(Code::ProjectExists, format!("There is a project {id} already.")).into());
    }
    audit::note_by(call, &id, OPERATOR, Action::ProjectCreate, "", Value::Null).await?;
    created(&project, &id, &kid, &root, &keys)
}

fn created(project: &Project, id: &ProjectId, kid: &KeyId, root: &Root, keys: &[ApiKey]) -> Outcome<Reply> {
    let revealed: serde_json::Map<String, Value> =
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
    session_limits: Option<Limits>,
    budget: Option<Budget>,
    turnstile: Option<bool>,
    subject_keys: Option<bool>,
    search: Option<Search>,
    retention_days: Option<u32>,
    abandon_after_minutes: Option<u32>,
}

impl ProjectChange {
    /// Names of what it changes.
    fn fields(&self) -> Vec<&'static str> {
        let given = [
            ("name", self.name.is_some()),
            ("status", self.status.is_some()),
            ("origins", self.origins.is_some()),
            ("limits", self.limits.is_some()),
            ("session_limits", self.session_limits.is_some()),
            ("budget", self.budget.is_some()),
            ("turnstile", self.turnstile.is_some()),
            ("subject_keys", self.subject_keys.is_some()),
            ("search", self.search.is_some()),
            ("retention_days", self.retention_days.is_some()),
            ("abandon_after_minutes", self.abandon_after_minutes.is_some()),
        ];
        given.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
    }
}

/// `GET /v1/projects`: all of them, by id (the operator).
pub(crate) async fn list(request: &Request, call: &Call) -> Outcome<Reply> {
    require_operator(request, call).await?;
    let query = PageQuery::parse(url(request)?.query_pairs())?;
    let cursors = Cursors::of_deployment(&Secrets::of(&call.env)?.oldest_root()?, "projects".into());
    let after = query.cursor.as_deref().map(|cursor| cursors.open(cursor)).transpose()?.unwrap_or_default();
    let mut projects = store::list(&call.env, &after, query.limit + 1).await?;
    let more = projects.len() > query.limit as usize;
    projects.truncate(query.limit as usize);
    let next_cursor = projects.last().filter(|_| more).map(|last| cursors.seal(&last.id));
    Reply::ok(&json!({
        "projects": projects.iter().map(shown).collect::<Vec<_>>(),
        "next_cursor": next_cursor,
    }))
}

/// `GET /v1/projects/{id}`: as the truth has it (the operator).
pub(crate) async fn show_named(call: &Call, admin: &Administrator) -> Outcome<Reply> {
    let project = store::read(&call.env, admin.project.as_str()).await?.ok_or_else(store::absent)?;
    Reply::ok(&json!({ "project": shown(&project) }))
}

/// `PATCH /v1/projects/{id}` and `/v1/project`: changes what is given and leaves the rest. Effective
/// everywhere within 60 s. The fair limits are the operator's to set.
pub(crate) async fn change(request: &mut Request, call: &Call, admin: &Administrator) -> Outcome<Reply> {
    let change: ProjectChange = read_request(request).await?;
    if change.status == Some(ProjectStatus::Deleted) {
        let detail = "A project is paused or active; `DELETE` deletes it.";
        return Err(Problem::new(Code::RequestMalformed, detail).of_field("status").into());
    }
    let limits = [("limits", change.limits), ("session_limits", change.session_limits)];
    if let Some((field, _)) = limits.iter().find(|(_, wanted)| wanted.is_some() && !admin.is_operator()) {
        let detail = "The limits of a project are the operator's to change.";
        return Err(Problem::new(Code::RoleInsufficient, detail).of_field(*field).into());
    }
    let (project, ()) = store::change(call, admin.project.as_str(), |project| {
        if let Some(name) = &change.name {
            project.name.clone_from(name);
        }
        if let Some(origins) = &change.origins {
            project.origins.clone_from(origins);
        }
        project.status = change.status.unwrap_or(project.status);
        project.limits = change.limits.unwrap_or(project.limits);
        project.session_limits = change.session_limits.unwrap_or(project.session_limits);
        project.budget = change.budget.unwrap_or(project.budget);
        project.turnstile = change.turnstile.unwrap_or(project.turnstile);
        project.subject_keys = change.subject_keys.unwrap_or(project.subject_keys);
        project.search = change.search.unwrap_or(project.search);
        project.retention_days = change.retention_days.unwrap_or(project.retention_days);
        project.abandon_after_minutes = change.abandon_after_minutes.unwrap_or(project.abandon_after_minutes);
        project.search.check(project.subject_keys)?;
        check_retention(project.retention_days)?;
        check_abandon_after(project.abandon_after_minutes)?;
        check_amounts(&project.limits, &project.session_limits, &project.budget)?;
        Ok(check_settings(&project.name, &project.origins)?)
    })
    .await?;
    audit::note(call, admin, Action::ProjectChange, "", json!({ "fields": change.fields() })).await?;
    Reply::ok(&json!({ "project": shown(&project) }))
}

fn unreadable(fault: &serde_json::Error) -> Problem {
    Problem::new(Code::RequestMalformed, format!("The body cannot be read: {fault}."))
}

fn check_amounts(limits: &Limits, session_limits: &Limits, budget: &Budget) -> Result<(), Problem> {
    limits.check()?;
    session_limits.check()?;
    budget.check()
}

fn check_settings(name: &str, origins: &[String]) -> Result<(), Problem> {
    let refuse = |field: &str, detail: &str| Problem::new(Code::RequestMalformed, detail).of_field(field);
    check_name(name)?;
    if origins.len() > ORIGINS_MAX || !origins.iter().all(|origin| is_origin(origin)) {
        return Err(refuse(
            "origins",
            "At most 32 origins, each as a browser sends it: `https://app.example.com`, no path, no trailing \
             slash; http for localhost only.",
        ));
    }
    Ok(())
}

/// `GET /v1/project`: the project that the key opens.
pub(crate) async fn show(request: &Request, call: &Call) -> Outcome<Reply> {
    let reader = access::reader(request, call).await?;
    let project = store::project(call, &reader.project)
        .await?
        .ok_or_else(|| Fault::internal("showing a project", "a key opens a project that is not there"))?;
    Reply::ok(&shown(&project))
}

fn shown(project: &Project) -> Value {
    json!({
        "id": project.id,
        "name": project.name,
        "status": project.status,
        "kids": project.kids,
        "origins": project.origins,
        "publishable_key": project.publishable_key,
        "limits": project.limits,
        "session_limits": project.session_limits,
        "budget": project.budget,
        "turnstile": project.turnstile,
        "subject_keys": project.subject_keys,
        "search": project.search,
        "retention_days": project.retention_days,
        "abandon_after_minutes": project.abandon_after_minutes,
        "created_at": project.created_at,
    })
}

impl NewProject {
    fn check(&self) -> Result<ProjectId, Problem> {
        let id = ProjectId::parse(&self.id).map_err(|fault| {
            Problem::new(Code::RequestMalformed, format!("The project id must match {}.", fault.grammar))
                .of_field("id")
        })?;
        check_settings(&self.name, &self.origins)?;
        check_amounts(&self.limits, &self.session_limits, &self.budget)?;
        self.search.check(self.subject_keys)?;
        check_retention(self.retention_days)?;
        check_abandon_after(self.abandon_after_minutes)?;
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
