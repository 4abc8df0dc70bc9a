//! What an isolate remembers of KV: at most 60 seconds, misses much shorter.

use std::collections::HashMap;

/// Longest time a revocation can go unseen by this isolate.
const FOUND_FOR_MS: u64 = 60_000;
/// KV itself remembers misses for a minute; ours must not add to that noticeably.
const MISSED_FOR_MS: u64 = 2_000;
/// Entries at which the whole memory is dropped: a bound, not a policy.
const ENTRIES_MAX: usize = 4_096;

/// Values by key, with the time until which each may be used.
pub(crate) struct Fresh<T> {
    entries: HashMap<String, (u64, T)>,
}

impl<T> Default for Fresh<T> {
    fn default() -> Self {
        Self { entries: HashMap::new() }
    }
}

impl<T: Clone> Fresh<T> {
    pub(crate) fn get(&self, key: &str, now: u64) -> Option<T> {
        self.entries.get(key).filter(|(until, _)| now < *until).map(|(_, value)| value.clone())
    }

    pub(crate) fn put(&mut self, key: String, value: T, found: bool, now: u64) {
        if self.entries.len() >= ENTRIES_MAX {
            self.entries.clear();
        }
        let until = now + if found { FOUND_FOR_MS } else { MISSED_FOR_MS };
        self.entries.insert(key, (until, value));
    }
}
