//! Sealing and opening stored values. Bodies go through the platform's AES-256-GCM (Web Crypto), because
//! they are large and it is fast; labels see `labels.rs`.

use super::segments::Body;
use super::subject_keys::{self, SubjectKey};
use crate::config::Secrets;
use crate::failure::{Doing, Fault, Outcome};
use crate::platform::{subtle, text};
use crate::projects::random;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use stepseal_protocol::at_rest::{BodyPlace, NONCE_LEN, StoredBody, sealed_body};
use stepseal_protocol::ids::ProjectId;
use stepseal_protocol::keys::DataKey;
use web_sys::{AesGcmParams, CryptoKey};
use worker::Env;
use worker::js_sys::futures::JsFuture;
use worker::js_sys::{Array, Promise, Uint8Array};
use worker::wasm_bindgen::JsCast;

/// Keys at which the memory is dropped: a bound, not a policy.
const KEYS_MAX: usize = 1_024;

thread_local! {
    /// Imported keys, by root and project.
    static KEYS: RefCell<HashMap<(String, String), CryptoKey>> = RefCell::new(HashMap::new());
}

/// A body as it is to be stored, and the root it is sealed under.
pub(super) struct SealedBody {
    pub(super) bytes: Vec<u8>,
    pub(super) root: String,
}

/// Seals a body for its row, under the newest root and the subject's key if there is one.
pub(super) async fn seal(
    env: &Env,
    place: &BodyPlace<'_>,
    subject_key: Option<&SubjectKey>,
    body: &[u8],
) -> Outcome<SealedBody> {
    let doing = "sealing a body";
    let root = newest_root(env)?;
    let key = match subject_key {
        Some(subject_key) => import_of_subject(env, &root, place.project, subject_key).await?,
        None => key(env, &root, place.project).await?,
    };
    let key = key.ok_or_else(|| Fault::internal(doing, "no root"))?;
    let nonce: [u8; NONCE_LEN] = random()?;
    let promise =
        subtle()?.encrypt_with_object_and_u8_array(&parameters(&nonce, place), &key, body).map_err(text);
    let ciphertext = bytes_of(promise.doing(doing)?).await.doing(doing)?;
    let id = subject_key.map(|key| &key.id);
    Ok(SealedBody { bytes: sealed_body(&root, id, &nonce, &ciphertext), root })
}

/// The name of the root that bodies are sealed under from now on.
pub(crate) fn newest_root(env: &Env) -> Outcome<String> {
    Ok(Secrets::of(env)?.newest_root()?.0.to_string())
}

/// The body of a row and the subject's key that it took.
pub(super) async fn open(
    env: &Env,
    place: &BodyPlace<'_>,
    stored: &[u8],
) -> Outcome<(Body, Option<Rc<SubjectKey>>)> {
    let (root, id, nonce, ciphertext) = match StoredBody::read(stored) {
        Some(StoredBody::Plain(body)) => return Ok((Body::Opened(body.to_vec()), None)),
        Some(StoredBody::Sealed { root, subject_key, nonce, ciphertext }) => {
            (root, subject_key, nonce, ciphertext)
        }
        None => return Ok((Body::Shut, None)),
    };
    let Some(id) = id else {
        let key = key(env, root, place.project).await?;
        return Ok((open_with(key, place, nonce, ciphertext).await?, None));
    };
    let Some(subject_key) = subject_keys::find(env, place.project, &[id]).await?.pop() else {
        return Ok((Body::Erased, None));
    };
    let key = import_of_subject(env, root, place.project, &subject_key).await?;
    Ok((open_with(key, place, nonce, ciphertext).await?, Some(subject_key)))
}

/// Shut if it does not open there, or its root is no longer held.
async fn open_with(
    key: Option<CryptoKey>,
    place: &BodyPlace<'_>,
    nonce: &[u8],
    ciphertext: &[u8],
) -> Outcome<Body> {
    let Some(key) = key else { return Ok(Body::Shut) };
    let opening = subtle()?.decrypt_with_object_and_u8_array(&parameters(nonce, place), &key, ciphertext);
    // The platform does not say why it refuses: the bytes, the row or the key are others.
    let opened = match opening {
        Ok(promise) => bytes_of(promise).await.ok(),
        Err(_) => None,
    };
    Ok(opened.map_or(Body::Shut, Body::Opened))
}

/// The key of a project under a root; none if the deployment does not hold that root.
async fn key(env: &Env, root: &str, project: &str) -> Outcome<Option<CryptoKey>> {
    let doing = "importing a key";
    let name = (root.to_owned(), project.to_owned());
    if let Some(key) = KEYS.with_borrow(|keys| keys.get(&name).cloned()) {
        return Ok(Some(key));
    }
    let Some(root) = Secrets::of(env)?.root(root) else { return Ok(None) };
    let project = ProjectId::parse(project).map_err(|_| "a stored project id").doing(doing)?;
    let key = import(&root.body_key(&project)).await?;
    KEYS.with_borrow_mut(|keys| {
        if keys.len() >= KEYS_MAX {
            keys.clear();
        }
        keys.insert(name, key.clone());
    });
    Ok(Some(key))
}

/// The key of a subject's bodies. Not remembered: it must end with the subject's secret.
async fn import_of_subject(
    env: &Env,
    root: &str,
    project: &str,
    subject_key: &SubjectKey,
) -> Outcome<Option<CryptoKey>> {
    let Some(root) = Secrets::of(env)?.root(root) else { return Ok(None) };
    let project = ProjectId::parse(project).map_err(|_| "a stored project id").doing("importing a key")?;
    Ok(Some(import(&root.subject_body_key(&project, &subject_key.secret)).await?))
}

async fn import(key: &DataKey) -> Outcome<CryptoKey> {
    let doing = "importing a key";
    let raw = Uint8Array::from(key.expose().as_slice());
    let usages = Array::of2(&"encrypt".into(), &"decrypt".into());
    let importing = subtle()?.import_key_with_str("raw", &raw, "AES-GCM", false, &usages);
    let key = JsFuture::from(importing.map_err(text).doing(doing)?).await.map_err(text).doing(doing)?;
    Ok(key.unchecked_into())
}

fn parameters(nonce: &[u8], place: &BodyPlace<'_>) -> AesGcmParams {
    let parameters = AesGcmParams::new_with_u8_array("AES-GCM", &Uint8Array::from(nonce));
    parameters.set_additional_data_u8_array(&Uint8Array::from(place.additional_data().as_slice()));
    parameters
}

async fn bytes_of(promise: Promise) -> Result<Vec<u8>, String> {
    Ok(Uint8Array::new(&JsFuture::from(promise).await.map_err(text)?).to_vec())
}
