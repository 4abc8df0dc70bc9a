//! The message table of an execution: each message travels once (SPEC.md, "Messages").
//!
//! Agents send their whole history to the model at each call. Here a message is known by its text, so the
//! second time it is a range of the table. A message whose event was lost is forgotten, so that the next
//! step which needs it sends it again under a new index; indexes are never reused.

use super::capture::Fields;
use super::json::{elements, member};
use super::line;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Range;

#[derive(Default)]
pub(super) struct MessageTable {
    messages: Vec<Message>,
}

struct Message {
    hash: u32,
    /// Number of the `msg` event that carries it.
    n: u64,
    /// `None` once that event is lost.
    text: Option<Box<[u8]>>,
}

impl MessageTable {
    /// The index of `text`, tried first at `expected`: histories come in order.
    pub(super) fn index_of(&self, text: &[u8], expected: usize) -> Option<usize> {
        let is = |message: &Message| message.text.as_deref() == Some(text);
        if self.messages.get(expected).is_some_and(is) {
            return Some(expected);
        }
        let hash = fnv1a(text);
        self.messages.iter().position(|message| message.hash == hash && is(message))
    }

    /// The index that the next new message gets.
    pub(super) fn next_index(&self) -> usize {
        self.messages.len()
    }

    /// Takes in a message that event `n` carries.
    pub(super) fn add(&mut self, text: &[u8], n: u64) {
        self.messages.push(Message { hash: fnv1a(text), n, text: Some(text.into()) });
    }

    /// Forgets the messages of events that are lost.
    pub(super) fn forget(&mut self, events: &Range<u64>) {
        for message in self.messages.iter_mut().filter(|message| events.contains(&message.n)) {
            message.text = None;
        }
    }
}

/// Where in a step's fields a list of messages stands.
pub(super) struct MessageList {
    list: Range<usize>,
    elements: Vec<Range<usize>>,
}

impl MessageList {
    /// Finds `input` that is a list of messages, or an object with one under `messages`. A list of messages is
    /// a list of objects of which the first has a `role`.
    pub(super) fn find(fields: &Fields) -> Option<Self> {
        let text = fields.as_bytes();
        let mut list = member(text, 0, b"input")?;
        if text[list.start] == b'{' {
            list = member(text, list.start, b"messages")?;
        }
        if text[list.start] != b'[' {
            return None;
        }
        let elements = elements(text, list.start);
        member_of_object(text, elements.first()?.start)?;
        elements.iter().all(|element| text[element.start] == b'{').then_some(Self { list, elements })
    }

    /// The texts of the messages.
    pub(super) fn texts<'a>(&self, fields: &'a Fields) -> impl Iterator<Item = &'a [u8]> {
        self.elements.iter().map(|element| &fields.as_bytes()[element.clone()])
    }

    /// Puts ranges of the table where the list stands.
    pub(super) fn replace(self, fields: &mut Fields, indexes: &[usize]) {
        let mut value = Vec::new();
        line::text(&mut value, "{\"$msgs\":[");
        let mut rest = indexes;
        while let Some(first) = rest.first() {
            let count = rest.iter().zip(*first..).take_while(|(index, next)| **index == *next).count();
            line::text(&mut value, if rest.len() == indexes.len() { "[" } else { ",[" });
            line::number(&mut value, *first as u64);
            line::text(&mut value, ",");
            line::number(&mut value, count as u64);
            line::text(&mut value, "]");
            rest = &rest[count..];
        }
        line::text(&mut value, "]}");
        fields.splice(self.list, &value);
    }
}

fn member_of_object(text: &[u8], at: usize) -> Option<Range<usize>> {
    if text[at] == b'{' { member(text, at, b"role") } else { None }
}

/// FNV-1a, 32 bits: only sorts out candidates, the texts decide.
fn fnv1a(text: &[u8]) -> u32 {
    text.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::super::capture::capture;
    use super::{MessageList, MessageTable};

    #[test]
    fn lists_are_found_where_messages_are_passed() {
        for (fields, found) in [
            (r#"{"input":[{"role":"user","content":"a"},{"content":"b"}]}"#, 2),
            (r#"{"id":"1","input":{"model":"m","messages":[{"role":"user"}],"temperature":1}}"#, 1),
            (r#"{"input":[]}"#, 0),
            (r#"{"input":[{"type":"x"}]}"#, 0),
            (r#"{"input":[{"role":"user"},"b"]}"#, 0),
            (r#"{"input":["role"]}"#, 0),
            (r#"{"input":{"messages":"x"}}"#, 0),
            (r#"{"input":"messages"}"#, 0),
            (r#"{"output":[{"role":"user"}]}"#, 0),
        ] {
            let fields = capture(fields).unwrap();
            assert_eq!(MessageList::find(&fields).map_or(0, |list| list.elements.len()), found);
        }
    }

    #[test]
    fn ranges_join_what_follows_on() {
        let mut fields = capture(r#"{"a":1,"input":{"messages":[{"role":"u"}],"t":0},"z":2}"#).unwrap();
        MessageList::find(&fields).unwrap().replace(&mut fields, &[0, 1, 2, 7, 8, 3]);
        assert_eq!(
            core::str::from_utf8(fields.as_bytes()),
            Ok(r#"{"a":1,"input":{"messages":{"$msgs":[[0,3],[7,2],[3,1]]},"t":0},"z":2}"#)
        );
    }

    #[test]
    fn a_message_is_known_by_its_text_until_it_is_lost() {
        let mut table = MessageTable::default();
        table.add(b"a", 1);
        table.add(b"b", 2);
        assert_eq!(table.index_of(b"b", 1), Some(1));
        assert_eq!(table.index_of(b"b", 7), Some(1));
        assert_eq!(table.index_of(b"c", 0), None);
        table.forget(&(1..2));
        assert_eq!(table.index_of(b"a", 0), None);
        assert_eq!(table.next_index(), 2);
        table.add(b"a", 5);
        assert_eq!(table.index_of(b"a", 0), Some(2));
    }
}
