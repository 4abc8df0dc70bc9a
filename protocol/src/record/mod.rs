//! The recording side: from an event's text to sealed requests, without IO.
//!
//! A host (the page's SDK, or a native program) owns the clock, the randomness and the network; this
//! module decides everything else. One event's way through it:
//!
//! 1. [`Recorder::record`] takes the event's fields as JSON text; `capture` makes them fit for the wire
//!    (and is the one place where they will be redacted);
//! 2. `messages` replaces messages that the execution has sent before by ranges of its table;
//! 3. `writer` numbers the event, writes its line and cuts batches by size, count and time;
//! 4. `outbox` keeps a cut batch, whose bytes never change again, until it has its fate;
//! 5. [`Recorder::next_action`] hands out what the host shall do: send these bytes, renew the session, wait;
//! 6. [`Recorder::settle`] is told what came of it; `outcome` judges, `tally` counts.
//!
//! Every event number ends with exactly one fate: stored, rejected, dropped or (still) pending.
//!
//! What must outlive the process is handed to the host's store ([`Recorder::take_changes`], `journal`); what another
//! process left there comes back by [`Recorder::restore`] and [`Recorder::adopt`] (`adoption`). `owners` keeps the
//! recordings of one person from being sent under another's session.

mod adoption;
mod capture;
mod clock;
mod delivery;
mod journal;
mod json;
mod line;
mod messages;
mod outbox;
mod outcome;
mod owners;
mod pace;
mod random;
mod recorder;
mod sampling;
mod session;
mod shared;
mod shrink;
mod tally;
mod writer;

pub use delivery::{Action, Attempt};
pub use line::until;
pub use outcome::Reply;
pub use recorder::{Config, Handle, Mark, Moment, Recorder, Role};
pub use sampling::Sampling;
pub use session::UnusableSession;
pub use tally::Counts;
pub use writer::EventType;

#[cfg(test)]
mod tests;
