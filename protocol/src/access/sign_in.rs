//! Sign-in of people: an API key exchanged for a cookie that scripts cannot read.
//!
//! The cookie carries no key: it names the key's digest, and a tag under a key of the deployment proves
//! that we made it. Whether the key is still good is looked up on each use, so revoking it ends its
//! sign-ins. A request that rides on the cookie must come from our own page ([`Site::check`]), because
//! browsers send cookies along whoever asked.

use crate::encoding::{base64url_decode, base64url_encode, hex_encode};
use crate::keys::{PurposeKey, Root};
use crate::problem::{Code, Problem};
use serde::{Deserialize, Serialize};
use std::format;
use std::string::String;

/// How long a sign-in lasts, in milliseconds: a working day.
pub const SIGN_IN_LIFE_MS: u64 = 12 * 3_600_000;
/// `__Host-`: browsers accept it only from a secure origin, for this host alone and for every path.
const COOKIE: &str = "__Host-stepseal";
const VERSION: &str = "c1";
const ATTRIBUTES: &str = "Path=/; Secure; HttpOnly; SameSite=Strict";

/// One sign-in, as its cookie carries it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignIn {
    /// Its id, under which it is signed out.
    pub id: String,
    /// Digest of the API key.
    pub digest: String,
    /// When it ends, Unix ms.
    pub expires_at: u64,
}

/// Makes and reads the cookies of a deployment.
pub struct SignIns {
    cookies: PurposeKey,
    tokens: PurposeKey,
}

impl SignIns {
    /// Under keys of their own.
    pub fn of(root: &Root) -> Self {
        Self { cookies: root.purpose_key("sign-in", None), tokens: root.purpose_key("csrf", None) }
    }

    /// A sign-in with the key of `digest`, beginning now (Unix ms).
    pub fn begin(digest: String, random: [u8; 16], now: u64) -> SignIn {
        SignIn { id: hex_encode(&random), digest, expires_at: now + SIGN_IN_LIFE_MS }
    }

    /// The cookie's value.
    pub fn seal(&self, sign_in: &SignIn) -> String {
        let claims = serde_json::to_vec(sign_in).unwrap_or_default();
        let tag = self.cookies.tag(&[&claims]);
        format!("{VERSION}.{}.{}", base64url_encode(&claims), base64url_encode(&tag))
    }

    /// The sign-in of a cookie's value, if we made it and it has not ended.
    pub fn open(&self, value: &str, now: u64) -> Option<SignIn> {
        let (claims, tag) = value.strip_prefix(VERSION)?.strip_prefix('.')?.split_once('.')?;
        let (claims, tag) = (base64url_decode(claims).ok()?, base64url_decode(tag).ok()?);
        if tag.len() != 32 || !self.cookies.is_truncated_tag(&[&claims], &tag) {
            return None;
        }
        let sign_in: SignIn = serde_json::from_slice(&claims).ok()?;
        (now < sign_in.expires_at).then_some(sign_in)
    }

    /// The token that our page sends along with every write.
    pub fn csrf_token(&self, sign_in: &SignIn) -> String {
        base64url_encode(&self.tokens.tag(&[sign_in.id.as_bytes()]))
    }

    fn is_csrf_token(&self, sign_in: &SignIn, token: &str) -> bool {
        base64url_decode(token)
            .is_ok_and(|tag| tag.len() == 32 && self.tokens.is_truncated_tag(&[sign_in.id.as_bytes()], &tag))
    }
}

/// Where a request says it comes from.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// Whether it changes nothing (GET).
    pub safe: bool,
    /// `Sec-Fetch-Site`, which browsers set and scripts cannot.
    pub fetch_site: Option<&'a str>,
    /// `Origin`.
    pub origin: Option<&'a str>,
    /// The origin that the request was made to.
    pub own_origin: &'a str,
}

impl Site<'_> {
    /// Refuses what another site's page made.
    pub fn check(&self) -> Result<(), Problem> {
        let by_fetch = match self.fetch_site {
            // `none`: somebody typed the address.
            Some(site) => site == "same-origin" || site == "none" && self.safe,
            None => true,
        };
        let by_origin = self.origin.is_none_or(|origin| origin == self.own_origin);
        if by_fetch && by_origin {
            return Ok(());
        }
        Err(cross_site(
            "Another site's page made this request. Send an API key as `Authorization: Bearer …`.",
        ))
    }

    /// Refuses what another site's page made, and a write without the sign-in's token.
    pub fn check_signed_in(
        &self,
        sign_ins: &SignIns,
        sign_in: &SignIn,
        token: Option<&str>,
    ) -> Result<(), Problem> {
        self.check()?;
        if self.safe || token.is_some_and(|token| sign_ins.is_csrf_token(sign_in, token)) {
            return Ok(());
        }
        Err(cross_site("A write by cookie carries the sign-in's `csrf` in the header `Stepseal-CSRF`."))
    }
}

fn cross_site(detail: &str) -> Problem {
    Problem::new(Code::CrossSiteRequest, detail)
}

/// Our cookie's value in a `Cookie` header.
pub fn cookie_value(header: &str) -> Option<&str> {
    header.split(';').find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == COOKIE).then_some(value)
    })
}

/// The `Set-Cookie` header that begins a sign-in.
pub fn starting_cookie(value: &str) -> String {
    format!("{COOKIE}={value}; {ATTRIBUTES}; Max-Age={}", SIGN_IN_LIFE_MS / 1_000)
}

/// The `Set-Cookie` header that ends it in the browser.
pub fn ending_cookie() -> String {
    format!("{COOKIE}=; {ATTRIBUTES}; Max-Age=0")
}

#[cfg(test)]
mod tests {
    use super::{SIGN_IN_LIFE_MS, SignIns, Site, cookie_value, starting_cookie};
    use crate::keys::Root;
    use crate::problem::Code;

    fn sign_ins(first: u8) -> SignIns {
        let mut bytes = *b"0123456789abcdefghijklmnopqrstuv";
        bytes[0] = first;
        SignIns::of(&Root::from_bytes(bytes).unwrap())
    }

    #[test]
    fn a_cookie_is_ours_until_it_ends() {
        let ours = sign_ins(0);
        let sign_in = SignIns::begin("ab".into(), [7; 16], 1_000);
        let value = ours.seal(&sign_in);
        assert_eq!(ours.open(&value, 1_000), Some(sign_in.clone()));
        assert_eq!(ours.open(&value, 1_000 + SIGN_IN_LIFE_MS), None);
        assert_eq!(sign_ins(9).open(&value, 1_000), None);
        let (head, tag) = value.rsplit_once('.').unwrap();
        for forged in [head.into(), std::format!("{head}."), std::format!("{head}.{}", &tag[..22])] {
            assert_eq!(ours.open(&forged, 1_000), None, "{forged}");
        }
        let header = starting_cookie(&value);
        let sent = std::format!("a=b; {}; c=d", header.split(';').next().unwrap());
        assert_eq!(cookie_value(&sent), Some(value.as_str()));
        assert_eq!(cookie_value("__Host-stepsealx=1"), None);
        assert!(header.ends_with("; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=43200"));
    }

    #[test]
    fn only_our_own_page_rides_on_the_cookie() {
        let ours = sign_ins(0);
        let sign_in = SignIns::begin("ab".into(), [7; 16], 1_000);
        let token = ours.csrf_token(&sign_in);
        let other = ours.csrf_token(&SignIns::begin("ab".into(), [8; 16], 1_000));
        let own_origin = "https://s.example";
        let site = |safe, fetch_site, origin| Site { safe, fetch_site, origin, own_origin };
        let same = Some("same-origin");
        for (site, token, passes) in [
            (site(true, same, None), None, true),
            (site(true, None, None), None, true),
            (site(true, Some("none"), None), None, true),
            (site(true, Some("cross-site"), None), None, false),
            (site(true, Some("same-site"), None), None, false),
            (site(true, None, Some("https://evil.example")), None, false),
            (site(false, same, Some(own_origin)), Some(token.as_str()), true),
            (site(false, same, Some(own_origin)), None, false),
            (site(false, same, Some(own_origin)), Some(other.as_str()), false),
            (site(false, same, Some(own_origin)), Some(""), false),
            (site(false, Some("none"), None), Some(token.as_str()), false),
            (site(false, Some("cross-site"), Some(own_origin)), Some(token.as_str()), false),
            (site(false, same, Some("null")), Some(token.as_str()), false),
        ] {
            let verdict = site.check_signed_in(&ours, &sign_in, token).map_err(|problem| problem.code);
            assert_eq!(verdict, if passes { Ok(()) } else { Err(Code::CrossSiteRequest) }, "{site:?}");
        }
    }
}
