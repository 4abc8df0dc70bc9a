//! Sealing and opening stored values. Bodies go through the platform's AES-256-GCM (Web Crypto), because
//! they are large and it is fast; labels through `stepseal_protocol::at_rest::Labels`.

use crate::config::Secrets;
use crate::failure::{Doing, Fault, Outcome};
use crate::projects::random;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use stepseal_protocol::at_rest::{BodyPlace, Labels, NONCE_LEN, StoredBody, sealed_body};
use stepseal_protocol::ids::ProjectId;
use web_sys::{AesGcmParams, CryptoKey, SubtleCrypto};
use worker::Env;
use worker::js_sys::futures::JsFuture;
use worker::js_sys::{Array, Promise, Uint8Array, global};
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::web_sys::WorkerGlobalScope;

/// Keys at which the memory is dropped: a bound, not a policy.
const KEYS_MAX: usize = 1_024;

thread_local! {
    /// Imported keys, by root and project.
    static KEYS: RefCell<HashMap<(String, String), CryptoKey>> = RefCell::new(HashMap::new());
    static LABELS: RefCell<HashMap<String, Rc<Labels>>> = RefCell::new(HashMap::new());
}

/// A body as it is to be stored, and the root it is sealed under.
pub(super) struct SealedBody {
    pub(super) bytes: Vec<u8>,
    pub(super) root: String,
}

/// Seals a body for its row, under the newest root.
pub(super) async fn seal(env: &Env, place: &BodyPlace<'_>, body: &[u8]) -> Outcome<SealedBody> {
    let doing = "sealing a body";
    let root = newest_root(env)?;
    let key = key(env, &root, place.project).await?.ok_or_else(|| Fault::internal(doing, "no root"))?;
    let nonce: [u8; NONCE_LEN] = random()?;
    let promise =
        subtle()?.encrypt_with_object_and_u8_array(&parameters(&nonce, place), &key, body).map_err(text);
    let ciphertext = bytes_of(promise.doing(doing)?).await.doing(doing)?;
    Ok(SealedBody { bytes: sealed_body(&root, &nonce, &ciphertext), root })
}

/// The name of the root that bodies are sealed under from now on.
pub(crate) fn newest_root(env: &Env) -> Outcome<String> {
    Ok(Secrets::of(env)?.newest_root()?.0.to_string())
}

/// The body of a row; none if it does not open there, or its root is no longer held.
pub(super) async fn open(env: &Env, place: &BodyPlace<'_>, stored: &[u8]) -> Outcome<Option<Vec<u8>>> {
    let (root, nonce, ciphertext) = match StoredBody::read(stored) {
        Some(StoredBody::Plain(body)) => return Ok(Some(body.to_vec())),
        Some(StoredBody::Sealed { root, nonce, ciphertext }) => (root, nonce, ciphertext),
        None => return Ok(None),
    };
    let Some(key) = key(env, root, place.project).await? else { return Ok(None) };
    let opening = subtle()?.decrypt_with_object_and_u8_array(&parameters(nonce, place), &key, ciphertext);
    // The platform does not say why it refuses: the bytes, the row or the key are others.
    Ok(match opening {
        Ok(promise) => bytes_of(promise).await.ok(),
        Err(_) => None,
    })
}

/// The labels of a project.
pub(crate) fn labels(env: &Env, project: &ProjectId) -> Outcome<Rc<Labels>> {
    if let Some(labels) = LABELS.with_borrow(|all| all.get(project.as_str()).cloned()) {
        return Ok(labels);
    }
    let (name, root) = Secrets::of(env)?.oldest_root_named()?;
    let labels = Rc::new(Labels::of(&name, &root, project));
    LABELS.with_borrow_mut(|all| {
        if all.len() >= KEYS_MAX {
            all.clear();
        }
        all.insert(project.to_string(), Rc::clone(&labels));
    });
    Ok(labels)
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
    let raw = Uint8Array::from(root.body_key(&project).expose().as_slice());
    let usages = Array::of2(&"encrypt".into(), &"decrypt".into());
    let importing = subtle()?.import_key_with_str("raw", &raw, "AES-GCM", false, &usages);
    let key = JsFuture::from(importing.map_err(text).doing(doing)?).await.map_err(text).doing(doing)?;
    let key: CryptoKey = key.unchecked_into();
    KEYS.with_borrow_mut(|keys| {
        if keys.len() >= KEYS_MAX {
            keys.clear();
        }
        keys.insert(name, key.clone());
    });
    Ok(Some(key))
}

fn parameters(nonce: &[u8], place: &BodyPlace<'_>) -> AesGcmParams {
    let parameters = AesGcmParams::new_with_u8_array("AES-GCM", &Uint8Array::from(nonce));
    parameters.set_additional_data_u8_array(&Uint8Array::from(place.additional_data().as_slice()));
    parameters
}

fn subtle() -> Outcome<SubtleCrypto> {
    let scope: WorkerGlobalScope = global().unchecked_into();
    Ok(scope.crypto().map_err(text).doing("asking for the platform's cryptography")?.subtle())
}

async fn bytes_of(promise: Promise) -> Result<Vec<u8>, String> {
    Ok(Uint8Array::new(&JsFuture::from(promise).await.map_err(text)?).to_vec())
}

#[expect(clippy::needless_pass_by_value, reason = "`map_err` hands it over")]
fn text(cause: JsValue) -> String {
    format!("{cause:?}")
}
