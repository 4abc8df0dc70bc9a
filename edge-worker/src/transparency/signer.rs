//! The Ed25519 key of a project, by the platform's Web Crypto. It derives from the oldest root, so that a log
//! keeps its key when newer roots come.

use crate::config::Secrets;
use crate::failure::{Doing, Outcome};
use crate::platform::{subtle, text};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use stepseal_protocol::encoding::base64url_decode;
use stepseal_protocol::ids::ProjectId;
use stepseal_protocol::transparency::{VerifierKey, signed_note};
use web_sys::CryptoKey;
use worker::Env;
use worker::js_sys::futures::JsFuture;
use worker::js_sys::{Array, Reflect, Uint8Array};
use worker::wasm_bindgen::JsCast;

/// What stands before the seed in a PKCS #8 private key of Ed25519 (RFC 8410, section 7).
const PKCS8_PREFIX: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
/// Keys at which the memory is dropped: a bound, not a policy.
const KEYS_MAX: usize = 1_024;

thread_local! {
    static SIGNERS: RefCell<HashMap<String, Rc<Signer>>> = RefCell::new(HashMap::new());
}

/// Signs for one project.
pub(crate) struct Signer {
    key: CryptoKey,
    public: VerifierKey,
}

impl Signer {
    /// The signer of a project.
    pub(crate) async fn of(env: &Env, project: &ProjectId) -> Outcome<Rc<Self>> {
        if let Some(signer) = SIGNERS.with_borrow(|signers| signers.get(project.as_str()).cloned()) {
            return Ok(signer);
        }
        let signer = Rc::new(Self::import(env, project).await?);
        SIGNERS.with_borrow_mut(|signers| {
            if signers.len() >= KEYS_MAX {
                signers.clear();
            }
            signers.insert(project.to_string(), Rc::clone(&signer));
        });
        Ok(signer)
    }

    /// Extractable, because Web Crypto gives the public key of a private one only by exporting it.
    async fn import(env: &Env, project: &ProjectId) -> Outcome<Self> {
        let doing = "importing a signing key";
        let seed = Secrets::of(env)?.oldest_root()?.signing_seed(project);
        let mut pkcs8 = PKCS8_PREFIX.to_vec();
        pkcs8.extend_from_slice(seed.expose());
        let subtle = subtle()?;
        let usages = Array::of1(&"sign".into());
        let raw = Uint8Array::from(pkcs8.as_slice());
        let importing = subtle.import_key_with_str("pkcs8", &raw, "Ed25519", true, &usages);
        let key = JsFuture::from(importing.map_err(text).doing(doing)?).await.map_err(text).doing(doing)?;
        let key: CryptoKey = key.unchecked_into();
        let exporting = subtle.export_key("jwk", &key).map_err(text).doing(doing)?;
        let jwk = JsFuture::from(exporting).await.map_err(text).doing(doing)?;
        let public = Reflect::get(&jwk, &"x".into()).map_err(text).doing(doing)?.as_string();
        let public = public.and_then(|text| base64url_decode(&text).ok()?.try_into().ok());
        let public: [u8; 32] = public.ok_or("the platform's public key").doing(doing)?;
        Ok(Self { key, public: VerifierKey::of(project.as_str(), public) })
    }

    /// Whether a signature over a text holds under somebody's key.
    pub(crate) async fn holds(key: &VerifierKey, signed: &str, signature: &[u8; 64]) -> Outcome<bool> {
        let doing = "checking a signature";
        let subtle = subtle()?;
        let raw = Uint8Array::from(key.public().as_slice());
        let importing =
            subtle.import_key_with_str("raw", &raw, "Ed25519", false, &Array::of1(&"verify".into()));
        // The platform refuses bytes that are no point of the curve: nothing holds under them.
        let Ok(key) = JsFuture::from(importing.map_err(text).doing(doing)?).await else { return Ok(false) };
        let key: CryptoKey = key.unchecked_into();
        let checking = subtle
            .verify_with_str_and_u8_array_and_u8_array("Ed25519", &key, signature, signed.as_bytes())
            .map_err(text)
            .doing(doing)?;
        Ok(JsFuture::from(checking).await.map_err(text).doing(doing)?.is_truthy())
    }

    /// The key that verifies.
    pub(crate) fn verifier(&self) -> &VerifierKey {
        &self.public
    }

    /// The signature of a text.
    pub(crate) async fn sign(&self, text_to_sign: &str) -> Outcome<[u8; 64]> {
        let doing = "signing";
        let signing = subtle()?
            .sign_with_str_and_u8_array("Ed25519", &self.key, text_to_sign.as_bytes())
            .map_err(text)
            .doing(doing)?;
        let signature = JsFuture::from(signing).await.map_err(text).doing(doing)?;
        let bytes = Uint8Array::new(&signature).to_vec();
        Ok(bytes.try_into().map_err(|_| "a signature of another length").doing(doing)?)
    }

    /// A text with its signature, as a note.
    pub(crate) async fn note(&self, text: &str) -> Outcome<String> {
        Ok(signed_note(text, &self.public, &self.sign(text).await?))
    }
}
