//! Key derivation and the one MAC of the wire.
//!
//! HKDF-SHA256 (RFC 5869) derives every key: a root gives project secrets, a project secret gives
//! session keys. HMAC-SHA256 (RFC 2104) in the Standard Webhooks construction signs batches. HKDF and
//! not a bare HMAC, because otherwise a batch signature could equal a session key.
//!
//! None of these types prints or serialises its bytes by accident; the methods that let them out say so.

use crate::digest::sha256;
use crate::encoding::{InvalidEncoding, base64_decode, base64_encode, push_base64};
use crate::ids::{BatchId, KeyId, ProjectId};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Length of every key, in bytes.
pub const KEY_LEN: usize = 32;
/// The one signature scheme of wire version 1.
const SIGNATURE_PREFIX: &str = "v1,";
/// SHA-256's, in bytes.
const BLOCK_LEN: usize = 64;
const SECRET_PREFIX: &str = "whsec_";
/// Fewer distinct bytes than this in 32 says "typed by hand", not "random": 2^-40 by chance.
const DISTINCT_BYTES_MIN: usize = 16;

/// The deployment's secret; every project secret derives from one.
pub struct Root([u8; KEY_LEN]);

/// A secret that nobody drew at random.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeakRoot;

impl Root {
    /// Accepts 32 bytes that look random.
    pub fn from_bytes(bytes: [u8; KEY_LEN]) -> Result<Self, WeakRoot> {
        let mut seen = [false; 256];
        for byte in bytes {
            seen[usize::from(byte)] = true;
        }
        if seen.iter().filter(|seen| **seen).count() < DISTINCT_BYTES_MIN {
            return Err(WeakRoot);
        }
        Ok(Self(bytes))
    }

    /// The secret of `project` in generation `kid`.
    pub fn project_secret(&self, project: &ProjectId, kid: &KeyId) -> ProjectSecret {
        ProjectSecret(derive(
            &self.0,
            &[
                b"stepseal/project-secret/v1",
                &[0],
                project.as_str().as_bytes(),
                &[0],
                kid.as_str().as_bytes(),
            ],
        ))
    }

    /// The key that seals the bodies of `project`.
    pub fn body_key(&self, project: &ProjectId) -> DataKey {
        DataKey(self.purpose_key("at-rest-body", Some(project)).0)
    }

    /// The key that seals a subject's bodies of `project`: from this root and from `secret`, which can be
    /// destroyed by itself.
    pub fn subject_body_key(&self, project: &ProjectId, secret: &[u8; KEY_LEN]) -> DataKey {
        let label = b"stepseal/at-rest-subject-body/v1";
        DataKey(derive(&self.0, &[label, &[0], project.as_str().as_bytes(), &[0], secret]))
    }

    /// The key that seals a subject's labels, in the same way.
    pub fn subject_label_key(&self, project: &ProjectId, secret: &[u8; KEY_LEN]) -> DataKey {
        let label = b"stepseal/at-rest-subject-label/v1";
        DataKey(derive(&self.0, &[label, &[0], project.as_str().as_bytes(), &[0], secret]))
    }

    /// What stands for a subject where its keys are kept: says nothing about it without the root.
    pub fn subject_tag(&self, project: &ProjectId, subject: &str) -> [u8; 16] {
        let tag = self.purpose_key("subject-tag", Some(project)).tag(&[subject.as_bytes()]);
        core::array::from_fn(|at| tag[at])
    }

    /// The key that seals the labels of `project`.
    pub fn label_key(&self, project: &ProjectId) -> DataKey {
        DataKey(self.purpose_key("at-rest-label", Some(project)).0)
    }

    /// The seed of the Ed25519 key that signs the receipts and checkpoints of `project`.
    pub fn signing_seed(&self, project: &ProjectId) -> SigningSeed {
        SigningSeed(self.purpose_key("signing", Some(project)).0)
    }

    /// A key for a use of its own: receipts, cursors, digests of API keys. `label` keeps the uses apart.
    pub fn purpose_key(&self, label: &'static str, project: Option<&ProjectId>) -> PurposeKey {
        let project = project.map_or("", ProjectId::as_str);
        PurposeKey(derive(&self.0, &[b"stepseal/", label.as_bytes(), b"/v1", &[0], project.as_bytes()]))
    }
}

/// A key that encrypts what is stored.
pub struct DataKey([u8; KEY_LEN]);

impl DataKey {
    /// Lets the key out, to the cipher that is to use it.
    pub const fn expose(&self) -> &[u8; KEY_LEN] {
        &self.0
    }
}

/// Seed of an Ed25519 key (RFC 8032).
pub struct SigningSeed([u8; KEY_LEN]);

impl SigningSeed {
    /// Lets the seed out, to the signer that is to use it.
    pub const fn expose(&self) -> &[u8; KEY_LEN] {
        &self.0
    }
}

/// What a customer's backend holds; written `whsec_…`.
pub struct ProjectSecret([u8; KEY_LEN]);

impl ProjectSecret {
    /// The secret with these bytes.
    pub const fn from_bytes(bytes: [u8; KEY_LEN]) -> Self {
        Self(bytes)
    }

    /// Reads `whsec_` and base64 of 32 bytes.
    pub fn parse(text: &str) -> Result<Self, InvalidEncoding> {
        let bytes = base64_decode(text.strip_prefix(SECRET_PREFIX).ok_or(InvalidEncoding)?)?;
        bytes.try_into().map(Self).map_err(|_| InvalidEncoding)
    }

    /// Lets the secret out in the form a customer keeps. Shown once, never logged.
    pub fn reveal(&self) -> String {
        let mut text = String::from(SECRET_PREFIX);
        text.push_str(&base64_encode(&self.0));
        text
    }

    /// The key of the session whose token is exactly `token`.
    pub fn session_key(&self, token: &str) -> SessionKey {
        SessionKey(derive(&self.0, &[b"stepseal/session-key/v1", &[0], token.as_bytes()]))
    }
}

/// What a page holds for minutes: signs batches under one token.
pub struct SessionKey([u8; KEY_LEN]);

impl SessionKey {
    /// The key with these bytes.
    pub const fn from_bytes(bytes: [u8; KEY_LEN]) -> Self {
        Self(bytes)
    }

    /// Lets the key out as base64, for the reply that hands a session to its page.
    pub fn reveal(&self) -> String {
        base64_encode(&self.0)
    }
}

/// A key for one purpose inside the worker.
pub struct PurposeKey([u8; KEY_LEN]);

impl PurposeKey {
    /// HMAC-SHA256 over `parts`, each ended by a zero byte so that no two lists read the same.
    pub fn tag(&self, parts: &[&[u8]]) -> [u8; 32] {
        self.mac(parts).finalize().into_bytes().into()
    }

    /// Whether `tag` is the beginning, of at least 16 bytes, of [`tag`](Self::tag) of `parts`; in constant time.
    pub fn is_truncated_tag(&self, parts: &[&[u8]], tag: &[u8]) -> bool {
        tag.len() >= 16 && self.mac(parts).verify_truncated_left(tag).is_ok()
    }

    fn mac(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = hmac(&self.0);
        for part in parts {
            mac.update(part);
            mac.update(&[0]);
        }
        mac
    }
}

/// A key that signs and verifies batches.
pub trait BatchKey {
    /// The key's bytes, for this module alone.
    #[doc(hidden)]
    fn bytes(&self) -> &[u8; KEY_LEN];

    /// `v1,` and base64 of HMAC-SHA256 over `<batch id>.<ts>.<body>`.
    fn sign(&self, batch_id: &BatchId, ts: u64, body: &[u8]) -> String {
        let mut text = Vec::new();
        self.push_signature(&mut text, batch_id, ts, body);
        String::from_utf8(text).expect("base64 is ASCII")
    }

    /// Appends [`sign`](Self::sign)'s text.
    fn push_signature(&self, out: &mut Vec<u8>, batch_id: &BatchId, ts: u64, body: &[u8]) {
        let pad = |with: u8| {
            let mut block = [with; BLOCK_LEN];
            for (byte, key) in block.iter_mut().zip(self.bytes()) {
                *byte ^= key;
            }
            block
        };
        let digits = &mut [0; 20];
        let ts = decimal(ts, digits);
        let inner = sha256(&[&pad(0x36), batch_id.as_bytes(), b".", ts, b".", body]);
        let tag = sha256(&[&pad(0x5c), &inner]);
        out.extend_from_slice(SIGNATURE_PREFIX.as_bytes());
        push_base64(out, &tag, false);
    }

    /// Whether `signature` signs this batch, compared in constant time.
    fn verifies(&self, batch_id: &BatchId, ts: u64, body: &[u8], signature: &Signature) -> bool {
        batch_mac(self.bytes(), batch_id, ts, body).verify_slice(&signature.0).is_ok()
    }
}

impl BatchKey for SessionKey {
    fn bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }
}

impl BatchKey for ProjectSecret {
    fn bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }
}

/// A signature as received: well-formed, proving nothing yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signature([u8; 32]);

impl Signature {
    /// Reads `v1,` and the base64 of 32 bytes.
    pub fn parse(text: &str) -> Result<Self, InvalidEncoding> {
        let bytes = base64_decode(text.strip_prefix(SIGNATURE_PREFIX).ok_or(InvalidEncoding)?)?;
        bytes.try_into().map(Self).map_err(|_| InvalidEncoding)
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SIGNATURE_PREFIX)?;
        f.write_str(&base64_encode(&self.0))
    }
}

macro_rules! redacted {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "([REDACTED])"))
            }
        }
    )*};
}
redacted!(Root, DataKey, SigningSeed, ProjectSecret, SessionKey, PurposeKey);

fn derive(key: &[u8; KEY_LEN], info: &[&[u8]]) -> [u8; KEY_LEN] {
    let mut out = [0; KEY_LEN];
    Hkdf::<Sha256>::new(None, key)
        .expand_multi_info(info, &mut out)
        .expect("32 bytes are within HKDF-SHA256's bound of 8,160");
    out
}

fn hmac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

fn batch_mac(key: &[u8; KEY_LEN], batch_id: &BatchId, ts: u64, body: &[u8]) -> Hmac<Sha256> {
    let mut mac = hmac(key);
    mac.update(batch_id.as_bytes());
    mac.update(b".");
    mac.update(decimal(ts, &mut [0; 20]));
    mac.update(b".");
    mac.update(body);
    mac
}

/// `value` in decimal without the formatting machinery, which would cost the page's wasm kilobytes.
pub(crate) fn decimal(mut value: u64, buffer: &mut [u8; 20]) -> &[u8] {
    let mut start = buffer.len();
    loop {
        start -= 1;
        let digit = (value % 10) as u8;
        buffer[start] = b'0' + digit;
        value /= 10;
        if value == 0 {
            return &buffer[start..];
        }
    }
}
