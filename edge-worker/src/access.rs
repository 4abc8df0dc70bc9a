//! Who asks: API keys of projects, and the operator.

use crate::call::Call;
use crate::config::Secrets;
use crate::failure::{Doing, Outcome};
use crate::projects::key_store;
use crate::request::header;
use stepseal_protocol::access::{ApiKey, ApiKeyRecord, Role, key_id};
use stepseal_protocol::ids::ProjectId;
use stepseal_protocol::problem::{Code, Problem};
use worker::Request;

/// A reader of one project. Only [`reader`] makes one, so a query that takes its project from here
/// cannot forget to.
pub(crate) struct Reader {
    /// The project everything it reads belongs to.
    pub(crate) project: ProjectId,
}

fn unauthenticated() -> Problem {
    Problem::new(Code::Unauthenticated, "Send an API key as `Authorization: Bearer stepseal_viewer_…`.")
}

fn invalid() -> Problem {
    Problem::new(Code::CredentialInvalid, "The API key is unknown, expired or revoked.")
}

fn bearer(request: &Request) -> Result<String, Problem> {
    let header = header(request, "authorization").ok_or_else(unauthenticated)?;
    let (scheme, token) = header.split_once(' ').ok_or_else(unauthenticated)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(token.trim().to_owned()) } else { Err(unauthenticated()) }
}

/// Whom an administrative route is about.
#[derive(Clone, Copy)]
pub(crate) enum Scope<'a> {
    /// The project of the API key that asks.
    Own,
    /// The project that the path names; the operator's.
    Named(&'a str),
}

/// Somebody who may change one project. Only [`administrator`] makes one.
pub(crate) struct Administrator {
    /// The project that everything it does belongs to.
    pub(crate) project: ProjectId,
    /// The id of the API key, or `operator`.
    pub(crate) actor: String,
}

const OPERATOR: &str = "operator";

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
            require_operator(request, call)?;
            let project = ProjectId::parse(id)
                .map_err(|_| Problem::new(Code::ProjectNotFound, "There is no project of this id."))?;
            Ok(Administrator { project, actor: OPERATOR.into() })
        }
    }
}

/// The reader behind a request: a viewer or an admin.
pub(crate) async fn reader(request: &Request, call: &Call) -> Outcome<Reader> {
    let holder = key_holder(request, call).await?;
    if !holder.record.role.may_read() {
        return Err(role_insufficient(holder.record.role, "reading", "viewer or admin").into());
    }
    Ok(Reader { project: holder.project })
}

/// Who presented a valid API key.
struct KeyHolder {
    project: ProjectId,
    digest: String,
    record: ApiKeyRecord,
}

async fn key_holder(request: &Request, call: &Call) -> Outcome<KeyHolder> {
    let token = bearer(request)?;
    if token.starts_with("s1.") {
        return Err(Problem::new(
            Code::RoleInsufficient,
            "A session writes batches and reads nothing. Use an API key of role viewer or admin.",
        )
        .into());
    }
    let key = ApiKey::parse(&token).ok_or_else(invalid)?;
    let digest = key.digest(&Secrets::of(&call.env)?.oldest_root()?);
    let record = key_store::look_up(call, &digest).await?.ok_or_else(invalid)?;
    if !record.is_alive(call.now) {
        return Err(invalid().into());
    }
    key_store::note_use(call, &record.project, &digest);
    let project =
        ProjectId::parse(&record.project).map_err(|_| "a stored project id").doing("reading an API key")?;
    Ok(KeyHolder { project, digest, record })
}

fn role_insufficient(role: Role, doing: &str, needed: &str) -> Problem {
    Problem::new(
        Code::RoleInsufficient,
        format!("The key's role is {}; {doing} needs {needed}.", role.as_str()),
    )
}

/// Lets only the operator of the deployment pass.
pub(crate) fn require_operator(request: &Request, call: &Call) -> Outcome<()> {
    let token = bearer(request)?;
    if Secrets::of(&call.env)?.is_operator(&token)? {
        return Ok(());
    }
    match ApiKey::parse(&token) {
        Some(_) => {
            Err(Problem::new(Code::RoleInsufficient, "This route takes the operator's key only.").into())
        }
        None => Err(invalid().into()),
    }
}
