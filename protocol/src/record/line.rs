//! The lines of a batch's body (SPEC.md, "Body").

use super::outbox::Batch;
use super::tally::plain;
use crate::ids::WriterId;
use crate::keys::decimal;
use alloc::vec::Vec;
use core::ops::Range;

/// No header of ours is longer than this, in bytes: its longest values come to 358.
pub(super) const HEADER_MAX: usize = 400;

/// Writes a body's first line.
pub(super) fn header(out: &mut Vec<u8>, batch: &Batch, about: &About) {
    text(out, "{\"v\":1,\"x\":\"");
    bytes(out, batch.execution.as_bytes());
    if batch.writer != WriterId::default() {
        text(out, "\",\"w\":\"");
        bytes(out, batch.writer.as_bytes());
    }
    text(out, "\"");
    number_member(out, "k", batch.k);
    text(out, ",\"prev\":\"");
    bytes(out, batch.prev.as_bytes());
    text(out, "\"");
    number_member(out, "n", batch.n);
    if about.clock_offset_ms != 0 {
        text(out, if about.clock_offset_ms < 0 { ",\"off\":-" } else { ",\"off\":" });
        number(out, about.clock_offset_ms.unsigned_abs());
    }
    if about.lost != 0 {
        number_member(out, "lost", about.lost);
    }
    text(out, ",\"sdk\":\"");
    text(out, about.sdk);
    text(out, if about.fin { "\",\"fin\":true}\n" } else { "\"}\n" });
}

/// What a header says beside its batch.
pub(super) struct About {
    pub(super) clock_offset_ms: i64,
    /// Executions that this client had to drop.
    pub(super) lost: u64,
    pub(super) sdk: &'static str,
    /// Whether the writer has ended though its execution goes on.
    pub(super) fin: bool,
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
    bytes(out, text.as_bytes());
}

#[inline(never)]
pub(super) fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
}

#[inline(never)]
pub(super) fn number(out: &mut Vec<u8>, value: u64) {
    bytes(out, decimal(value, &mut [0; 20]));
}

/// Puts `value` in the place of a part of `text`.
#[inline(never)]
pub(super) fn replace(text: &mut Vec<u8>, part: Range<usize>, value: &[u8]) {
    let rest = text.split_off(part.end);
    text.truncate(part.start);
    bytes(text, value);
    bytes(text, &rest);
}

/// Takes what stands before the next `separator`, which is skipped, or everything.
#[inline(never)]
pub fn until<'a>(rest: &mut &'a str, separator: u8) -> &'a str {
    let len = rest.bytes().position(|byte| byte == separator).unwrap_or(rest.len());
    let (word, after) = rest.split_at_checked(len).unwrap_or_default();
    *rest = after.get(1..).unwrap_or_default();
    word
}

#[cfg(test)]
mod tests {
    use super::super::outbox::{Batch, prev_of};
    use super::{About, HEADER_MAX, header, replace, until};
    use crate::ids::{BatchId, ExecutionId, WriterId};
    use alloc::vec::Vec;

    #[test]
    fn the_longest_header_fits() {
        let longest = u64::MAX;
        let mut batch = Batch::first(
            BatchId::parse(&"b".repeat(64)).unwrap(),
            ExecutionId::parse(&"x".repeat(64)).unwrap(),
            WriterId::parse(&"w".repeat(32)).unwrap(),
        );
        (batch.k, batch.n, batch.prev) = (longest, longest, prev_of(b""));
        let about = About {
            clock_offset_ms: i64::MIN,
            lost: longest,
            sdk: "stepseal-test/1234567890.12345-b",
            fin: true,
        };
        let mut out = Vec::new();
        header(&mut out, &batch, &about);
        assert!(out.len() <= HEADER_MAX, "{}", out.len());
        assert!(serde_json::from_slice::<serde_json::Value>(&out).is_ok());
    }

    #[test]
    fn parts_are_replaced_and_words_taken() {
        let mut text = Vec::from(*b"abcdef");
        replace(&mut text, 1..3, b"XYZ");
        assert_eq!(text, b"aXYZdef");
        let mut rest = "a\n\nb";
        assert_eq!([(); 4].map(|()| until(&mut rest, b'\n')), ["a", "", "b", ""]);
    }
}
