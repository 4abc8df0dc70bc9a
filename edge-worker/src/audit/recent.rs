//! What this isolate noted a moment ago, so that repeats need not be noted one by one.

use std::collections::HashMap;

/// Entries at which those that ran out are dropped, and all if none did: a bound, not a policy.
const ENTRIES_MAX: usize = 4_096;

/// Keys, until when each counts as recent (Unix ms), and how often it was met since.
#[derive(Default)]
pub(super) struct Recent(HashMap<String, (u64, u64)>);

impl Recent {
    pub(super) fn has(&self, key: &str, now: u64) -> bool {
        self.0.get(key).is_some_and(|(until, _)| now < *until)
    }

    /// Counts a repeat of something recent. False if it is not.
    pub(super) fn repeat(&mut self, key: &str, now: u64) -> bool {
        match self.0.get_mut(key) {
            Some((until, repeats)) if now < *until => {
                *repeats += 1;
                true
            }
            _ => false,
        }
    }

    /// Remembers a key for `life_ms`, and gives back how often it was repeated before that.
    pub(super) fn note(&mut self, key: String, now: u64, life_ms: u64) -> u64 {
        if self.0.len() >= ENTRIES_MAX {
            self.0.retain(|_, (until, _)| now < *until);
            if self.0.len() >= ENTRIES_MAX {
                self.0.clear();
            }
        }
        self.0.insert(key, (now + life_ms, 0)).map_or(0, |(_, repeats)| repeats)
    }
}
