//! What Stepseal decides, without IO.
//!
//! Two halves meet here. The **writing** half is what a page or a backend needs to record: keys,
//! envelopes and the recording state machine ([`record`]). The **reading** half (feature `read`) is
//! what the worker needs to accept, store, query and re-verify. `SPEC.md` beside this crate is the
//! normative text; `vectors/` holds its known answers.
//!
//! One batch, from the page to the store:
//!
//! 1. [`record`] numbers events, cuts them into batches and signs each attempt ([`envelope::seal`]).
//! 2. [`envelope`] reads the first line of what arrived: a [`envelope::Unverified`] batch.
//! 3. [`envelope::Unverified::verify`] checks the MAC over the raw bytes and is the only maker of a
//!    [`envelope::Verified`] batch.
//! 4. [`batch`] inflates and parses it: refusals name the line, faults of one event are verdicts.
//! 5. [`rollup`] says what the batch adds to its execution; [`ingest`] holds limits and receipts.
//! 6. [`query`] reads filters and cursors; [`verify`] re-verifies what is stored; [`transfer`] is what leaves as a file and may
//!    come back.
//!
//! Out of scope: clocks, randomness, sockets and stores. They are arguments.

#![no_std]
extern crate alloc;
#[cfg(any(test, feature = "read"))]
extern crate std;

pub mod digest;
pub mod encoding;
pub mod envelope;
pub mod ids;
pub mod keys;
pub mod limits;
pub mod record;

#[cfg(feature = "read")]
pub mod access;
#[cfg(feature = "read")]
pub mod administration;
#[cfg(feature = "read")]
pub mod api;
#[cfg(feature = "read")]
pub mod at_rest;
#[cfg(feature = "read")]
pub mod audit;
#[cfg(feature = "read")]
pub mod batch;
#[cfg(feature = "read")]
pub mod calendar;
#[cfg(feature = "read")]
pub mod compare;
#[cfg(feature = "read")]
pub mod ingest;
#[cfg(feature = "read")]
pub mod ledger;
#[cfg(feature = "read")]
pub mod messages;
#[cfg(feature = "read")]
pub mod prices;
#[cfg(feature = "read")]
pub mod problem;
#[cfg(feature = "read")]
pub mod query;
#[cfg(feature = "read")]
pub mod rollup;
#[cfg(feature = "read")]
pub mod scores;
#[cfg(feature = "read")]
pub mod search;
#[cfg(feature = "read")]
pub mod token;
#[cfg(feature = "read")]
pub mod transfer;
#[cfg(feature = "read")]
pub mod transparency;
#[cfg(feature = "read")]
pub mod verify;
