//! Whose recordings these are.
//!
//! What was recorded for one subject is never sent under another's session: on a shared computer the next
//! person would be charged with it, and see it. What is recorded before the first session is taken to belong
//! to the subject whom the host saw last; if it saw none, to the first who comes.

use super::line::until;
use alloc::string::String;
use alloc::vec::Vec;

/// A project's subject, by its place in [`Owners`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Owner(u32);

/// Whoever records before there is a session.
const PRESUMED: Owner = Owner(0);

/// The subjects that this recorder has met.
pub(super) struct Owners {
    names: Vec<String>,
    /// The session's subject, and the earlier ones it may continue.
    accepted: Vec<Owner>,
}

impl Default for Owners {
    fn default() -> Self {
        Self { names: Vec::from([String::new()]), accepted: Vec::new() }
    }
}

impl Owners {
    /// The host saw `name` last. Means nothing once there is a session, whose subject may have that name already.
    pub(super) fn presume(&mut self, name: &str) {
        if self.accepted.is_empty() {
            self.names[0] = name.into();
        }
    }

    /// There is a session for the first of `names`, one a line, who may go on with what the others began. Gives
    /// the owner of what was recorded without a session, if this is the first.
    pub(super) fn accept(&mut self, names: &str) -> Option<Owner> {
        let is_first = self.accepted.is_empty();
        let rest = &mut &*names;
        self.accepted.clear();
        loop {
            let owner = self.find(until(rest, b'\n'));
            self.accepted.push(owner);
            if rest.is_empty() {
                return is_first.then(|| self.current());
            }
        }
    }

    /// The owner of what is recorded now.
    pub(super) fn current(&self) -> Owner {
        self.accepted.first().copied().unwrap_or(PRESUMED)
    }

    /// Whether the session there is, or the first to come, may send for `owner`.
    pub(super) fn may_send(&self, owner: Owner) -> bool {
        self.accepted.is_empty() || self.accepted.contains(&owner) || self.name(owner).is_empty()
    }

    /// The owner called `name`.
    pub(super) fn find(&mut self, name: &str) -> Owner {
        let at = self.names.iter().position(|known| known == name).unwrap_or_else(|| {
            self.names.push(name.into());
            self.names.len() - 1
        });
        #[expect(clippy::cast_possible_truncation, reason = "a page meets few subjects")]
        Owner(at as u32)
    }

    pub(super) fn name(&self, owner: Owner) -> &str {
        &self.names[owner.0 as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::{Owners, PRESUMED};

    #[test]
    fn only_its_own_subject_and_those_who_continue_it_may_send() {
        let mut owners = Owners::default();
        owners.presume("p a");
        assert_eq!(owners.current(), PRESUMED);
        let a = owners.find("p a");
        assert_eq!(owners.accept("p a"), Some(a));
        assert!(owners.may_send(a));
        let b = owners.find("p b");
        assert!(!owners.may_send(b));
        assert_eq!(owners.accept("p b\np a"), None, "what A recorded stays A's");
        assert_eq!(owners.current(), b);
        assert!(owners.may_send(a) && owners.may_send(b));
        owners.accept("p b");
        assert!(!owners.may_send(a));
    }

    #[test]
    fn whoever_was_seen_last_may_have_a_session_already() {
        let mut owners = Owners::default();
        owners.accept("p a");
        owners.presume("p a");
        let found = owners.find("p a");
        assert!(owners.may_send(found), "what an earlier page of theirs left");
    }

    #[test]
    fn what_nobody_was_seen_with_goes_to_the_first_who_comes() {
        let mut owners = Owners::default();
        let b = owners.find("p b");
        assert_eq!(owners.accept("p b"), Some(b));
        assert!(owners.may_send(PRESUMED));
    }
}
