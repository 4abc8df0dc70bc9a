//! The audit log: who did what to a project, as a chain of entries.
//!
//! Each entry's tag is an HMAC, under a key of the project, over the tag before it and the entry's exact
//! text. Whoever holds the store but not the root can therefore neither alter an entry nor take one out
//! unseen. What was cut off at the end shows against the head that is kept beside the entries, and, if that
//! was changed too, against any (number, hash) that an administrator noted earlier.

use crate::encoding::{hex_decode, hex_encode};
use crate::ids::ProjectId;
use crate::keys::{PurposeKey, Root};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::string::{String, ToString};
use std::vec::Vec;

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $word:literal;)*) => {
        /// What was done. The words are stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Action { $($(#[$doc])* $name,)* }

        impl Action {
            /// Every action, for filters.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word as it is stored and shown.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

actions! {
    /// Somebody exchanged a key for the dashboard's cookie.
    SignIn = "sign_in.begin";
    /// Somebody signed out.
    SignOut = "sign_in.end";
    /// The operator made the project.
    ProjectCreate = "project.create";
    /// Settings were changed.
    ProjectChange = "project.change";
    /// The project's deletion was ordered.
    ProjectDelete = "project.delete";
    /// An API key was made.
    KeyCreate = "key.create";
    /// An API key was replaced.
    KeyRotate = "key.rotate";
    /// An API key was revoked.
    KeyRevoke = "key.revoke";
    /// A key generation was added.
    GenerationAdd = "generation.add";
    /// A key generation was retired.
    GenerationRetire = "generation.retire";
    /// A session or subject was denied.
    DenialAdd = "denial.add";
    /// A denial was taken back.
    DenialRemove = "denial.remove";
    /// The prices were replaced.
    PricesChange = "prices.change";
    /// A key scored an execution.
    ScoreAdd = "score.add";
    /// Contents of an execution were read.
    ExecutionRead = "execution.read";
    /// An execution was verified.
    ExecutionVerify = "execution.verify";
    /// The project was exported.
    ProjectExport = "project.export";
    /// Batches were imported from a file.
    ProjectImport = "project.import";
    /// An execution was deleted.
    ExecutionDelete = "execution.delete";
    /// The deletion of everything of a user or subject was ordered.
    PersonDelete = "person.delete";
    /// Executions were deleted because their time was over.
    RetentionApply = "retention.apply";
    /// The month's use passed the budget's warning.
    BudgetWarn = "budget.warn";
    /// The month's use reached the budget.
    BudgetStop = "budget.stop";
    /// A batch of an authenticated sender was refused.
    SenderReject = "sender.reject";
}

/// What is to be noted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Note {
    /// When, Unix ms.
    pub at: u64,
    /// Who: an API key's id, `operator`, `system`, or `session:` and a session's id.
    pub actor: String,
    /// What, by its word.
    pub action: String,
    /// To what: the id of a key, a generation, an execution; empty for the project itself.
    pub target: String,
    /// Further facts; no secret and no content.
    pub details: Value,
}

/// An entry as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Number, from 1.
    pub seq: u64,
    /// When, Unix ms.
    pub at: u64,
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// To what.
    pub target: String,
    /// The text that the tag covers: the fields above and the details, as JSON.
    pub text: String,
    /// Hex of the tag.
    pub hash: String,
}

/// The hash before the first entry.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What is wrong with a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Fault {
    /// Entries are not there, both ends included.
    Missing {
        /// First number.
        from: u64,
        /// Last number.
        to: u64,
    },
    /// An entry is not the one that was written.
    Altered {
        /// Its number.
        seq: u64,
    },
    /// The entry is not the one that somebody noted.
    NotTheNoted {
        /// Its number.
        seq: u64,
    },
}

/// Writes and checks the chain of one project.
pub struct Chain(PurposeKey);

impl Chain {
    /// The chain of `project`.
    pub fn of(root: &Root, project: &ProjectId) -> Self {
        Self(root.purpose_key("audit", Some(project)))
    }

    /// The entry that follows `before`, an entry's number and hash.
    pub fn append(&self, before: (u64, &str), note: Note) -> Entry {
        let seq = before.0 + 1;
        let Note { at, actor, action, target, details } = note;
        let text = text_of(seq, at, &actor, &action, &target, &details);
        let hash = self.hash(before.1, &text);
        Entry { seq, at, actor, action, target, text, hash }
    }

    fn hash(&self, before: &str, text: &str) -> String {
        hex_encode(&self.0.tag(&[before.as_bytes(), text.as_bytes()]))
    }

    fn is_hash(&self, before: &str, entry: &Entry) -> bool {
        hex_decode(&entry.hash).is_ok_and(|tag| {
            tag.len() == 32 && self.0.is_truncated_tag(&[before.as_bytes(), entry.text.as_bytes()], &tag)
        })
    }

    /// Checks entries in order of their numbers after `before`, and says what is wrong.
    pub fn check(&self, before: (u64, &str), entries: &[Entry]) -> Vec<Fault> {
        let mut faults = Vec::new();
        let (mut last, mut hash) = (before.0, before.1.to_string());
        for entry in entries {
            if entry.seq > last + 1 {
                // Its predecessor's hash is gone, so the entry's own cannot be checked; its fields can.
                faults.push(Fault::Missing { from: last + 1, to: entry.seq - 1 });
            } else if !self.is_hash(&hash, entry) {
                faults.push(Fault::Altered { seq: entry.seq });
            }
            if !entry.fields_fit() && faults.last() != Some(&Fault::Altered { seq: entry.seq }) {
                faults.push(Fault::Altered { seq: entry.seq });
            }
            last = entry.seq;
            hash.clone_from(&entry.hash);
        }
        faults
    }
}

fn text_of(seq: u64, at: u64, actor: &str, action: &str, target: &str, details: &Value) -> String {
    serde_json::json!([seq, at, actor, action, target, details]).to_string()
}

impl Entry {
    /// What the details say.
    pub fn details(&self) -> Value {
        let mut fields: Vec<Value> = serde_json::from_str(&self.text).unwrap_or_default();
        fields.pop().unwrap_or_default()
    }

    /// Whether the columns, by which lists filter, say what the text says.
    fn fields_fit(&self) -> bool {
        let details = self.details();
        self.text == text_of(self.seq, self.at, &self.actor, &self.action, &self.target, &details)
    }
}

/// The fault of a chain whose last entry is `last` where its head says `head`; none if they agree.
pub fn cut_off(last: (u64, &str), head: (u64, &str)) -> Option<Fault> {
    match last.0 {
        seq if seq < head.0 => Some(Fault::Missing { from: seq + 1, to: head.0 }),
        seq if seq > head.0 || last.1 != head.1 => Some(Fault::Altered { seq }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Action, Chain, Entry, Fault, GENESIS, Note, cut_off};
    use crate::ids::ProjectId;
    use crate::keys::Root;
    use std::format;
    use std::vec::Vec;

    fn chain(project: &str) -> Chain {
        let root = Root::from_bytes(*b"0123456789abcdefghijklmnopqrstuv").unwrap();
        Chain::of(&root, &ProjectId::parse(project).unwrap())
    }

    fn entries() -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::new();
        for at in 1..=6 {
            let before = entries.last().map_or((0, GENESIS), |entry| (entry.seq, entry.hash.as_str()));
            let note = Note {
                at,
                actor: "key_1".into(),
                action: Action::KeyRevoke.as_str().into(),
                target: format!("key_{at}"),
                details: serde_json::json!({ "role": "viewer" }),
            };
            let next = chain("prj_a").append(before, note);
            entries.push(next);
        }
        entries
    }

    fn faults(entries: &[Entry]) -> Vec<Fault> {
        chain("prj_a").check((0, GENESIS), entries)
    }

    #[test]
    fn a_chain_checks_whole_and_in_pages() {
        let entries = entries();
        assert_eq!(faults(&entries), []);
        assert_eq!(chain("prj_a").check((2, &entries[1].hash), &entries[2..]), []);
        assert_eq!(entries[0].details()["role"], "viewer");
        assert_eq!(chain("prj_b").check((0, GENESIS), &entries[..1]), [Fault::Altered { seq: 1 }]);
        assert_eq!(cut_off((6, &entries[5].hash), (6, &entries[5].hash)), None);
    }

    #[test]
    fn what_was_altered_or_taken_out_is_named() {
        let mut altered = entries();
        altered[2].text = altered[2].text.replace("viewer", "admin");
        assert_eq!(faults(&altered), [Fault::Altered { seq: 3 }]);
        let mut column = entries();
        column[2].actor = "key_2".into();
        assert_eq!(faults(&column), [Fault::Altered { seq: 3 }]);
        let mut hash = entries();
        hash[2].hash = hash[3].hash.clone();
        assert_eq!(faults(&hash), [Fault::Altered { seq: 3 }, Fault::Altered { seq: 4 }]);
        let mut removed = entries();
        removed.drain(1..3);
        assert_eq!(faults(&removed), [Fault::Missing { from: 2, to: 3 }]);
        removed[1].at = 9;
        assert_eq!(faults(&removed), [Fault::Missing { from: 2, to: 3 }, Fault::Altered { seq: 4 }]);
    }

    #[test]
    fn what_was_cut_off_shows_against_the_head() {
        let entries = entries();
        let head = (6, entries[5].hash.as_str());
        assert_eq!(cut_off((4, &entries[3].hash), head), Some(Fault::Missing { from: 5, to: 6 }));
        assert_eq!(cut_off((0, GENESIS), head), Some(Fault::Missing { from: 1, to: 6 }));
        assert_eq!(cut_off((6, &entries[3].hash), head), Some(Fault::Altered { seq: 6 }));
        assert_eq!(cut_off(head, (4, &entries[3].hash)), Some(Fault::Altered { seq: 6 }));
    }
}
