//! Keyset cursors that only this server can make, and only for the query they continue.
//!
//! base64url of a tag of 16 bytes and the position's text. The tag is under a key of the project and
//! covers the query's canonical text: a cursor of another project or another filter is refused.

use crate::encoding::{base64url_decode, base64url_encode};
use crate::ids::ProjectId;
use crate::keys::{PurposeKey, Root};
use crate::problem::{Code, Problem};
use std::string::String;
use std::vec::Vec;

const TAG_LEN: usize = 16;

/// Makes and reads the cursors of one query.
pub struct Cursors {
    key: PurposeKey,
    query: String,
}

impl Cursors {
    /// For `query`, the canonical text of route and filters, in `project`.
    pub fn of(root: &Root, project: &ProjectId, query: String) -> Self {
        Self { key: root.purpose_key("cursor", Some(project)), query }
    }

    /// For a query over the whole deployment, which only the operator asks.
    pub fn of_deployment(root: &Root, query: String) -> Self {
        Self { key: root.purpose_key("cursor", None), query }
    }

    /// The cursor that continues after `position`.
    pub fn seal(&self, position: &str) -> String {
        let mut bytes = self.key.tag(&[self.query.as_bytes(), position.as_bytes()])[..TAG_LEN].to_vec();
        bytes.extend_from_slice(position.as_bytes());
        base64url_encode(&bytes)
    }

    /// The position of a cursor that [`seal`](Self::seal) made for the same query.
    pub fn open(&self, cursor: &str) -> Result<String, Problem> {
        let invalid = || {
            Problem::new(
                Code::CursorInvalid,
                "The cursor was not made for this query. Repeat the query without it, filters unchanged.",
            )
            .of_field("cursor")
        };
        let bytes = base64url_decode(cursor).map_err(|_| invalid())?;
        let (tag, position) = bytes.split_at_checked(TAG_LEN).ok_or_else(invalid)?;
        if !self.key.is_truncated_tag(&[self.query.as_bytes(), position], tag) {
            return Err(invalid());
        }
        String::from_utf8(Vec::from(position)).map_err(|_| invalid())
    }
}
