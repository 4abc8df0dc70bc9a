//! Who asks: API keys of projects, as Bearer credentials or by the dashboard's cookie, and the operator.

pub(crate) mod cross_origin;
pub(crate) mod sign_in;
mod wrong_keys;

use crate::call::Call;
use crate::config::Secrets;
use crate::failure::{Doing, Outcome};
use crate::projects::key_store;
use crate::request::header;
use stepseal_protocol::access::{ApiKey, ApiKeyRecord, Role, key_id};
use stepseal_protocol::api::Scope;
use stepseal_protocol::ids::ProjectId;
use stepseal_protocol::problem::{Code, Problem};
use worker::Request;

/// A reader of one project. Only [`reader`] makes one, so a query that takes its project from here
/// cannot forget to.
pub(crate) struct Reader {
    /// The project everything it reads belongs to.
    pub(crate) project: ProjectId,
    /// The id of the API key.
    pub(crate) actor: String,
    /// Whether it may also change the project: such readers are told what their questions cost.
    pub(crate) is_admin: bool,
}

/// Somebody who may change one project. Only [`administrator`] makes one.
pub(crate) struct Administrator {
    /// The project that everything it does belongs to.
    pub(crate) project: ProjectId,
    /// The id of the API key, or `operator`.
    pub(crate) actor: String,
}

/// The operator as an actor.
pub(crate) const OPERATOR: &str = "operator";

impl Administrator {
    pub(crate) fn is_operator(&self) -> bool {
        self.actor == OPERATOR
    }
}

/// The administrator behind a request: an admin key for its own project, the operator for any.
pub(crate) async fn administrator(
    request: &Request,
    call: &Call,
    scope: Scope<'_>,
) -> Outcome<Administrator> {
    match scope {
        Scope::Own => {
            let holder = key_holder(request, call).await?;
            if !holder.record.role.may_administer() {
                return Err(role_insufficient(holder.record.role, "changing a project", "admin").into());
            }
            Ok(Administrator { project: holder.project, actor: key_id(&holder.digest) })
        }
        Scope::Named(id) => {
            require_operator(request, call).await?;
            let project = ProjectId::parse(id)
                .map_err(|_| Problem::new(Code::ProjectNotFound, "There is no project of this id."))?;
            Ok(Administrator { project, actor: OPERATOR.into() })
        }
    }
}

/// Whose counters somebody may read. Only [`metrics_reader`] makes one.
pub(crate) enum MetricsReader {
    /// An admin's project.
    Project(ProjectId),
    /// The operator: what belongs to no project.
    Deployment,
}

/// The reader of counters behind a request: the operator, or an admin.
pub(crate) async fn metrics_reader(request: &Request, call: &Call) -> Outcome<MetricsReader> {
    if bearer(request).is_ok_and(|token| token.starts_with("stepseal_operator_")) {
        require_operator(request, call).await?;
        return Ok(MetricsReader::Deployment);
    }
    Ok(MetricsReader::Project(administrator(request, call, Scope::Own).await?.project))
}

/// The reader behind a request: a viewer or an admin.
pub(crate) async fn reader(request: &Request, call: &Call) -> Outcome<Reader> {
    let holder = key_holder(request, call).await?;
    if !holder.record.role.may_read() {
        return Err(role_insufficient(holder.record.role, "reading", "viewer or admin").into());
    }
    let is_admin = holder.record.role.may_administer();
    Ok(Reader { project: holder.project, actor: key_id(&holder.digest), is_admin })
}

/// Somebody who may add to what is recorded of one project. Only [`writer`] makes one.
pub(crate) struct Writer {
    /// The project that everything it writes belongs to.
    pub(crate) project: ProjectId,
    /// The id of the API key.
    pub(crate) actor: String,
}

/// The writer behind a request: an ingest or an admin key.
pub(crate) async fn writer(request: &Request, call: &Call) -> Outcome<Writer> {
    let holder = key_holder(request, call).await?;
    if !holder.record.role.may_write() {
        return Err(role_insufficient(holder.record.role, "writing", "ingest or admin").into());
    }
    Ok(Writer { project: holder.project, actor: key_id(&holder.digest) })
}

/// Who presented a valid API key, or the cookie that it was exchanged for.
struct KeyHolder {
    project: ProjectId,
    digest: String,
    record: ApiKeyRecord,
}

async fn key_holder(request: &Request, call: &Call) -> Outcome<KeyHolder> {
    if header(request, "authorization").is_none()
        && let Some(signed_in) = sign_in::presented(request, call).await?
    {
        return holder_of(call, signed_in.digest).await?.ok_or_else(|| invalid().into());
    }
    let token = bearer(request)?;
    if token.starts_with("s1.") {
        return Err(Problem::new(
            Code::RoleInsufficient,
            "A session writes batches and reads nothing. Use an API key of role viewer or admin.",
        )
        .into());
    }
    let holder = key_holder_of(request, call, &token).await?;
    cross_origin::check(request, call, &holder.project).await?;
    Ok(holder)
}

/// Who holds the key of this text. Wrong ones are counted against the address that sent them.
async fn key_holder_of(request: &Request, call: &Call, key: &str) -> Outcome<KeyHolder> {
    let digest = match ApiKey::parse(key) {
        Some(key) => key.digest(&Secrets::of(&call.env)?.oldest_root()?),
        None => return Err(wrong_keys::count(request, call).await?.unwrap_or_else(|| invalid().into())),
    };
    // A key that this isolate knows to be good needs no look-up, and so no guess is answered here.
    if !key_store::is_remembered(call, &digest) {
        wrong_keys::refuse_blocked(request, call)?;
    }
    match holder_of(call, digest).await? {
        Some(holder) => Ok(holder),
        None => Err(wrong_keys::count(request, call).await?.unwrap_or_else(|| invalid().into())),
    }
}

async fn holder_of(call: &Call, digest: String) -> Outcome<Option<KeyHolder>> {
    let Some(record) = key_store::look_up(call, &digest).await?.filter(|record| record.is_alive(call.now))
    else {
        return Ok(None);
    };
    key_store::note_use(call, &record.project, &digest);
    let project =
        ProjectId::parse(&record.project).map_err(|_| "a stored project id").doing("reading an API key")?;
    call.counted.borrow_mut().project = Some(project);
    Ok(Some(KeyHolder { project, digest, record }))
}

fn unauthenticated() -> Problem {
    Problem::new(Code::Unauthenticated, "Send an API key as `Authorization: Bearer stepseal_viewer_…`.")
}

fn invalid() -> Problem {
    Problem::new(Code::CredentialInvalid, "The API key is unknown, expired or revoked.")
}

fn role_insufficient(role: Role, doing: &str, needed: &str) -> Problem {
    Problem::new(
        Code::RoleInsufficient,
        format!("The key's role is {}; {doing} needs {needed}.", role.as_str()),
    )
}

fn bearer(request: &Request) -> Result<String, Problem> {
    let header = header(request, "authorization").ok_or_else(unauthenticated)?;
    let (scheme, token) = header.split_once(' ').ok_or_else(unauthenticated)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(token.trim().to_owned()) } else { Err(unauthenticated()) }
}

/// Lets only the operator of the deployment pass, and no page: the operator's key belongs in none.
pub(crate) async fn require_operator(request: &Request, call: &Call) -> Outcome<()> {
    let token = bearer(request)?;
    if Secrets::of(&call.env)?.is_operator(&token)? {
        return cross_origin::refuse_foreign(request);
    }
    match ApiKey::parse(&token) {
        Some(_) => {
            Err(Problem::new(Code::RoleInsufficient, "This route takes the operator's key only.").into())
        }
        None => Err(wrong_keys::count(request, call).await?.unwrap_or_else(|| invalid().into())),
    }
}
