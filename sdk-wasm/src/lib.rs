//! [`stepseal_protocol::record`] for JavaScript: the wasm half of the npm package `stepseal`.
//!
//! Nothing is decided here. The TypeScript face (`js/`) owns clock, randomness, network and timers; it passes in
//! what it sees, and each export reaches one function of the recorder.
//!
//! The boundary is plain: numbers are arguments, texts are written into [`exports::sdk_input`] before the call that
//! reads them, and what comes back is read from memory after it. The module imports nothing, so there is no
//! generated glue (`ARCHITECTURE.md`, "Decisions").
//!
//! The crate is `no_std` with its own allocator and panic handler, because the standard library's weigh more
//! than everything else here together. A panic would be a bug of ours; it traps, and the face, which guards
//! every call, goes on without recording.

#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

pub mod exports;
#[cfg(target_arch = "wasm32")]
mod runtime;
mod state;
