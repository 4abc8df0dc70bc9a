//! The known answers of `vectors/`, which the JavaScript tests read too.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use stepseal_protocol::batch::{Batch, inflate};
use stepseal_protocol::digest::BodyDigest;
use stepseal_protocol::encoding::{base64_decode, hex_decode, hex_encode};
use stepseal_protocol::envelope::{ServerHeaders, Unverified, seal};
use stepseal_protocol::ids::{BatchId, KeyId, ProjectId};
use stepseal_protocol::keys::{BatchKey, ProjectSecret, Root, SessionKey, Signature};
use stepseal_protocol::token::UnverifiedToken;

fn vectors(name: &str) -> Value {
    let path = format!("{}/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

fn bytes(value: &Value, name: &str) -> Vec<u8> {
    hex_decode(text(value, name)).unwrap()
}

fn key(value: &Value, name: &str) -> [u8; 32] {
    bytes(value, name).try_into().unwrap()
}

#[test]
fn hmac_sha256_gives_rfc_4231s_tags() {
    let vectors = vectors("rfc4231");
    let cases = vectors["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 6);
    for case in cases {
        let mut mac = Hmac::<Sha256>::new_from_slice(&bytes(case, "key")).unwrap();
        mac.update(&bytes(case, "data"));
        assert_eq!(hex_encode(&mac.finalize().into_bytes()), text(case, "tag"));
    }
}

#[test]
fn hkdf_sha256_gives_rfc_5869s_keys() {
    let vectors = vectors("rfc5869");
    let cases = vectors["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 3);
    for case in cases {
        let salt = bytes(case, "salt");
        let mut okm = vec![0; usize::try_from(case["length"].as_u64().unwrap()).unwrap()];
        Hkdf::<Sha256>::new(Some(&salt), &bytes(case, "ikm")).expand(&bytes(case, "info"), &mut okm).unwrap();
        assert_eq!(hex_encode(&okm), text(case, "okm"));
    }
}

#[test]
fn keys_derive_as_in_the_golden_values() {
    let vectors = vectors("keys");
    let root = Root::from_bytes(key(&vectors, "root")).unwrap();
    for case in vectors["project_secrets"].as_array().unwrap() {
        let project = ProjectId::parse(text(case, "project")).unwrap();
        let kid = KeyId::parse(text(case, "kid")).unwrap();
        let revealed = root.project_secret(&project, &kid).reveal();
        assert_eq!(revealed, text(case, "revealed"));
        assert_eq!(ProjectSecret::parse(&revealed).unwrap().reveal(), revealed);
        assert_eq!(base64_decode(&revealed["whsec_".len()..]).unwrap(), bytes(case, "secret"));
    }
    for case in vectors["sessions"].as_array().unwrap() {
        let token = UnverifiedToken::parse(text(case, "token")).unwrap();
        assert_eq!(token.unverified_claims().to_token(token.project(), token.kid()), token.as_str());
        let session_key = root.project_secret(token.project(), token.kid()).session_key(token.as_str());
        assert_eq!(base64_decode(&session_key.reveal()).unwrap(), bytes(case, "session_key"));
    }
}

#[test]
fn signatures_are_the_golden_ones() {
    let vectors = vectors("batches");
    let session_key = SessionKey::from_bytes(key(&vectors, "session_key"));
    let case = &vectors["mac_only"];
    let id = BatchId::parse(text(case, "batch_id")).unwrap();
    let signature = session_key.sign(&id, case["ts"].as_u64().unwrap(), text(case, "body").as_bytes());
    assert_eq!(signature, text(case, "signature"));
}

#[test]
fn standard_webhooks_own_example_verifies() {
    // The specification's secret has 24 bytes; ours have 32, so only the construction can be compared.
    let case = vectors("standard-webhooks");
    let secret = base64_decode(&text(&case, "secret")["whsec_".len()..]).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&secret).unwrap();
    mac.update(format!("{}.{}.{}", text(&case, "id"), case["ts"], text(&case, "body")).as_bytes());
    let tag: [u8; 32] = mac.finalize().into_bytes().into();
    assert_eq!(
        Signature::parse(text(&case, "signature")).unwrap().to_string(),
        format!("v1,{}", stepseal_protocol::encoding::base64_encode(&tag))
    );
}

#[test]
fn sealed_batches_are_made_and_read_as_in_the_vectors() {
    let vectors = vectors("batches");
    let session_key = SessionKey::from_bytes(key(&vectors, "session_key"));
    let secret = ProjectSecret::from_bytes(key(&vectors, "project_secret"));
    let mut prev = None;
    for case in vectors["chain"].as_array().unwrap() {
        let body = text(case, "body").as_bytes();
        let ts = case["ts"].as_u64().unwrap();
        let id = BatchId::parse(text(case, "batch_id")).unwrap();
        let expected = base64_decode(text(case, "sealed_base64")).unwrap();
        let mut sealed = Vec::new();
        seal(&mut sealed, text(&vectors, "token"), &id, ts, &session_key, body);
        assert_eq!(sealed, expected);

        let frame = Unverified::from_sealed(&sealed).unwrap();
        frame.check_time(ts).unwrap();
        let verified = frame.verify(&secret).unwrap();
        let line = verified.envelope_line();
        Unverified::from_stored(&line, body).unwrap().verify(&secret).unwrap();
        let ndjson = inflate(verified.body()).unwrap();
        let batch = Batch::parse(&ndjson).unwrap();
        assert_eq!(batch.header.k, case["k"].as_u64().unwrap());
        assert_eq!(batch.header.n, case["n"].as_u64().unwrap());
        assert_eq!(batch.count(), case["count"].as_u64().unwrap());
        assert_eq!(batch.verdicts, []);
        assert_eq!(batch.header.prev, prev);
        assert_eq!(batch.digest.to_hex(), text(case, "sha256"));
        assert_eq!(batch.digest.to_base64url(), text(case, "digest"));
        prev = Some(BodyDigest::of(body));
    }
}

#[test]
fn a_server_envelope_survives_its_stored_line() {
    let vectors = vectors("batches");
    let secret = ProjectSecret::from_bytes(key(&vectors, "project_secret"));
    let id = BatchId::parse("bat_0000000000000009").unwrap();
    let body = b"{}\n";
    let signature =
        format!("{} {}", secret.sign(&id, 1_790_000_000, b"another"), secret.sign(&id, 1_790_000_000, body));
    let headers =
        ServerHeaders { key: "prj_demo.k1", id: id.as_str(), timestamp: "1790000000", signature: &signature };
    let verified = Unverified::from_server(headers, body).unwrap().verify(&secret).unwrap();
    let line = verified.envelope_line();
    assert_eq!(line, format!("w1 prj_demo.k1 bat_0000000000000009 1790000000 {signature}"));
    Unverified::from_stored(&line, body).unwrap().verify(&secret).unwrap();
}
