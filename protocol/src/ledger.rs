//! Named outcomes of requests, and the ledger that follows from them: every batch that arrived and every
//! event in it has exactly one fate, so what was received is what was stored, duplicate or rejected.

use crate::api::Operation;
use serde::{Deserialize, Serialize};
use std::string::String;

/// A batch was stored.
pub const STORED: &str = "stored";
/// A retry of a stored batch.
pub const DUPLICATE: &str = "duplicate";
/// Any other request that was done.
pub const DONE: &str = "done";

/// How often an operation came to an outcome, and what it carried.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Day (UTC).
    pub day: String,
    /// The operation's name.
    pub operation: String,
    /// `stored`, `duplicate`, `done` or a problem's code.
    pub outcome: String,
    /// Requests.
    pub requests: u64,
    /// Events of their batches, as far as these could be read.
    pub events: u64,
    /// Events of stored batches that were kept out of the sums.
    pub rejected: u64,
}

/// The fates of batches, or of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Fates {
    /// All that arrived.
    pub received: u64,
    /// Stored by this request.
    pub stored: u64,
    /// Stored already.
    pub duplicate: u64,
    /// Refused, or kept out of the sums.
    pub rejected: u64,
}

/// What became of everything that was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ledger {
    /// By batches.
    pub batches: Fates,
    /// By events; those of a batch that was refused before it was read are not known.
    pub events: Fates,
}

impl Ledger {
    /// The ledger of these counts.
    pub fn of<'a>(counts: impl IntoIterator<Item = &'a Count>) -> Self {
        let mut ledger = Self::default();
        for count in counts {
            if [Operation::SendBatch, Operation::SendServerBatch]
                .iter()
                .any(|known| known.as_str() == count.operation)
            {
                ledger.add(count);
            }
        }
        ledger
    }

    fn add(&mut self, count: &Count) {
        self.batches.received += count.requests;
        self.events.received += count.events;
        match count.outcome.as_str() {
            STORED => {
                self.batches.stored += count.requests;
                self.events.stored += count.events - count.rejected.min(count.events);
                self.events.rejected += count.rejected.min(count.events);
            }
            DUPLICATE => {
                self.batches.duplicate += count.requests;
                self.events.duplicate += count.events;
            }
            _ => {
                self.batches.rejected += count.requests;
                self.events.rejected += count.events;
            }
        }
    }
}

impl Fates {
    /// Whether every one has its fate.
    pub const fn balances(&self) -> bool {
        self.received == self.stored + self.duplicate + self.rejected
    }
}

#[cfg(test)]
mod tests {
    use super::{Count, DUPLICATE, Fates, Ledger, STORED};
    use crate::problem::Code;
    use proptest::prelude::{prop_assert, proptest};
    use std::vec::Vec;

    fn count(operation: &str, outcome: &str, requests: u64, events: u64, rejected: u64) -> Count {
        Count {
            day: "2026-11-21".into(),
            operation: operation.into(),
            outcome: outcome.into(),
            requests,
            events,
            rejected,
        }
    }

    #[test]
    fn only_batches_are_counted_each_under_one_fate() {
        let counts = [
            count("sendBatch", STORED, 3, 30, 2),
            count("sendServerBatch", STORED, 1, 5, 0),
            count("sendBatch", DUPLICATE, 2, 20, 0),
            count("sendBatch", Code::RateLimited.as_str(), 4, 7, 0),
            count("listExecutions", "done", 99, 0, 0),
        ];
        let ledger = Ledger::of(&counts);
        assert_eq!(ledger.batches, Fates { received: 10, stored: 4, duplicate: 2, rejected: 4 });
        assert_eq!(ledger.events, Fates { received: 62, stored: 33, duplicate: 20, rejected: 9 });
    }

    proptest! {
        #[test]
        fn it_always_balances(rows in proptest::collection::vec((0..Code::ALL.len() + 2, 0_u64..9, 0_u64..99, 0_u64..199), 0..50)) {
            let outcomes: Vec<_> = [STORED, DUPLICATE].into_iter().chain(Code::ALL.iter().map(|code| code.as_str())).collect();
            let counts: Vec<_> = rows
                .into_iter()
                .map(|(at, requests, events, rejected)| count("sendBatch", outcomes[at], requests, events, rejected))
                .collect();
            let ledger = Ledger::of(&counts);
            prop_assert!(ledger.batches.balances() && ledger.events.balances());
        }
    }
}
