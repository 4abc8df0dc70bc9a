//! What an isolate remembers of KV. KV's own cache and this one add up to less than the 60 s within which
//! a revocation holds everywhere.

use std::collections::HashMap;

/// How long KV may answer from its cache near us, in seconds: its own minimum.
pub(crate) const CONFIG_TTL_S: u64 = 30;
/// How long this isolate goes on from there.
const FOUND_FOR_MS: u64 = 25_000;
/// A miss is KV's to remember; ours only spares it a burst of the same question.
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

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    pub(crate) fn put(&mut self, key: String, value: T, found: bool, now: u64) {
        if self.entries.len() >= ENTRIES_MAX {
            self.entries.clear();
        }
        let until = now + if found { FOUND_FOR_MS } else { MISSED_FOR_MS };
        self.entries.insert(key, (until, value));
    }
}
