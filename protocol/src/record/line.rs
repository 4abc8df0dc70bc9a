//! The lines of a batch's body (SPEC.md, "Body").

use super::tally::plain;
use crate::ids::{ExecutionId, WriterId};
use crate::keys::decimal;
use alloc::vec::Vec;

/// No header of ours is longer than this, in bytes: its longest values come to 358.
pub(super) const HEADER_MAX: usize = 400;

/// A body's first line.
pub(super) struct Header<'a> {
    pub(super) execution: &'a ExecutionId,
    pub(super) writer: &'a WriterId,
    pub(super) k: u64,
    /// The digest of the writer's body before it, as base64url; empty if there is none.
    pub(super) prev: &'a str,
    pub(super) n: u64,
    pub(super) clock_offset_ms: i64,
    /// Executions that this client had to drop.
    pub(super) lost: u64,
    pub(super) sdk: &'a str,
    pub(super) fin: bool,
}

impl Header<'_> {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        text(out, "{\"v\":1,\"x\":\"");
        text(out, self.execution.as_str());
        if !self.writer.as_str().is_empty() {
            text(out, "\",\"w\":\"");
            text(out, self.writer.as_str());
        }
        text(out, "\",\"k\":");
        number(out, self.k);
        text(out, ",\"prev\":\"");
        text(out, self.prev);
        text(out, "\",\"n\":");
        number(out, self.n);
        if self.clock_offset_ms != 0 {
            text(out, if self.clock_offset_ms < 0 { ",\"off\":-" } else { ",\"off\":" });
            number(out, self.clock_offset_ms.unsigned_abs());
        }
        if self.lost != 0 {
            number_member(out, "lost", self.lost);
        }
        text(out, ",\"sdk\":\"");
        text(out, self.sdk);
        text(out, if self.fin { "\",\"fin\":true}\n" } else { "\"}\n" });
    }
}

/// Begins an event's line: `{"t":"<t>","n":<n>`.
pub(super) fn begin(out: &mut Vec<u8>, t: &str, n: u64) {
    text(out, "{\"t\":\"");
    text(out, t);
    text(out, "\",\"n\":");
    number(out, n);
}

/// Appends `,"<key>":<value>`.
pub(super) fn number_member(out: &mut Vec<u8>, key: &str, value: u64) {
    text(out, ",\"");
    text(out, key);
    text(out, "\":");
    number(out, value);
}

/// Ends a line.
pub(super) fn end(out: &mut Vec<u8>) {
    text(out, "}\n");
}

/// The whole line of a `drop` event: `count` events from number `from` to `to` are lost because of `reason`.
pub(super) fn drop_line(out: &mut Vec<u8>, n: u64, reason: &str, from: u64, to: u64) {
    begin(out, "drop", n);
    text(out, ",\"reason\":\"");
    text(out, plain(reason));
    text(out, "\"");
    number_member(out, "count", to - from + 1);
    number_member(out, "from", from);
    number_member(out, "to", to);
    end(out);
}

pub(super) fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

pub(super) fn number(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(decimal(value, &mut [0; 20]));
}

#[cfg(test)]
mod tests {
    use super::{ExecutionId, HEADER_MAX, Header, WriterId};
    use crate::digest::BodyDigest;
    use alloc::vec::Vec;

    #[test]
    fn the_longest_header_fits() {
        let mut out = Vec::new();
        let longest = u64::MAX;
        Header {
            execution: &ExecutionId::parse(&"x".repeat(64)).unwrap(),
            writer: &WriterId::parse(&"w".repeat(32)).unwrap(),
            k: longest,
            prev: &BodyDigest::of(b"").to_base64url(),
            n: longest,
            clock_offset_ms: i64::MIN,
            lost: longest,
            sdk: &"s".repeat(32),
            fin: true,
        }
        .write(&mut out);
        assert!(out.len() <= HEADER_MAX, "{}", out.len());
        assert!(serde_json::from_slice::<serde_json::Value>(&out).is_ok());
    }
}
