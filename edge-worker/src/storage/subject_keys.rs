//! Keys per subject, for projects that want them: what seals a person's bodies derives from the root *and* from 32
//! random bytes that lie in KV, which keeps no history. Destroying those makes the bodies unreadable everywhere at
//! once, in every copy and backup of the database.
//!
//! Values carry the id of their key, so two isolates may each make one for the same subject: both are kept.

use crate::failure::{Doing, Outcome};
use crate::projects::cache::{CONFIG_TTL_S, Fresh};
use crate::projects::random;
use crate::projects::store::config;
use std::cell::RefCell;
use std::rc::Rc;
use stepseal_protocol::at_rest::SubjectKeyId;
use stepseal_protocol::encoding::{hex_decode, hex_encode};
use stepseal_protocol::keys::KEY_LEN;
use worker::{Date, Env};

/// Keys that one call of [`destroy`] lists at once.
const PAGE: u64 = 100;

thread_local! {
    static KEYS: RefCell<Fresh<Option<Rc<SubjectKey>>>> = RefCell::new(Fresh::default());
}

/// A key of a subject. It neither prints nor serialises.
pub(super) struct SubjectKey {
    pub(super) id: SubjectKeyId,
    pub(super) secret: [u8; KEY_LEN],
}

fn folder(project: &str, tag: &str) -> String {
    format!("subject-key/{project}/{tag}/")
}

fn name_of(project: &str, id: &SubjectKeyId) -> String {
    format!("{}{}", folder(project, &hex_encode(&id.subject)), hex_encode(&id.key))
}

/// The key that new bodies of a subject are sealed under; made if there is none. It is in KV before anything is
/// sealed with it.
pub(super) async fn current(env: &Env, project: &str, subject: [u8; 16]) -> Outcome<Rc<SubjectKey>> {
    let doing = "reading a subject's key";
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

/// The key of this id; none if it was destroyed.
pub(super) async fn find(env: &Env, project: &str, id: SubjectKeyId) -> Outcome<Option<Rc<SubjectKey>>> {
    let doing = "reading a subject's key";
    let name = name_of(project, &id);
    let now = Date::now().as_millis();
    if let Some(key) = KEYS.with_borrow(|keys| keys.get(&name, now)) {
        return Ok(key);
    }
    let found = config(env)?.get(&name).cache_ttl(CONFIG_TTL_S).text().await.storing(doing)?;
    let secret = found.and_then(|text| hex_decode(&text).ok()?.try_into().ok());
    let key = secret.map(|secret| Rc::new(SubjectKey { id, secret }));
    KEYS.with_borrow_mut(|keys| keys.put(name, key.clone(), key.is_some(), now));
    Ok(key)
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
