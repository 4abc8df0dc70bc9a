//! The session that batches are signed under, and when to ask for the next.

use super::clock::Clock;
use super::pace::backoff_ms;
use super::random::Random;
use super::recorder::Moment;
use crate::keys::SessionKey;
use crate::limits::{SESSION_TTL_DEFAULT_S, SESSION_TTL_MAX_S, TOKEN_MAX};
use alloc::string::String;

/// A session whose token could not stand on a batch's first line: empty, too long, or not one word of ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnusableSession;

/// A session as it is used: its life is counted on the monotonic clock from when it came.
pub(super) struct Session {
    pub(super) token: String,
    pub(super) key: SessionKey,
    /// Tells a reply about this session from one about an earlier session.
    pub(super) generation: u32,
    received_at: u64,
    life_ms: u64,
    refused: bool,
}

/// The current session and the host's means of getting the next.
pub(super) struct Sessions {
    current: Option<Session>,
    generation: u32,
    /// Whether the host can get another session.
    renewable: bool,
    renewing: bool,
    /// Refused sessions and failed renewals in a row.
    failures: u32,
    renew_not_before: u64,
}

impl Sessions {
    pub(super) fn new(renewable: bool) -> Self {
        Self { current: None, generation: 0, renewable, renewing: false, failures: 0, renew_not_before: 0 }
    }

    /// The host has a session: the first, or the one asked for.
    pub(super) fn accept(
        &mut self,
        token: &str,
        key: SessionKey,
        life_ms: u64,
        now: u64,
    ) -> Result<(), UnusableSession> {
        if token.is_empty() || token.len() > TOKEN_MAX || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(UnusableSession);
        }
        self.renewing = false;
        self.generation += 1;
        self.current = Some(Session {
            token: token.into(),
            key,
            generation: self.generation,
            received_at: now,
            life_ms,
            refused: false,
        });
        Ok(())
    }

    /// The host failed to get one.
    pub(super) fn renewal_failed(&mut self, now: u64, random: &mut Random) {
        self.renewing = false;
        self.failures += 1;
        self.renew_not_before = now + backoff_ms(self.failures, random);
    }

    /// The server refused a request of session `generation`. A first refusal asks for another session at once.
    pub(super) fn refused(&mut self, generation: u32, now: u64, random: &mut Random) {
        let Some(session) = self.current.as_mut().filter(|session| session.generation == generation) else {
            return;
        };
        session.refused = true;
        self.renew_not_before = now + if self.failures == 0 { 0 } else { backoff_ms(self.failures, random) };
        self.failures += 1;
    }

    /// The server took a batch.
    pub(super) fn proved(&mut self) {
        self.failures = 0;
    }

    /// The session to sign with now.
    pub(super) fn usable(&self, now: u64) -> Option<&Session> {
        self.current.as_ref().filter(|session| {
            // The life of a session that cannot be replaced is the server's to judge.
            !session.refused && (!self.renewable || now < session.received_at + session.life_ms)
        })
    }

    /// When the host should be asked for a session; `needed` says whether there is anything to sign.
    pub(super) fn renewal_due(&self, needed: bool) -> Option<u64> {
        if self.renewing || !self.renewable && self.current.is_some() {
            return None;
        }
        match &self.current {
            Some(session) if needed && session.refused => Some(self.renew_not_before),
            // At four fifths of its life: time enough for a few failures.
            Some(session) if needed => {
                Some(self.renew_not_before.max(session.received_at + session.life_ms / 5 * 4))
            }
            // The very first is asked for ahead of need.
            None if needed || self.failures == 0 => Some(self.renew_not_before),
            _ => None,
        }
    }

    pub(super) fn renewal_begun(&mut self) {
        self.renewing = true;
    }

    /// Nothing can be signed any more, and no other session will come.
    pub(super) fn ended(&self) -> bool {
        !self.renewable && self.current.as_ref().is_some_and(|session| session.refused)
    }
}

/// How long a session just received lives, in milliseconds. Where the two clocks plainly disagree, because
/// nobody has told us the server's, the usual life is assumed; too long a guess ends in a renewal.
pub(super) fn life_ms(expires_at_ms: u64, server_time_ms: Option<u64>, clock: &Clock, now: Moment) -> u64 {
    let reference = server_time_ms.unwrap_or_else(|| clock.server_time_ms(now.wall_ms));
    match expires_at_ms.saturating_sub(reference) {
        life if (1..=SESSION_TTL_MAX_S * 1_000).contains(&life) => life,
        _ => SESSION_TTL_DEFAULT_S * 1_000,
    }
}

#[cfg(test)]
mod tests {
    use super::{Clock, Moment, Random, SessionKey, Sessions, UnusableSession, life_ms};
    use alloc::vec::Vec;

    fn key() -> SessionKey {
        SessionKey::from_bytes([1; 32])
    }

    #[test]
    fn the_first_is_asked_for_ahead_and_the_next_at_four_fifths() {
        let mut sessions = Sessions::new(true);
        assert_eq!(sessions.renewal_due(false), Some(0));
        sessions.renewal_begun();
        assert_eq!(sessions.renewal_due(true), None);
        sessions.accept("s1.x", key(), 100_000, 1_000).unwrap();
        assert_eq!(sessions.renewal_due(true), Some(81_000));
        assert_eq!(sessions.renewal_due(false), None);
        assert!(sessions.usable(100_999).is_some());
        assert!(sessions.usable(101_000).is_none());
    }

    #[test]
    fn a_refused_session_is_replaced_at_once_and_then_ever_later() {
        let mut random = Random::new([3; 32]);
        let mut sessions = Sessions::new(true);
        sessions.accept("s1.a", key(), 100_000, 0).unwrap();
        sessions.refused(1, 500, &mut random);
        assert_eq!(sessions.renewal_due(true), Some(500));
        assert!(sessions.usable(500).is_none());
        sessions.accept("s1.b", key(), 100_000, 600).unwrap();
        sessions.refused(1, 700, &mut random);
        assert!(sessions.usable(700).is_some(), "a late reply about the first session");
        let due: Vec<u64> = (2..40)
            .map(|generation| {
                sessions.refused(generation, 1_000, &mut random);
                let due = sessions.renewal_due(true).unwrap();
                sessions.accept("s1.c", key(), 100_000, 1_000).unwrap();
                due
            })
            .collect();
        assert!(due.iter().any(|at| *at > 30_000), "{due:?}");
        assert!(due.iter().all(|at| *at <= 61_000), "{due:?}");
    }

    #[test]
    fn a_session_that_cannot_be_replaced_is_used_until_the_server_refuses_it() {
        let mut random = Random::new([3; 32]);
        let mut sessions = Sessions::new(false);
        assert_eq!(sessions.renewal_due(true), Some(0));
        assert!(!sessions.ended());
        sessions.accept("s1.a", key(), 1, 0).unwrap();
        assert!(sessions.usable(1_000_000).is_some());
        assert_eq!(sessions.renewal_due(true), None);
        sessions.refused(1, 0, &mut random);
        assert!(sessions.ended());
    }

    #[test]
    fn tokens_that_would_break_the_first_line_are_refused() {
        let mut sessions = Sessions::new(true);
        for token in ["", "a b", "a\nb", "é", &"x".repeat(769)] {
            assert_eq!(sessions.accept(token, key(), 1, 0), Err(UnusableSession));
        }
        assert!(sessions.accept(&"x".repeat(768), key(), 1, 0).is_ok());
    }

    #[test]
    fn a_life_no_session_can_have_is_replaced_by_the_usual_one() {
        let now = Moment { monotonic_ms: 5, wall_ms: 1_790_000_000_000 };
        let life = |expires_at, server_time| life_ms(expires_at, server_time, &Clock::default(), now);
        assert_eq!(life(1_790_000_600_000, None), 600_000);
        assert_eq!(life(1_790_000_600_000, Some(1_790_000_300_000)), 300_000);
        assert_eq!(life(1_790_090_000_000, None), 900_000);
        assert_eq!(life(1_780_000_000_000, None), 900_000);
    }
}
