//! Properties: what was sealed opens, what was touched does not, and no input panics.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use core::fmt::Write;
use proptest::prelude::*;
use stepseal_protocol::batch::{Batch, inflate};
use stepseal_protocol::envelope::{ServerHeaders, Unverified, seal};
use stepseal_protocol::ids::{BatchId, KeyId, ProjectId};
use stepseal_protocol::keys::ProjectSecret;
use stepseal_protocol::problem::Code;
use stepseal_protocol::rollup::Rollup;
use stepseal_protocol::token::{Claims, Provenance, Scope, UnverifiedToken};

const TS: u64 = 1_790_000_000;

fn secret() -> ProjectSecret {
    ProjectSecret::from_bytes(core::array::from_fn(|i| u8::try_from(i * 7 % 251).unwrap()))
}

fn token(subject: &str) -> String {
    let claims = Claims {
        v: 1,
        sub: subject.into(),
        sid: "ses_1".into(),
        iat: TS,
        exp: TS + 900,
        org: None,
        scp: Scope::Ingest,
        prv: Provenance::Backend,
        was: vec![],
    };
    claims.to_token(&ProjectId::parse("prj_p").unwrap(), &KeyId::parse("k1").unwrap())
}

fn sealed(subject: &str, body: &[u8]) -> Vec<u8> {
    let token = token(subject);
    let key = secret().session_key(&token);
    let mut out = Vec::new();
    seal(&mut out, &token, &BatchId::parse("bat_0000000000000001").unwrap(), TS, &key, body);
    out
}

fn opens(bytes: &[u8]) -> bool {
    Unverified::from_sealed(bytes).and_then(|frame| frame.verify(&secret())).is_ok()
}

/// An event line: sound, or with some field out of shape.
fn event_line() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(r#""t":"start","at":1790000000000,"name":"n""#.to_owned()),
        (0_u64..2_000_000_000_000, any::<u16>()).prop_map(|(at, tokens)| format!(
            r#""t":"step","id":"s","kind":"llm","name":"n","at":{at},"duration_ms":1,"status":"ok","usage":{{"input":{tokens}}},"cost_usd":0.001"#
        )),
        Just(r#""t":"step","id":7"#.to_owned()),
        Just(r#""t":"drop","reason":"quota","count":3,"from":5,"to":7"#.to_owned()),
        "[a-z]{1,8}".prop_map(|t| format!(r#""t":"{t}","x":[1,2]"#)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_was_sealed_opens(subject in "[a-zA-Z0-9 é]{1,30}", body in proptest::collection::vec(any::<u8>(), 0..500)) {
        let bytes = sealed(&subject, &body);
        let verified = Unverified::from_sealed(&bytes).unwrap().verify(&secret()).unwrap();
        prop_assert_eq!(verified.body(), &body[..]);
        prop_assert_eq!(&verified.claims().unwrap().sub, &subject);
        let line = verified.envelope_line();
        prop_assert!(Unverified::from_stored(&line, &body).unwrap().verify(&secret()).is_ok());
    }

    #[test]
    fn any_flipped_bit_is_refused(body in proptest::collection::vec(any::<u8>(), 1..200), at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let mut bytes = sealed("user", &body);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(!opens(&bytes), "byte {} of {}", at, bytes.len());
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        let _ = Unverified::from_sealed(&bytes);
        let _ = Unverified::from_stored(&String::from_utf8_lossy(&bytes), b"");
        let _ = Batch::parse(&bytes).map(|batch| Rollup::of(&batch));
        let _ = inflate(&bytes);
        let mut gzip = vec![0x1f, 0x8b, 8, 0];
        gzip.extend_from_slice(&bytes);
        let _ = inflate(&gzip);
    }

    #[test]
    fn no_text_panics(text in "(b1|w1|s1)?[ .a-zA-Z0-9,=_-]{0,200}\\PC{0,40}") {
        let _ = UnverifiedToken::parse(&text);
        let _ = Unverified::from_sealed(format!("{text}\n{{}}").as_bytes());
        let _ = Unverified::from_stored(&text, b"");
        let headers = ServerHeaders { key: &text, id: &text, timestamp: &text, signature: &text };
        prop_assert!(Unverified::from_server(headers, b"").is_err());
    }

    #[test]
    fn every_event_has_one_fate(lines in proptest::collection::vec(event_line(), 1..40), first in 0_u64..1_000) {
        let mut body = format!("{{\"v\":1,\"x\":\"run_0000000000000001\",\"k\":0,\"prev\":\"\",\"n\":{first}}}\n");
        for (offset, line) in lines.iter().enumerate() {
            writeln!(body, "{{\"n\":{},{line}}}", first + offset as u64).unwrap();
        }
        let batch = Batch::parse(body.as_bytes()).unwrap();
        prop_assert_eq!(batch.count(), lines.len() as u64);
        let mut numbers: Vec<u64> = batch.events.iter().map(|event| event.n).chain(batch.verdicts.iter().map(|verdict| verdict.n)).collect();
        numbers.sort_unstable();
        prop_assert_eq!(numbers, (first..first + lines.len() as u64).collect::<Vec<_>>());
    }

    #[test]
    fn rollups_merge_in_any_order(seeds in proptest::collection::vec((event_line(), 0_u64..50), 2..8).prop_shuffle()) {
        let bodies: Vec<String> = seeds.iter().map(|(line, k)| {
            let prev = if *k == 0 { String::new() } else { "A".repeat(43) };
            format!("{{\"v\":1,\"x\":\"run_0000000000000001\",\"k\":{k},\"prev\":\"{prev}\",\"n\":{k}}}\n{{\"n\":{k},{line}}}\n")
        }).collect();
        let rollups: Vec<Rollup> = bodies.iter().map(|body| Rollup::of(&Batch::parse(body.as_bytes()).unwrap())).collect();
        let merged = |order: &mut dyn Iterator<Item = &Rollup>| order.fold(Rollup::default(), |mut sum, next| { sum.merge(next); sum });
        prop_assert_eq!(merged(&mut rollups.iter()), merged(&mut rollups.iter().rev()));
    }
}

#[test]
fn a_flipped_version_says_so() {
    let mut bytes = sealed("user", b"{}");
    bytes[1] = b'2';
    assert_eq!(Unverified::from_sealed(&bytes).unwrap_err().code, Code::VersionUnsupported);
    bytes[0] = b'c';
    assert_eq!(Unverified::from_sealed(&bytes).unwrap_err().code, Code::EnvelopeMalformed);
}
