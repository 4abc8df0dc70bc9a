//! `/v1/sign-in`: the dashboard's cookie. POST exchanges an API key for it, GET says who is signed in,
//! DELETE ends it everywhere, not only in the browser that asks.

use super::{KeyHolder, holder_of, invalid, key_holder_of};
use crate::audit;
use crate::call::Call;
use crate::config::Secrets;
use crate::failure::{Doing, Outcome};
use crate::projects::cache::{CONFIG_TTL_S, Fresh};
use crate::projects::{random, store};
use crate::request::{header, own_origin, read_body};
use crate::respond::Reply;
use serde::Deserialize;
use serde_json::{Value, json};
use std::cell::RefCell;
use stepseal_protocol::access::{
    SignIn, SignIns, Site, cookie_value, ending_cookie, key_id, starting_cookie,
};
use stepseal_protocol::audit::Action;
use stepseal_protocol::problem::{Code, Problem};
use worker::{Method, Request};

const REQUEST_MAX: usize = 1_024;
/// KV keeps nothing for less than this, in seconds.
const KV_LIFE_MIN_S: u64 = 60;

thread_local! {
    /// Whether a sign-in was ended, by its id.
    static ENDED: RefCell<Fresh<bool>> = RefCell::new(Fresh::default());
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    key: String,
}

fn sign_ins(call: &Call) -> Outcome<SignIns> {
    Ok(SignIns::of(&Secrets::of(&call.env)?.oldest_root()?))
}

/// The sign-in whose cookie a request carries, if our own page made the request and nobody ended it.
pub(super) async fn presented(request: &Request, call: &Call) -> Outcome<Option<SignIn>> {
    let Some(signed_in) = from_cookie(request, call)? else { return Ok(None) };
    check_site(request, |site, token| {
        site.check_signed_in(&sign_ins(call)?, &signed_in, token).map_err(Into::into)
    })?;
    if is_ended(call, &signed_in.id).await? {
        return Err(Problem::new(Code::CredentialInvalid, "This sign-in was ended. Sign in again.").into());
    }
    Ok(Some(signed_in))
}

fn from_cookie(request: &Request, call: &Call) -> Outcome<Option<SignIn>> {
    let cookies = header(request, "cookie").unwrap_or_default();
    let Some(value) = cookie_value(&cookies) else { return Ok(None) };
    Ok(sign_ins(call)?.open(value, call.now))
}

fn check_site(request: &Request, check: impl FnOnce(Site<'_>, Option<&str>) -> Outcome<()>) -> Outcome<()> {
    let (fetch_site, origin) = (header(request, "sec-fetch-site"), header(request, "origin"));
    let (own_origin, token) = (own_origin(request)?, header(request, "stepseal-csrf"));
    let site = Site {
        safe: request.method() == Method::Get,
        fetch_site: fetch_site.as_deref(),
        origin: origin.as_deref(),
        own_origin: &own_origin,
    };
    check(site, token.as_deref())
}

fn ended_key(id: &str) -> String {
    format!("signed-out/{id}")
}

async fn is_ended(call: &Call, id: &str) -> Outcome<bool> {
    if let Some(ended) = ENDED.with_borrow(|all| all.get(id, call.now)) {
        return Ok(ended);
    }
    let stored = store::config(&call.env)?.get(&ended_key(id)).cache_ttl(CONFIG_TTL_S).text().await;
    let ended = stored.storing("asking whether a sign-in was ended")?.is_some();
    ENDED.with_borrow_mut(|all| all.put(id.to_owned(), ended, true, call.now));
    Ok(ended)
}

/// `POST /v1/sign-in`.
pub(crate) async fn begin(request: &mut Request, call: &Call) -> Outcome<Reply> {
    check_site(request, |site, _| Ok(site.check()?))?;
    let body = read_body(request, REQUEST_MAX).await?;
    let wanted: Wanted = serde_json::from_slice(&body).map_err(|fault| {
        Problem::new(Code::RequestMalformed, format!("The body cannot be read: {fault}."))
    })?;
    let holder = key_holder_of(request, call, &wanted.key).await?;
    if !holder.record.role.may_read() {
        return Err(super::role_insufficient(holder.record.role, "signing in", "viewer or admin").into());
    }
    let signed_in = SignIns::begin(holder.digest.clone(), random()?, call.now);
    let actor = key_id(&holder.digest);
    audit::note_by(call, &holder.project, &actor, Action::SignIn, &actor, Value::Null).await?;
    let cookie = starting_cookie(&sign_ins(call)?.seal(&signed_in));
    Ok(Reply::ok(&shown(call, &holder, &signed_in).await?)?.with_headers(vec![("Set-Cookie", cookie)]))
}

/// `GET /v1/sign-in`: who is signed in. Nobody is an answer too, so that a page may ask without a failure.
pub(crate) async fn show(request: &Request, call: &Call) -> Outcome<Reply> {
    let Some(signed_in) = presented(request, call).await? else {
        return Reply::ok(&json!({ "signed_in": false }));
    };
    let holder = holder_of(call, signed_in.digest.clone()).await?.ok_or_else(invalid)?;
    Reply::ok(&shown(call, &holder, &signed_in).await?)
}

async fn shown(call: &Call, holder: &KeyHolder, signed_in: &SignIn) -> Outcome<Value> {
    let project = store::project(call, &holder.project).await?;
    Ok(json!({
        "signed_in": true,
        "project": { "id": holder.project.as_str(), "name": project.map(|project| project.name.clone()) },
        "role": holder.record.role,
        "key": { "id": key_id(&holder.digest), "name": holder.record.name },
        "expires_at": signed_in.expires_at,
        "csrf": sign_ins(call)?.csrf_token(signed_in),
    }))
}

/// `DELETE /v1/sign-in`: a copy of the cookie ends with it, here at once and elsewhere within 60 s.
pub(crate) async fn end(request: &Request, call: &Call) -> Outcome<Reply> {
    let doing = "ending a sign-in";
    if let Some(signed_in) = presented(request, call).await? {
        let life_s = (signed_in.expires_at - call.now).div_ceil(1_000).max(KV_LIFE_MIN_S);
        store::config(&call.env)?
            .put(&ended_key(&signed_in.id), "1")
            .doing(doing)?
            .expiration_ttl(life_s)
            .execute()
            .await
            .storing(doing)?;
        ENDED.with_borrow_mut(|all| all.put(signed_in.id, true, true, call.now));
        if let Some(holder) = holder_of(call, signed_in.digest).await? {
            let actor = key_id(&holder.digest);
            audit::note_by(call, &holder.project, &actor, Action::SignOut, &actor, Value::Null).await?;
        }
    }
    Ok(Reply::ok(&json!({ "signed_in": false }))?.with_headers(vec![("Set-Cookie", ending_cookie())]))
}
