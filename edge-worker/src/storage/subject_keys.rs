//! Keys per subject, for projects that want them: what seals a person's bodies and labels derives from the root *and* from 32
//! random bytes that lie in KV, which keeps no history. Destroying those makes both unreadable everywhere at
//! once, in every copy and backup of the database.
//!
//! Values carry the id of their key, so two isolates may each make one for the same subject: both are kept.

use crate::config::Secrets;
use crate::failure::{Doing, Outcome};
use crate::projects::cache::{CONFIG_TTL_S, Fresh};
use crate::projects::random;
use crate::projects::store::config;
use std::cell::RefCell;
use std::rc::Rc;
use stepseal_protocol::at_rest::SubjectKeyId;
use stepseal_protocol::encoding::{hex_decode, hex_encode};
use stepseal_protocol::ids::ProjectId;
use stepseal_protocol::keys::KEY_LEN;
use worker::{Date, Env};

/// Keys that one call of [`destroy`] lists at once.
const PAGE: u64 = 100;

/// Keys that KV gives at once, at most.
const BULK_MAX: usize = 100;

thread_local! {
    static KEYS: RefCell<Fresh<Option<Rc<SubjectKey>>>> = RefCell::new(Fresh::default());
}

/// A key of a subject. It neither prints nor serialises.
pub(crate) struct SubjectKey {
    pub(super) id: SubjectKeyId,
    pub(super) secret: [u8; KEY_LEN],
}

fn folder(project: &str, tag: &str) -> String {
    format!("subject-key/{project}/{tag}/")
}

fn name_of(project: &str, id: &SubjectKeyId) -> String {
    format!("{}{}", folder(project, &hex_encode(&id.subject)), hex_encode(&id.key))
}

/// The key that what is new of a subject is sealed under; made if there is none. It is in KV before anything is sealed with
/// it.
pub(crate) async fn of(env: &Env, project: &ProjectId, subject: &str) -> Outcome<Rc<SubjectKey>> {
    let doing = "reading a subject's key";
    let subject = Secrets::of(env)?.oldest_root()?.subject_tag(project, subject);
    let project = project.as_str();
    let name = format!("{}current", folder(project, &hex_encode(&subject)));
    let now = Date::now().as_millis();
    if let Some(Some(key)) = KEYS.with_borrow(|keys| keys.get(&name, now)) {
        return Ok(key);
    }
    let found = config(env)?.get(&name).cache_ttl(CONFIG_TTL_S).text().await.storing(doing)?;
    let key = match found.and_then(|text| parse_current(subject, &text)) {
        Some(key) => key,
        None => make(env, project, subject, &name).await?,
    };
    let key = Rc::new(key);
    KEYS.with_borrow_mut(|keys| keys.put(name, Some(Rc::clone(&key)), true, now));
    Ok(key)
}

/// Makes a key and names it the current one.
async fn make(env: &Env, project: &str, subject: [u8; 16], current: &str) -> Outcome<SubjectKey> {
    let doing = "keeping a subject's key";
    let key = SubjectKey { id: SubjectKeyId { subject, key: random()? }, secret: random()? };
    let (id, secret) = (hex_encode(&key.id.key), hex_encode(&key.secret));
    let store = config(env)?;
    // First by its id: whoever reads the current one must find what was sealed with it.
    store.put(&name_of(project, &key.id), &secret).doing(doing)?.execute().await.storing(doing)?;
    store.put(current, format!("{id}.{secret}")).doing(doing)?.execute().await.storing(doing)?;
    Ok(key)
}

fn parse_current(subject: [u8; 16], text: &str) -> Option<SubjectKey> {
    let (key, secret) = text.split_once('.')?;
    let id = SubjectKeyId { subject, key: hex_decode(key).ok()?.try_into().ok()? };
    Some(SubjectKey { id, secret: hex_decode(secret).ok()?.try_into().ok()? })
}

/// The keys of these ids that were not destroyed. Those that this isolate does not remember are read in one call for each
/// hundred, because pages show many subjects and the free plan allows 50 calls a request.
pub(super) async fn find(env: &Env, project: &str, ids: &[SubjectKeyId]) -> Outcome<Vec<Rc<SubjectKey>>> {
    let doing = "reading subjects' keys";
    let now = Date::now().as_millis();
    let (mut found, mut unknown) = (Vec::new(), Vec::new());
    for id in ids {
        let name = name_of(project, id);
        match KEYS.with_borrow(|keys| keys.get(&name, now)) {
            Some(key) => found.extend(key),
            None => unknown.push((name, *id)),
        }
    }
    for unknown in unknown.chunks(BULK_MAX) {
        let names: Vec<&str> = unknown.iter().map(|(name, _)| name.as_str()).collect();
        let mut texts = config(env)?.get_bulk(&names).cache_ttl(CONFIG_TTL_S).text().await.storing(doing)?;
        for (name, id) in unknown {
            let secret =
                texts.remove(name).flatten().and_then(|text| hex_decode(&text).ok()?.try_into().ok());
            let key = secret.map(|secret| Rc::new(SubjectKey { id: *id, secret }));
            KEYS.with_borrow_mut(|keys| keys.put(name.clone(), key.clone(), key.is_some(), now));
            found.extend(key);
        }
    }
    Ok(found)
}

/// Destroys a subject's keys, here at once and elsewhere within 60 s. Returns how many values there were.
pub(crate) async fn destroy(env: &Env, project: &str, subject: [u8; 16]) -> Outcome<usize> {
    destroy_under(env, &folder(project, &hex_encode(&subject))).await
}

/// Destroys all keys of a project.
pub(crate) async fn destroy_all(env: &Env, project: &str) -> Outcome<usize> {
    destroy_under(env, &format!("subject-key/{project}/")).await
}

async fn destroy_under(env: &Env, prefix: &str) -> Outcome<usize> {
    let doing = "destroying a subject's keys";
    let store = config(env)?;
    let found = store.list().prefix(prefix.to_owned()).limit(PAGE).execute().await.storing(doing)?;
    for key in &found.keys {
        store.delete(&key.name).await.storing(doing)?;
    }
    KEYS.with_borrow_mut(Fresh::clear);
    Ok(found.keys.len())
}
