//! After authentication: a sender with a key may still send anything.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stepseal_protocol::batch::{Batch, inflate};
use stepseal_protocol::rollup::Rollup;

fuzz_target!(|bytes: &[u8]| {
    let Ok(ndjson) = inflate(bytes) else { return };
    let Ok(batch) = Batch::parse(&ndjson) else { return };
    let mut rollup = Rollup::of(&batch);
    assert_eq!(rollup.events, batch.count());
    rollup.merge(&Rollup::of(&batch));
    assert_eq!(rollup.events, 2 * batch.count());
});
