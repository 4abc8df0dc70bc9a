//! Before authentication: everything that reads bytes nobody vouched for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stepseal_protocol::envelope::Unverified;
use stepseal_protocol::keys::ProjectSecret;

fuzz_target!(|bytes: &[u8]| {
    let Ok(frame) = Unverified::from_sealed(bytes) else { return };
    let _ = frame.check_time(1_790_000_000);
    assert!(frame.verify(&ProjectSecret::from_bytes([7; 32])).is_err(), "a forged batch verified");
});
