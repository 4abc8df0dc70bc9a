//! The message table of an execution: each message travels once (SPEC.md, "Messages").
//!
//! Agents send their whole history to the model at each call. Here a message is known by its text, so the
//! second time it is a range of the table. A message whose event was lost is forgotten, so that the next
//! step which needs it sends it again under a new index; indexes are never reused.

use super::json::{end_of_value, member};
use super::line;
use alloc::vec::Vec;
use core::ops::Range;

#[derive(Default)]
pub(super) struct MessageTable {
    messages: Vec<Message>,
}

struct Message {
    /// Number of the `msg` event that carries it.
    n: u64,
    /// Most messages differ in it already.
    hash: u32,
    /// Empty once that event is lost.
    text: Vec<u8>,
}

/// FNV-1a, with its parameters for 32 bits.
fn hash(text: &[u8]) -> u32 {
    text.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

impl MessageTable {
    /// The index of `text`, tried first at `expected`: histories come in order. Of one that is not there, the hash to
    /// [`add`](Self::add) it with.
    pub(super) fn index_of(&self, text: &[u8], expected: usize) -> Result<usize, u32> {
        if self.messages.get(expected).is_some_and(|message| message.text == text) {
            return Ok(expected);
        }
        let hash = hash(text);
        self.messages.iter().position(|message| message.hash == hash && message.text == text).ok_or(hash)
    }

    /// The index that the next new message gets.
    pub(super) fn next_index(&self) -> usize {
        self.messages.len()
    }

    /// Takes in a message that event `n` carries.
    pub(super) fn add(&mut self, text: &[u8], hash: u32, n: u64) {
        self.messages.push(Message { n, hash, text: text.to_vec() });
    }

    /// Forgets the messages of events that are lost.
    pub(super) fn forget(&mut self, events: &Range<u64>) {
        for message in self.messages.iter_mut().filter(|message| events.contains(&message.n)) {
            message.text = Vec::new();
        }
    }
}

/// Where in a step's fields a list of messages stands: `input`, or what it has under `messages`. A list of messages is
/// a list of objects of which the first has a `role`.
pub(super) fn find_list(text: &[u8]) -> Option<Range<usize>> {
    let mut list = member(text, 0, b"input")?;
    if text[list] == b'{' {
        list = member(text, list, b"messages")?;
    }
    if text[list] != b'[' || text[list + 1] != b'{' {
        return None;
    }
    member(text, list + 1, b"role")?;
    let mut at = list + 1;
    while let Some(element) = next_element(text, at) {
        if text[element.start] != b'{' {
            return None;
        }
        at = element.end;
    }
    Some(list..at + 1)
}

/// The element of an array that begins at or after `at`, where the bracket, a comma or the element itself stands.
pub(super) fn next_element(text: &[u8], at: usize) -> Option<Range<usize>> {
    let at = at + usize::from(matches!(text[at], b'[' | b','));
    (text[at] != b']').then(|| at..end_of_value(text, at))
}

/// Ranges of the table, as they are written in the place of a list.
pub(super) struct Ranges {
    text: Vec<u8>,
    first: usize,
    count: usize,
}

impl Ranges {
    pub(super) fn new() -> Self {
        Self { text: Vec::new(), first: 0, count: 0 }
    }

    /// The message at `index` comes next.
    pub(super) fn push(&mut self, index: usize) {
        if self.count > 0 && index != self.expected() {
            self.close();
        }
        if self.count == 0 {
            self.first = index;
        }
        self.count += 1;
    }

    /// The index that would continue the range.
    pub(super) fn expected(&self) -> usize {
        self.first + self.count
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.close();
        line::text(&mut self.text, "]}");
        self.text
    }

    fn close(&mut self) {
        let before = if self.text.is_empty() { "{\"$msgs\":[[" } else { ",[" };
        line::text(&mut self.text, before);
        line::number(&mut self.text, self.first as u64);
        line::text(&mut self.text, ",");
        line::number(&mut self.text, self.count as u64);
        line::text(&mut self.text, "]");
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::{MessageTable, Ranges, find_list, hash, next_element};

    fn count(text: &[u8]) -> usize {
        let Some(list) = find_list(text) else { return 0 };
        let (mut at, mut count) = (list.start, 0);
        while let Some(element) = next_element(text, at) {
            (at, count) = (element.end, count + 1);
        }
        assert_eq!(at + 1, list.end);
        count
    }

    #[test]
    fn lists_are_found_where_messages_are_passed() {
        for (fields, found) in [
            (r#"{"input":[{"role":"user","content":"a"},{"content":"b]"}]}"#, 2),
            (r#"{"id":"1","input":{"model":"m","messages":[{"role":"user"}],"temperature":1}}"#, 1),
            (r#"{"input":[]}"#, 0),
            (r#"{"input":[{}]}"#, 0),
            (r#"{"input":[{"type":"x"}]}"#, 0),
            (r#"{"input":[{"role":"user"},"b"]}"#, 0),
            (r#"{"input":["role"]}"#, 0),
            (r#"{"input":{"messages":"x"}}"#, 0),
            (r#"{"input":"messages"}"#, 0),
            (r#"{"output":[{"role":"user"}]}"#, 0),
        ] {
            assert_eq!(count(fields.as_bytes()), found, "{fields}");
        }
    }

    #[test]
    fn ranges_join_what_follows_on() {
        let mut ranges = Ranges::new();
        for index in [0, 1, 2, 7, 8, 3] {
            ranges.push(index);
        }
        assert_eq!(ranges.finish(), br#"{"$msgs":[[0,3],[7,2],[3,1]]}"#);
    }

    #[test]
    fn a_message_is_known_by_its_text_until_it_is_lost() {
        let mut table = MessageTable::default();
        table.add(b"a", hash(b"a"), 1);
        table.add(b"b", hash(b"b"), 2);
        assert_eq!(table.index_of(b"b", 1).ok(), Some(1));
        assert_eq!(table.index_of(b"b", 7).ok(), Some(1));
        assert_eq!(table.index_of(b"c", 0).ok(), None);
        table.forget(&(1..2));
        assert_eq!(table.index_of(b"a", 0).ok(), None);
        assert_eq!(table.next_index(), 2);
        table.add(b"a", hash(b"a"), 5);
        assert_eq!(table.index_of(b"a", 0).ok(), Some(2));
    }
}
