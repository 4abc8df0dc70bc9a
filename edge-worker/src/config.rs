//! The deployment's secrets, read once an isolate and refused if weak.

use crate::failure::{Fault, Outcome};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use stepseal_protocol::encoding::base64_decode;
use stepseal_protocol::ids::KeyId;
use stepseal_protocol::keys::{KEY_LEN, Root};
use worker::Env;

const ROOTS: &str = "STEPSEAL_ROOTS";
const OPERATOR_KEY: &str = "STEPSEAL_OPERATOR_KEY";
const TURNSTILE_SECRET: &str = "STEPSEAL_TURNSTILE_SECRET";
const OPERATOR_PREFIX: &str = "stepseal_operator_";
/// 64 hex digits: 32 random bytes.
const OPERATOR_RANDOM_LEN: usize = 64;

thread_local! {
    static SECRETS: RefCell<Option<Rc<Secrets>>> = const { RefCell::new(None) };
}

/// The roots by name, and the operator's key.
pub(crate) struct Secrets {
    roots: BTreeMap<String, [u8; KEY_LEN]>,
    operator_key: String,
    turnstile: Option<String>,
}

impl Secrets {
    /// The deployment's secrets; a weak or missing one is a fault of the configuration.
    pub(crate) fn of(env: &Env) -> Outcome<Rc<Self>> {
        if let Some(secrets) = SECRETS.with_borrow(Clone::clone) {
            return Ok(secrets);
        }
        let secrets = Rc::new(Self::read(env)?);
        SECRETS.set(Some(Rc::clone(&secrets)));
        Ok(secrets)
    }

    fn read(env: &Env) -> Result<Self, Fault> {
        let text = |name| env.secret(name).map(|secret| secret.to_string());
        let roots =
            text(ROOTS).map_err(|_| Fault::misconfigured("reading STEPSEAL_ROOTS", "it is missing"))?;
        let operator_key = text(OPERATOR_KEY)
            .map_err(|_| Fault::misconfigured("reading STEPSEAL_OPERATOR_KEY", "it is missing"))?;
        let strong = operator_key.strip_prefix(OPERATOR_PREFIX).is_some_and(|rest| {
            rest.len() == OPERATOR_RANDOM_LEN && rest.bytes().all(|b| b.is_ascii_hexdigit())
        });
        if !strong {
            return Err(Fault::misconfigured(
                "reading STEPSEAL_OPERATOR_KEY",
                "it must be `stepseal_operator_` and 64 hex digits",
            ));
        }
        let turnstile = text(TURNSTILE_SECRET).ok().filter(|secret| !secret.is_empty());
        Ok(Self { roots: parse_roots(&roots)?, operator_key, turnstile })
    }

    /// The root of this name.
    pub(crate) fn root(&self, name: &str) -> Option<Root> {
        self.roots.get(name).and_then(|bytes| Root::from_bytes(*bytes).ok())
    }

    /// The root new projects derive from: the last by name.
    pub(crate) fn newest_root(&self) -> Outcome<(KeyId, Root)> {
        let doing = "choosing a root";
        let name =
            self.roots.keys().next_back().ok_or_else(|| Fault::misconfigured(doing, "there is none"))?;
        let kid = KeyId::parse(name).map_err(|_| Fault::misconfigured(doing, "its name is no key id"))?;
        let root = self.root(name).ok_or_else(|| Fault::misconfigured(doing, "it is weak"))?;
        Ok((kid, root))
    }

    /// The root that digests of API keys, cursors and labels derive from: the first by name, which stays when
    /// newer ones come.
    pub(crate) fn oldest_root(&self) -> Outcome<Root> {
        Ok(self.oldest_root_named()?.1)
    }

    /// The same with its name, which values sealed under it carry.
    pub(crate) fn oldest_root_named(&self) -> Outcome<(String, Root)> {
        let doing = "choosing a root";
        let name = self.roots.keys().next().ok_or_else(|| Fault::misconfigured(doing, "there is none"))?;
        let root = self.root(name).ok_or_else(|| Fault::misconfigured(doing, "it is weak"))?;
        Ok((name.clone(), root))
    }

    /// The secret of the deployment's Turnstile widget; only projects that ask for challenges need it.
    pub(crate) fn turnstile(&self) -> Outcome<&str> {
        let absent = || Fault::misconfigured("reading STEPSEAL_TURNSTILE_SECRET", "it is missing");
        Ok(self.turnstile.as_deref().ok_or_else(absent)?)
    }

    /// Whether `text` is the operator's key. Both sides are tagged under a root first, so that the time
    /// of the comparison says nothing about the key.
    pub(crate) fn is_operator(&self, text: &str) -> Outcome<bool> {
        let key = self.oldest_root()?.purpose_key("operator", None);
        Ok(key.tag(&[text.as_bytes()]) == key.tag(&[self.operator_key.as_bytes()]))
    }
}

fn parse_roots(json: &str) -> Result<BTreeMap<String, [u8; KEY_LEN]>, Fault> {
    let doing = "reading STEPSEAL_ROOTS";
    let texts: BTreeMap<String, String> = serde_json::from_str(json)
        .map_err(|_| Fault::misconfigured(doing, "it must be a JSON object of name: base64"))?;
    texts
        .into_iter()
        .map(|(name, text)| {
            let bytes: [u8; KEY_LEN] = base64_decode(&text)
                .ok()
                .and_then(|bytes| bytes.try_into().ok())
                .ok_or_else(|| Fault::misconfigured(doing, "a root must be the base64 of 32 bytes"))?;
            Root::from_bytes(bytes).map_err(|_| Fault::misconfigured(doing, "a root is not random"))?;
            if name.contains('-') || KeyId::parse(&name).is_err() {
                return Err(Fault::misconfigured(doing, "a root's name has letters, digits and `_` only"));
            }
            Ok((name, bytes))
        })
        .collect()
}
