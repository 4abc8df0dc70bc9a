//! Making things smaller that do not fit: a batch that the store has no room for, a value that no line has.

use super::json::{end_of_value, member};
use super::line;
use super::outbox::Batch;
use crate::digest::BodyDigest;
use alloc::vec::Vec;
use core::ops::Range;

/// A start or end up to this long stays: it says what the execution was and how it ended.
const FRAME_MAX: usize = 2_000;
/// What a shortened string has beside what is left of it, at most, in bytes.
const CUT_OVERHEAD: usize = 120;
/// No string is shortened to less than this, in bytes: what is left should show what it was.
const LEFT_MIN: usize = 200;

/// Puts a `drop` in the place of every event but short starts and ends; gives how many that drops. `prev` is the
/// digest of the body before it, if that has changed.
pub(super) fn empty(batch: &mut Batch, prev: Option<BodyDigest>, reason: &str) -> u64 {
    let end_of_header = batch.body.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let mut body = batch.body[..end_of_header].to_vec();
    if let Some(prev) = prev {
        replace_prev(&mut body, prev);
    }
    let mut emptied = 0;
    let mut n = batch.n;
    for text in batch.body[end_of_header..].split_inclusive(|byte| *byte == b'\n') {
        let is_frame = text.len() <= FRAME_MAX
            && [&br#"{"t":"start","#[..], br#"{"t":"end","#].iter().any(|begin| text.starts_with(begin));
        if is_frame || text.starts_with(br#"{"t":"drop","#) {
            body.extend_from_slice(text);
        } else {
            line::drop_line(&mut body, n, reason, n, n);
            emptied += 1;
        }
        n += 1;
    }
    batch.body = body;
    batch.dropped += emptied;
    emptied
}

fn replace_prev(header: &mut Vec<u8>, prev: BodyDigest) {
    if let Some(value) = member(header, 0, b"prev") {
        let mut text = Vec::new();
        text.push(b'"');
        line::text(&mut text, &prev.to_base64url());
        text.push(b'"');
        header.splice(value, text);
    }
}

/// The members of an event whose values are the host's own and may become markers. Strings elsewhere stay strings.
const CONTENTS: [&[u8]; 6] = [b"input", b"output", b"reasoning", b"metadata", b"body", b"v"];
/// After so many shortened strings the largest content goes as a whole.
const CUTS_MAX: usize = 8;

/// Shortens the largest strings of `object`, the text of a JSON object, until it has at most `max` bytes. Where
/// that is not enough its largest contents go as a whole. Says whether it fits now.
///
/// What is shortened becomes `{"$cut":{"bytes":…,"sha256":…,"start":…}}`: length and digest of its JSON text, and
/// how a string began (SPEC.md, "Body").
pub(super) fn shorten(object: &mut Vec<u8>, max: usize) -> bool {
    for _ in 0..CUTS_MAX {
        let Some(excess) = object.len().checked_sub(max + 1) else { return true };
        let Some(largest) = largest_string(object) else { break };
        if largest.text.len() < LEFT_MIN + 2 * CUT_OVERHEAD {
            break;
        }
        let left = largest.text.len().saturating_sub(excess + 1 + CUT_OVERHEAD).max(LEFT_MIN);
        cut_string(object, &largest, left);
    }
    while object.len() > max {
        let Some(largest) = largest_content(object) else { return false };
        let marker = marker(&object[largest.clone()], None);
        object.splice(largest, marker);
    }
    true
}

/// A string's text, quotes included, and whether it stands in one of [`CONTENTS`].
struct Found {
    text: Range<usize>,
    is_content: bool,
}

fn largest_string(object: &[u8]) -> Option<Found> {
    let strings = members(object).flat_map(|(key, value)| {
        let is_content = CONTENTS.contains(&&object[key]);
        strings(object, value).map(move |text| Found { text, is_content })
    });
    strings.max_by_key(|found| found.text.len())
}

/// The longest content that a marker would make shorter.
fn largest_content(object: &[u8]) -> Option<Range<usize>> {
    let contents = members(object).filter(|(key, _)| CONTENTS.contains(&&object[key.clone()]));
    contents.map(|(_, value)| value).filter(|value| value.len() > CUT_OVERHEAD).max_by_key(Range::len)
}

/// Keys, without their quotes, and values of an object.
fn members(object: &[u8]) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
    let mut at = 1;
    core::iter::from_fn(move || {
        if object[at] != b'"' {
            return None;
        }
        let key_end = end_of_value(object, at);
        let value = key_end + 1..end_of_value(object, key_end + 1);
        let key = at + 1..key_end - 1;
        at = (value.end + 1).min(object.len() - 1);
        Some((key, value))
    })
}

/// The strings in a value that are no keys.
fn strings(text: &[u8], value: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let mut at = value.start;
    core::iter::from_fn(move || {
        while at < value.end {
            if text[at] != b'"' {
                at += 1;
                continue;
            }
            let string = at..end_of_value(text, at);
            at = string.end;
            if text.get(at) != Some(&b':') {
                return Some(string);
            }
        }
        None
    })
}

/// Leaves about `left` bytes of a string.
fn cut_string(object: &mut Vec<u8>, string: &Found, left: usize) {
    let text = &object[string.text.clone()];
    let start = &text[1..end_of_part(text, left)];
    let shorter = if string.is_content {
        marker(text, Some(start))
    } else {
        let mut shorter = Vec::from([b'"']);
        shorter.extend_from_slice(start);
        line::text(&mut shorter, "\u{2026}\"");
        shorter
    };
    object.splice(string.text.clone(), shorter);
}

/// Where a string's text may be cut, at most at `at`: between characters and not inside an escape.
fn end_of_part(text: &[u8], at: usize) -> usize {
    let mut end = 1;
    while end < at {
        let next = end
            + match text[end] {
                b'\\' if text[end + 1] != b'u' => 2,
                // A pair of surrogates stays together.
                b'\\' if matches!(text[end + 2..], [b'd' | b'D', b'8' | b'9' | b'a' | b'b' | b'A' | b'B', ..]) => 12,
                b'\\' => 6,
                0xf0.. => 4,
                0xe0.. => 3,
                0xc0.. => 2,
                _ => 1,
            };
        if next > at {
            break;
        }
        end = next;
    }
    end
}

fn marker(value: &[u8], start: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    line::text(&mut out, "{\"$cut\":{\"bytes\":");
    line::number(&mut out, value.len() as u64);
    line::text(&mut out, ",\"sha256\":\"");
    line::text(&mut out, &BodyDigest::of(value).to_base64url());
    if let Some(start) = start {
        line::text(&mut out, "\",\"start\":\"");
        out.extend_from_slice(start);
    }
    line::text(&mut out, "\"}}");
    out
}

#[cfg(test)]
mod tests {
    use super::{CUT_OVERHEAD, LEFT_MIN, marker, shorten};
    use crate::digest::BodyDigest;
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;
    use proptest::prelude::{any, prop, prop_assert, proptest};
    use serde_json::{Value, json};

    fn shortened(object: &Value, max: usize) -> (bool, Value) {
        let mut text = object.to_string().into_bytes();
        let fits = shorten(&mut text, max);
        assert_eq!(fits, text.len() <= max);
        (fits, serde_json::from_slice(&text).unwrap())
    }

    #[test]
    fn the_largest_string_says_how_long_it_was_and_how_it_began() {
        let page = "é\n\u{1f600}x".repeat(1_000);
        let step = json!({ "id": "a", "input": { "q": "short", "page": page }, "output": "y".repeat(300) });
        let (fits, object) = shortened(&step, 4_000);
        assert!(fits);
        assert_eq!((&object["input"]["q"], &object["output"]), (&step["input"]["q"], &step["output"]));
        let cut = &object["input"]["page"]["$cut"];
        let text = step["input"]["page"].to_string();
        assert_eq!(cut["bytes"], text.len());
        assert_eq!(cut["sha256"], BodyDigest::of(text.as_bytes()).to_base64url());
        let start = cut["start"].as_str().unwrap();
        assert!(page.starts_with(start) && start.len() > 2_000, "{}", start.len());
    }

    #[test]
    fn what_must_be_a_string_stays_one() {
        let step = json!({ "name": "n".repeat(9_000), "error": { "message": "m".repeat(9_000) } });
        let (fits, object) = shortened(&step, 1_000);
        assert!(fits);
        assert!(object["name"].as_str().unwrap().ends_with("n\u{2026}"));
        assert!(object["error"]["message"].as_str().unwrap().ends_with("m\u{2026}"));
    }

    #[test]
    fn a_content_of_many_small_values_goes_as_a_whole() {
        let rows: Vec<Value> = (0..5_000).map(|row| json!({ "row": row })).collect();
        let (fits, object) = shortened(&json!({ "input": [1, 2], "output": rows }), 1_000);
        assert!(fits);
        assert_eq!(object["input"], json!([1, 2]));
        assert!(object["output"]["$cut"]["bytes"].as_u64().unwrap() > 50_000);
    }

    #[test]
    fn what_cannot_be_shortened_does_not_fit() {
        let tags: Vec<Value> = (0..500).map(|tag| json!(tag)).collect();
        assert!(!shortened(&json!({ "tags": tags }), 1_000).0);
    }

    #[test]
    fn no_marker_is_longer_than_was_reckoned_with() {
        assert!(marker(&[b'x'; 9_999_999], Some(b"")).len() <= CUT_OVERHEAD);
        assert!(LEFT_MIN > CUT_OVERHEAD);
    }

    proptest! {
        #[test]
        fn whatever_is_shortened_is_valid_json(
            texts in prop::collection::vec(any::<String>(), 1..6),
            times in 1_usize..200,
            max in 700_usize..5_000,
        ) {
            let values: Vec<Value> = texts.iter().map(|text| json!({ text.as_str(): text.repeat(times) })).collect();
            let (fits, object) = shortened(&json!({ "name": texts[0], "input": values, "output": "z".repeat(times) }), max);
            prop_assert!(fits || texts[0].to_string().len() + 100 > max);
            prop_assert!(object.is_object());
        }
    }
}
