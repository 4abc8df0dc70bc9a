//! Who asks: API keys of projects, and the operator.

use crate::call::Call;
use crate::config::Secrets;
use crate::failure::{Doing, Outcome};
use crate::projects::cache::Fresh;
use crate::request::header;
use std::cell::RefCell;
use stepseal_protocol::access::{ApiKey, ApiKeyRecord, Role};
use stepseal_protocol::ids::ProjectId;
use stepseal_protocol::problem::{Code, Problem};
use worker::Request;

thread_local! {
    static KEYS: RefCell<Fresh<Option<ApiKeyRecord>>> = RefCell::new(Fresh::default());
}

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

/// The reader behind a request: a viewer or an admin.
pub(crate) async fn reader(request: &Request, call: &Call) -> Outcome<Reader> {
    let token = bearer(request)?;
    if token.starts_with("s1.") {
        return Err(Problem::new(
            Code::RoleInsufficient,
            "A session writes batches and reads nothing. Use an API key of role viewer or admin.",
        )
        .into());
    }
    let key = ApiKey::parse(&token).ok_or_else(invalid)?;
    let record = look_up(&key, call).await?.ok_or_else(invalid)?;
    if record.expires_at.is_some_and(|expiry| expiry <= call.now) {
        return Err(invalid().into());
    }
    if !record.role.may_read() {
        return Err(role_insufficient(record.role).into());
    }
    let project =
        ProjectId::parse(&record.project).map_err(|_| "a stored project id").doing("reading an API key")?;
    Ok(Reader { project })
}

fn role_insufficient(role: Role) -> Problem {
    Problem::new(
        Code::RoleInsufficient,
        format!("The key's role is {}; reading needs viewer or admin.", role.as_str()),
    )
}

async fn look_up(key: &ApiKey, call: &Call) -> Outcome<Option<ApiKeyRecord>> {
    let digest = key.digest(&Secrets::of(&call.env)?.oldest_root()?);
    if let Some(record) = KEYS.with_borrow(|keys| keys.get(&digest, call.now)) {
        return Ok(record);
    }
    let record = crate::projects::store::api_key(&call.env, &digest).await?;
    KEYS.with_borrow_mut(|keys| keys.put(digest, record.clone(), record.is_some(), call.now));
    Ok(record)
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
