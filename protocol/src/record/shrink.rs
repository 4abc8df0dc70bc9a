//! Making things smaller that do not fit: a batch that the store has no room for, a value that no line has.

use super::json::{end_of_value, member};
use super::line;
use super::outbox::{Batch, Prev};
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
pub(super) fn empty(batch: &mut Batch, prev: Option<Prev>, reason: &str) -> u64 {
    let old = core::mem::take(&mut batch.body);
    let mut emptied = 0;
    let mut n = batch.n;
    let mut at = 0;
    while at < old.len() {
        let line = &old[at..end_of_line(&old, at)];
        if at == 0 {
            line::bytes(&mut batch.body, line);
            if let Some(prev) = prev
                && let Some(value) = member(&batch.body, 0, b"prev")
            {
                let end = end_of_value(&batch.body, value);
                line::replace(&mut batch.body, value + 1..end - 1, prev.as_bytes());
            }
        } else {
            if stays(line) {
                line::bytes(&mut batch.body, line);
            } else {
                line::drop_line(&mut batch.body, n, reason, n, n);
                emptied += 1;
            }
            n += 1;
        }
        at += line.len();
    }
    batch.dropped += emptied;
    emptied
}

fn end_of_line(text: &[u8], at: usize) -> usize {
    text[at..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |len| at + len + 1)
}

fn stays(line: &[u8]) -> bool {
    let is = |begin: &[u8]| line.starts_with(begin);
    is(br#"{"t":"drop","#) || line.len() <= FRAME_MAX && (is(br#"{"t":"start","#) || is(br#"{"t":"end","#))
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
    let mut cuts = 0;
    while object.len() > max {
        let string = largest(object, true);
        cuts += 1;
        if cuts <= CUTS_MAX && string.text.len() >= LEFT_MIN + 2 * CUT_OVERHEAD {
            let excess = object.len() - max;
            let left = string.text.len().saturating_sub(excess + CUT_OVERHEAD).max(LEFT_MIN);
            cut_string(object, &string, left);
            continue;
        }
        let content = largest(object, false);
        if content.text.len() <= CUT_OVERHEAD {
            return false;
        }
        let marker = marker(&object[content.text.clone()], None);
        line::replace(object, content.text, &marker);
    }
    true
}

/// A value's text, and whether it stands in one of [`CONTENTS`].
#[derive(Default)]
struct Found {
    text: Range<usize>,
    is_content: bool,
}

/// The longest string that is no key, quotes included, or the longest of the contents; empty if there is none.
#[inline(never)]
fn largest(object: &[u8], of_strings: bool) -> Found {
    let mut found = Found::default();
    let mut at = 1;
    while object[at] == b'"' {
        let key_end = end_of_value(object, at);
        let value = key_end + 1..end_of_value(object, key_end + 1);
        let is_content = CONTENTS.contains(&&object[at + 1..key_end - 1]);
        at = value.start;
        while of_strings && at < value.end {
            if object[at] != b'"' {
                at += 1;
                continue;
            }
            let text = at..end_of_value(object, at);
            at = text.end;
            if object[at] != b':' && text.len() > found.text.len() {
                found = Found { text, is_content };
            }
        }
        if !of_strings && is_content && value.len() > found.text.len() {
            found = Found { text: value.clone(), is_content };
        }
        at = (value.end + 1).min(object.len() - 1);
    }
    found
}

/// Leaves about `left` bytes of a string.
fn cut_string(object: &mut Vec<u8>, string: &Found, left: usize) {
    let text = &object[string.text.clone()];
    let start = &text[1..end_of_part(text, left)];
    let shorter = if string.is_content {
        marker(text, Some(start))
    } else {
        let mut shorter = Vec::new();
        line::text(&mut shorter, "\"");
        line::bytes(&mut shorter, start);
        line::text(&mut shorter, "\u{2026}\"");
        shorter
    };
    line::replace(object, string.text.clone(), &shorter);
}

/// Where a string's text may be cut, at most at `at`: between characters and not inside an escape.
fn end_of_part(text: &[u8], at: usize) -> usize {
    let mut end = 1;
    while end < at {
        let next = end
            + match text[end] {
                b'\\' if text[end + 1] != b'u' => 2,
                // A pair of surrogates stays together.
                b'\\'
                    if matches!(
                        text[end + 2..],
                        [b'd' | b'D', b'8' | b'9' | b'a' | b'b' | b'A' | b'B', ..]
                    ) =>
                {
                    12
                }
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
    BodyDigest::of(value).push_base64url(&mut out);
    if let Some(start) = start {
        line::text(&mut out, "\",\"start\":\"");
        line::bytes(&mut out, start);
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
        assert!(marker(&alloc::vec![b'x'; 9_999_999], Some(b"")).len() <= CUT_OVERHEAD);
        const { assert!(LEFT_MIN > CUT_OVERHEAD) }
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
            prop_assert!(fits || texts[0].len() + 100 > max);
            prop_assert!(object.is_object());
        }
    }
}
