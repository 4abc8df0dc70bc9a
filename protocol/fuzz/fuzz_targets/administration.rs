//! After authentication: what holders of keys ask for, and what is read back from a store that may have been
//! touched. The first byte picks the reader.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use stepseal_protocol::administration::{DeletionRequest, DenialRequest, KeyRotation, NewKey};
use stepseal_protocol::api::find;
use stepseal_protocol::at_rest::labels::{LabelKey, LabelKeyName, OpenLabels, SealedLabels};
use stepseal_protocol::at_rest::{StoredBody, sealed_body};
use stepseal_protocol::ids::ProjectId;
use stepseal_protocol::ingest::budget::Budget;
use stepseal_protocol::keys::Root;
use stepseal_protocol::query::Cursors;
use stepseal_protocol::transfer::{Line, Recipient, Trace};
use stepseal_protocol::transparency::{Frontier, VerifierKey};

fuzz_target!(|bytes: &[u8]| {
    let Some((reader, rest)) = bytes.split_first() else { return };
    let root = Root::from_bytes(*b"0123456789abcdefghijklmnopqrstuv").expect("random enough");
    let project = ProjectId::parse("prj_fuzz").expect("an id");
    match reader % 5 {
        0 => read_requests(rest),
        1 => read_stored_body(rest),
        2 => read_texts(&root, &project, rest),
        3 => read_trace(rest),
        _ => read_frontier(rest),
    }
});

fn read_requests(bytes: &[u8]) {
    if let Ok(budget) = serde_json::from_slice::<Budget>(bytes)
        && budget.check().is_ok()
    {
        let text = serde_json::to_vec(&budget).expect("a budget is JSON");
        assert_eq!(serde_json::from_slice::<Budget>(&text).ok(), Some(budget));
    }
    let _ = serde_json::from_slice::<NewKey>(bytes).map(|key| key.record("prj_fuzz", 0).map(|_| ()));
    let _ = serde_json::from_slice::<DenialRequest>(bytes).map(DenialRequest::read);
    let _ = serde_json::from_slice::<DeletionRequest>(bytes).map(DeletionRequest::read);
    let _ = serde_json::from_slice::<KeyRotation>(bytes);
}

fn read_stored_body(bytes: &[u8]) {
    if let Some(StoredBody::Sealed { root, subject_key, nonce, ciphertext }) = StoredBody::read(bytes) {
        let nonce = nonce.try_into().expect("12 bytes");
        assert_eq!(sealed_body(root, subject_key.as_ref(), nonce, ciphertext), bytes);
    }
}

fn read_texts(root: &Root, project: &ProjectId, bytes: &[u8]) {
    let Ok(text) = core::str::from_utf8(bytes) else { return };
    assert!(Cursors::of(root, project, "executions".into()).open(text).is_err(), "a forged cursor opened");
    read_labels(root, project, text);
    let _ = find("GET", text);
    let _ = Recipient::parse(text);
    let _ = VerifierKey::parse(text).map(|key| assert_eq!(key.to_text(), text.trim()));
    if let Ok(Line::Batch { line, .. }) = Line::parse(text) {
        let again = Line::parse(&line.to_json(None, None).to_string());
        assert!(matches!(again, Ok(Line::Batch { line: again, .. }) if again == line));
    }
}

fn read_labels(root: &Root, project: &ProjectId, text: &str) {
    let _ = LabelKeyName::read(text);
    let sealed = SealedLabels::read(text);
    assert_eq!(SealedLabels::read(&sealed.to_json()), sealed);
    let mut open = OpenLabels::default();
    open.open(&sealed, &[LabelKey::of_project("k1", root, project)]);
    let _ = open.of_set(text);
}

/// What somebody recorded, as a trace: whatever it is, it becomes spans.
fn read_trace(bytes: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return };
    let trace = Trace::of("prj_fuzz", &value);
    let spans = [trace.root_span(), trace.step_span(&value)];
    assert!(trace.request("0", &spans)["resourceSpans"].is_array());
}

fn read_frontier(bytes: &[u8]) {
    let Some((size, rest)) = bytes.split_first_chunk::<8>() else { return };
    let Some(mut frontier) = Frontier::from_bytes(u64::from_be_bytes(*size) >> 1, rest) else { return };
    assert_eq!(frontier.to_bytes(), rest);
    frontier.append([0; 32]);
    let _ = frontier.root();
}
