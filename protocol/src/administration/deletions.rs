//! Deletion and retention: what may be asked, and when a deletion is done.

use super::malformed;
use crate::ingest::admission::{Project, ProjectStatus};
use crate::limits::SUBJECT_MAX;
use crate::prices::PriceTable;
use crate::problem::{Code, Problem};
use crate::rollup::LABEL_MAX;
use serde::{Deserialize, Serialize};
use std::string::String;

/// Days after which a new project's executions are deleted where nobody says otherwise.
pub const RETENTION_DEFAULT_DAYS: u32 = 90;
/// Longest retention with an end: ten years.
const RETENTION_MAX_DAYS: u32 = 3_650;
/// How long a tombstone stands, in milliseconds: twice the 30 days for which the SDK keeps its queue.
pub const TOMBSTONE_LIFE_MS: u64 = 60 * 86_400_000;
/// How long a deleted project, or a subject whose keys were destroyed, is watched for what isolates that do not know
/// yet still write, in milliseconds.
const SETTLES_MS: u64 = 120_000;
const DAY_MS: u64 = 86_400_000;

/// Whose executions a deletion is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeletionKind {
    /// Those that a `start` names this user of.
    User,
    /// Those that a subject owns.
    Subject,
    /// All.
    Project,
}

impl DeletionKind {
    /// The word as it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Subject => "subject",
            Self::Project => "project",
        }
    }

    /// Whether a deletion ordered at `ordered_at` is done at `now`, when nothing was left to delete.
    /// `had_keys`: the subject had keys of its own, or may have.
    pub const fn is_done(self, ordered_at: u64, now: u64, had_keys: bool) -> bool {
        let settled = now >= ordered_at + SETTLES_MS;
        match self {
            Self::User => true,
            Self::Subject => !had_keys || settled,
            Self::Project => settled && !had_keys,
        }
    }
}

/// Whose data somebody asks to delete: exactly one of its fields.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeletionRequest {
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    subject: Option<String>,
}

impl DeletionRequest {
    /// Whose.
    pub fn read(self) -> Result<(DeletionKind, String), Problem> {
        let (kind, value, longest) = match (self.user, self.subject) {
            (Some(user), None) => (DeletionKind::User, user, LABEL_MAX),
            (None, Some(subject)) => (DeletionKind::Subject, subject, SUBJECT_MAX),
            _ => return Err(malformed("user", "Name either a `user` or a `subject`.")),
        };
        if !(1..=longest).contains(&value.len()) {
            return Err(malformed(kind.as_str(), &std::format!("It has 1 to {longest} bytes.")));
        }
        Ok((kind, value))
    }
}

/// Refuses a retention that is too long. 0 keeps everything until it is deleted.
pub fn check_retention(days: u32) -> Result<(), Problem> {
    if days <= RETENTION_MAX_DAYS {
        return Ok(());
    }
    Err(malformed("retention_days", "`retention_days` is 0 (kept until deleted) to 3,650."))
}

/// Silence after which an execution is abandoned where a project does not say, in minutes: a day, because a person
/// may sleep over an answer.
pub const ABANDON_AFTER_DEFAULT_MINUTES: u32 = 1_440;
const ABANDON_AFTER_MAX_MINUTES: u32 = 43_200;

/// Refuses a silence that is too short for a page that reloads, or longer than the SDK keeps anything.
pub fn check_abandon_after(minutes: u32) -> Result<(), Problem> {
    if (5..=ABANDON_AFTER_MAX_MINUTES).contains(&minutes) {
        return Ok(());
    }
    Err(malformed("abandon_after_minutes", "`abandon_after_minutes` is 5 to 43,200, a month."))
}

impl Project {
    /// Executions that are silent since before this are abandoned at `now` (Unix ms).
    pub fn silence_cutoff(&self, now: u64) -> u64 {
        now.saturating_sub(u64::from(self.abandon_after_minutes) * 60_000)
    }

    /// The time before which executions are to be deleted at `now`; none if they are kept.
    pub fn retention_cutoff(&self, now: u64) -> Option<u64> {
        (self.retention_days > 0).then(|| now.saturating_sub(u64::from(self.retention_days) * DAY_MS))
    }

    /// Marks the project as deleted and takes out what it says of people and places.
    pub fn delete(&mut self) {
        self.status = ProjectStatus::Deleted;
        self.name.clear();
        self.origins.clear();
        self.denials.clear();
        self.prices = PriceTable::default();
    }

    /// Refuses writers of a project that is paused or deleted.
    pub fn refuse_inactive(&self) -> Result<(), Problem> {
        match self.status {
            ProjectStatus::Active => Ok(()),
            ProjectStatus::Paused => Err(Problem::new(
                Code::ProjectPaused,
                "The project takes no batches at the moment. Keep them.",
            )),
            ProjectStatus::Deleted => Err(Problem::new(Code::ProjectUnknown, "The project was deleted.")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{DAY_MS, DeletionKind, DeletionRequest, check_abandon_after, check_retention};
    use crate::administration::example::project;
    use crate::problem::Code;

    #[test]
    fn retention_has_a_cutoff_unless_all_is_kept() {
        let mut project = project();
        assert_eq!(project.retention_cutoff(DAY_MS), None);
        project.retention_days = 2;
        assert_eq!(project.retention_cutoff(5 * DAY_MS), Some(3 * DAY_MS));
        assert_eq!(project.silence_cutoff(5 * DAY_MS), 4 * DAY_MS);
        assert!(check_abandon_after(5).is_ok());
        assert_eq!(check_abandon_after(4).unwrap_err().field.as_deref(), Some("abandon_after_minutes"));
        assert!(check_retention(3_650).is_ok());
        assert_eq!(check_retention(3_651).unwrap_err().field.as_deref(), Some("retention_days"));
        project.delete();
        assert_eq!(project.refuse_inactive().unwrap_err().code, Code::ProjectUnknown);
    }

    #[test]
    fn a_deletion_names_one_person_and_a_project_settles_first() {
        let read = |json| serde_json::from_str::<DeletionRequest>(json).unwrap().read();
        assert_eq!(read(r#"{"user":"eve"}"#).unwrap(), (DeletionKind::User, "eve".into()));
        assert_eq!(read(r#"{"subject":"eve"}"#).unwrap(), (DeletionKind::Subject, "eve".into()));
        for wrong in ["{}", r#"{"user":"a","subject":"b"}"#, r#"{"user":""}"#] {
            assert_eq!(read(wrong).unwrap_err().code, Code::RequestMalformed, "{wrong}");
        }
        assert!(DeletionKind::User.is_done(10, 10, false));
        assert!(DeletionKind::Subject.is_done(10, 10, false));
        assert!(!DeletionKind::Subject.is_done(10, 120_009, true));
        assert!(DeletionKind::Subject.is_done(10, 120_010, true));
        assert!(!DeletionKind::Project.is_done(10, 120_009, false));
        assert!(!DeletionKind::Project.is_done(10, 120_010, true));
        assert!(DeletionKind::Project.is_done(10, 120_010, false));
    }
}
