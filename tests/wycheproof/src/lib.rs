//! Project Wycheproof's vectors against the crates that `stepseal-protocol` derives, signs and seals with, at the
//! versions it links. The same functions run natively (below) and, compiled as the worker is, in workerd. Bodies are
//! sealed by the platform's AES-GCM: for that this hands out the vectors.

use aes_gcm_siv::aead::{Aead, KeyInit, Payload};
use aes_gcm_siv::{Aes256GcmSiv, Nonce};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use wycheproof::{aead, hkdf as kdf, mac};

/// How many vectors were tried, and which failed by their numbers.
pub struct Tally {
    /// Tried.
    pub tried: usize,
    /// Failed.
    pub failed: Vec<usize>,
}

impl Tally {
    fn of(results: impl Iterator<Item = (usize, bool)>) -> Self {
        let all: Vec<_> = results.collect();
        let failed = all.iter().filter(|(_, passed)| !passed).map(|(id, _)| *id).collect();
        Self { tried: all.len(), failed }
    }

    /// Failures in the upper half, tries in the lower.
    pub fn packed(&self) -> u64 {
        (self.failed.len() as u64) << 32 | self.tried as u64
    }
}

/// HMAC-SHA256; vectors of truncated tags are compared as truncated.
pub fn hmac_sha256() -> Tally {
    let set = mac::TestSet::load(mac::TestName::HmacSha256).expect("the crate's own vectors");
    Tally::of(set.test_groups.iter().flat_map(|group| &group.tests).map(|test| {
        let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(&test.key).expect("HMAC takes any key");
        mac.update(&test.msg);
        let verifies = mac.verify_truncated_left(&test.tag).is_ok();
        (test.tc_id, verifies != test.result.must_fail())
    }))
}

/// HKDF-SHA256.
pub fn hkdf_sha256() -> Tally {
    let set = kdf::TestSet::load(kdf::TestName::HkdfSha256).expect("the crate's own vectors");
    Tally::of(set.test_groups.iter().flat_map(|group| &group.tests).map(|test| {
        let salt = (!test.salt.is_empty()).then(|| &test.salt[..]);
        let mut out = vec![0; test.size];
        let derived = Hkdf::<Sha256>::new(salt, &test.ikm).expand(&test.info, &mut out);
        let passed = match derived {
            Ok(()) => !test.result.must_fail() && out[..] == test.okm[..],
            Err(_) => test.result.must_fail(),
        };
        (test.tc_id, passed)
    }))
}

/// AES-256-GCM-SIV, sealing and opening.
pub fn aes_256_gcm_siv() -> Tally {
    let set = aead::TestSet::load(aead::TestName::AesGcmSiv).expect("the crate's own vectors");
    let groups = set.test_groups.iter().filter(|group| group.key_size == 256 && group.nonce_size == 96);
    Tally::of(groups.flat_map(|group| &group.tests).map(|test| {
        let cipher = Aes256GcmSiv::new_from_slice(&test.key).expect("32 bytes");
        let nonce = Nonce::try_from(&test.nonce[..]).expect("12 bytes");
        let sealed = [&test.ct[..], &test.tag[..]].concat();
        let opened = cipher.decrypt(&nonce, Payload { msg: &sealed, aad: &test.aad });
        let passed = match opened {
            Ok(plain) => {
                let again = cipher.encrypt(&nonce, Payload { msg: &test.pt, aad: &test.aad });
                !test.result.must_fail()
                    && plain[..] == test.pt[..]
                    && again.is_ok_and(|again| again == sealed)
            }
            Err(_) => test.result.must_fail(),
        };
        (test.tc_id, passed)
    }))
}

/// AES-256-GCM with nonces of 96 bits and whole tags, as JSON: what bodies are sealed with.
pub fn aes_256_gcm_vectors() -> String {
    let set = aead::TestSet::load(aead::TestName::AesGcm).expect("the crate's own vectors");
    let groups = set
        .test_groups
        .iter()
        .filter(|group| group.key_size == 256 && group.nonce_size == 96 && group.tag_size == 128);
    let vectors: Vec<_> = groups
        .flat_map(|group| &group.tests)
        .map(|test| {
            let sealed = [&test.ct[..], &test.tag[..]].concat();
            serde_json::json!({
                "id": test.tc_id, "key": &test.key[..], "nonce": &test.nonce[..], "aad": &test.aad[..],
                "plain": &test.pt[..], "sealed": sealed,
                "valid": !test.result.must_fail(),
            })
        })
        .collect();
    serde_json::json!(vectors).to_string()
}

/// What workerd calls.
#[cfg(target_arch = "wasm32")]
mod exports {
    #[unsafe(no_mangle)]
    extern "C" fn hmac_sha256() -> u64 {
        super::hmac_sha256().packed()
    }

    #[unsafe(no_mangle)]
    extern "C" fn hkdf_sha256() -> u64 {
        super::hkdf_sha256().packed()
    }

    #[unsafe(no_mangle)]
    extern "C" fn aes_256_gcm_siv() -> u64 {
        super::aes_256_gcm_siv().packed()
    }

    /// Address of the vectors' text in the upper half, its length in the lower. It is never freed.
    #[unsafe(no_mangle)]
    extern "C" fn aes_256_gcm_vectors() -> u64 {
        let text = super::aes_256_gcm_vectors().leak();
        (text.as_ptr() as usize as u64) << 32 | text.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::{Tally, aes_256_gcm_siv, aes_256_gcm_vectors, hkdf_sha256, hmac_sha256};

    fn assert_all_pass(tally: &Tally, least: usize) {
        assert!(tally.tried >= least, "only {} vectors", tally.tried);
        assert_eq!(tally.failed, [0_usize; 0]);
        assert_eq!(tally.packed(), tally.tried as u64);
    }

    #[test]
    fn hmac_sha256_passes() {
        assert_all_pass(&hmac_sha256(), 170);
    }

    #[test]
    fn hkdf_sha256_passes() {
        assert_all_pass(&hkdf_sha256(), 80);
    }

    #[test]
    fn aes_256_gcm_siv_passes() {
        assert_all_pass(&aes_256_gcm_siv(), 90);
    }

    #[test]
    fn aes_256_gcm_has_vectors_for_the_platform() {
        assert!(aes_256_gcm_vectors().matches("\"id\"").count() >= 60);
    }
}
