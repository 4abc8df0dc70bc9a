//! The deny-list: sessions and subjects that a project refuses.

use super::malformed;
use crate::ingest::admission::Project;
use crate::limits::{ISSUED_AHEAD_MAX_S, SESSION_TTL_MAX_S, SUBJECT_MAX};
use crate::problem::{Code, Problem};
use serde::{Deserialize, Serialize};
use std::format;
use std::string::String;

/// A denied session is forgotten when every token that could carry its id has expired, in milliseconds.
const SESSION_DENIED_MS: u64 = (SESSION_TTL_MAX_S + ISSUED_AHEAD_MAX_S) * 1_000;
/// Most entries: the list travels with the project's configuration.
const DENIALS_MAX: usize = 256;
const SESSION_ID_MAX: usize = 64;

/// What a denial names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeniedKind {
    /// One session, by its id.
    Session,
    /// Every session of a subject.
    Subject,
}

/// One entry of a project's deny-list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// What `value` names.
    pub kind: DeniedKind,
    /// The session's id, or the subject.
    pub value: String,
    /// Since when, Unix ms.
    pub denied_at: u64,
    /// Until when, Unix ms; none is until it is taken off.
    pub until: Option<u64>,
}

/// A denial that somebody asks for, or asks to end: exactly one of its fields.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DenialRequest {
    /// A session's id.
    #[serde(default)]
    pub session: Option<String>,
    /// A subject.
    #[serde(default)]
    pub subject: Option<String>,
}

impl DenialRequest {
    /// What it names.
    pub fn read(self) -> Result<(DeniedKind, String), Problem> {
        let (kind, value, longest) = match (self.session, self.subject) {
            (Some(session), None) => (DeniedKind::Session, session, SESSION_ID_MAX),
            (None, Some(subject)) => (DeniedKind::Subject, subject, SUBJECT_MAX),
            _ => return Err(malformed("session", "Name either a `session` or a `subject`.")),
        };
        if !(1..=longest).contains(&value.len()) {
            let field = if kind == DeniedKind::Session { "session" } else { "subject" };
            return Err(malformed(field, &format!("`{field}` has 1 to {longest} bytes.")));
        }
        Ok((kind, value))
    }
}

impl Denial {
    fn holds(&self, now: u64) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    fn names(&self, kind: DeniedKind, value: &str) -> bool {
        self.kind == kind && self.value == value
    }
}

impl Project {
    /// Puts a session or a subject on the deny-list, and takes off what has run out.
    pub fn deny(&mut self, kind: DeniedKind, value: String, now: u64) -> Result<Denial, Problem> {
        self.denials.retain(|denial| denial.holds(now) && !denial.names(kind, &value));
        if self.denials.len() >= DENIALS_MAX {
            return Err(Problem::new(
                Code::ListFull,
                format!(
                    "The deny-list holds {DENIALS_MAX} entries. Take some off, or rotate the project's secret."
                ),
            ));
        }
        let until = (kind == DeniedKind::Session).then_some(now + SESSION_DENIED_MS);
        let denial = Denial { kind, value, denied_at: now, until };
        self.denials.push(denial.clone());
        Ok(denial)
    }

    /// Takes an entry off the deny-list.
    pub fn allow(&mut self, kind: DeniedKind, value: &str) -> Result<(), Problem> {
        let before = self.denials.len();
        self.denials.retain(|denial| !denial.names(kind, value));
        if self.denials.len() == before {
            return Err(Problem::new(Code::DenialNotFound, "The deny-list has no such entry."));
        }
        Ok(())
    }

    /// Refuses a session that is on the deny-list, or whose subject is.
    pub fn refuse_denied(&self, session: &str, subject: &str, now: u64) -> Result<(), Problem> {
        let denied = self.denials.iter().filter(|denial| denial.holds(now)).any(|denial| {
            denial.names(DeniedKind::Session, session) || denial.names(DeniedKind::Subject, subject)
        });
        if denied {
            return Err(Problem::new(Code::SessionDenied, "The session was revoked. Ask for a new one."));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{DENIALS_MAX, DenialRequest, DeniedKind, SESSION_DENIED_MS};
    use crate::administration::example::project;
    use crate::ingest::admission::Project;
    use crate::problem::Code;
    use std::format;

    #[test]
    fn a_session_is_denied_until_its_tokens_are_dead_and_a_subject_until_allowed() {
        let mut project = project();
        project.deny(DeniedKind::Session, "ses_1".into(), 10).unwrap();
        project.deny(DeniedKind::Subject, "eve".into(), 10).unwrap();
        let refused = |project: &Project, session, subject, now| {
            project.refuse_denied(session, subject, now).err().map(|problem| problem.code)
        };
        assert_eq!(refused(&project, "ses_1", "bob", 11), Some(Code::SessionDenied));
        assert_eq!(refused(&project, "ses_2", "eve", u64::MAX), Some(Code::SessionDenied));
        assert_eq!(refused(&project, "eve", "ses_1", 11), None);
        assert_eq!(refused(&project, "ses_1", "bob", 10 + SESSION_DENIED_MS), None);
        project.allow(DeniedKind::Subject, "eve").unwrap();
        assert_eq!(refused(&project, "ses_2", "eve", 11), None);
        assert_eq!(project.allow(DeniedKind::Subject, "eve").unwrap_err().code, Code::DenialNotFound);
    }

    #[test]
    fn the_list_is_bounded_and_drops_what_ran_out() {
        let mut project = project();
        for index in 0..DENIALS_MAX {
            project.deny(DeniedKind::Session, format!("ses_{index}"), 10).unwrap();
        }
        assert_eq!(project.deny(DeniedKind::Subject, "eve".into(), 11).unwrap_err().code, Code::ListFull);
        project.deny(DeniedKind::Session, "ses_0".into(), 11).unwrap();
        project.deny(DeniedKind::Subject, "eve".into(), 10 + SESSION_DENIED_MS).unwrap();
        assert_eq!(project.denials.len(), 2);
    }

    #[test]
    fn a_request_names_one_thing() {
        let read = |json| serde_json::from_str::<DenialRequest>(json).unwrap().read();
        assert_eq!(read(r#"{"subject":"eve"}"#).unwrap(), (DeniedKind::Subject, "eve".into()));
        for wrong in ["{}", r#"{"session":"a","subject":"b"}"#, r#"{"session":""}"#] {
            assert_eq!(read(wrong).unwrap_err().code, Code::RequestMalformed, "{wrong}");
        }
    }
}
