//! A batch's content: from verified bytes to typed events.
//!
//! [`inflate`] turns the bytes as sent into NDJSON, bounded in size and ratio; [`Batch::parse`] reads
//! the header line and every event. Faults of the frame, the header or the numbering refuse the whole
//! batch with a [`Problem`] that names the line. A fault inside one event does not: the event stays in
//! the stored bytes, is left out of the roll-ups and is reported as a [`Verdict`].

mod event;
mod header;
mod inflate;

pub use event::{End, EndStatus, Event, Kind, Score, Start, Step, StepKind, StepStatus, Usage};
pub use header::Header;
pub use inflate::inflate;

use crate::digest::BodyDigest;
use crate::limits::{DEPTH_MAX, EVENTS_MAX, NUMBER_MAX};
use crate::problem::{Code, Problem};
use serde::Serialize;
use std::format;
use std::string::String;
use std::vec::Vec;

/// A parsed batch. Borrows its texts from the NDJSON.
#[derive(Debug)]
pub struct Batch<'a> {
    /// The first line.
    pub header: Header<'a>,
    /// SHA-256 of the NDJSON.
    pub digest: BodyDigest,
    /// The sound events, in order.
    pub events: Vec<Event<'a>>,
    /// What was found wrong with single events.
    pub verdicts: Vec<Verdict>,
}

/// A fault of one event in a batch that was otherwise taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The event's number.
    pub n: u64,
    /// Its line in the body, counted from 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
}

impl<'a> Batch<'a> {
    /// Parses `ndjson`: a header line, then 1 to 1,000 event lines.
    pub fn parse(ndjson: &'a [u8]) -> Result<Self, Problem> {
        let text = core::str::from_utf8(ndjson).map_err(|fault| {
            let line = ndjson[..fault.valid_up_to()].split(|byte| *byte == b'\n').count() as u64;
            Problem::new(Code::Utf8Invalid, format!("Byte {} is not UTF-8.", fault.valid_up_to()))
                .at_line(line)
        })?;
        let mut lines = (1..).zip(text.strip_suffix('\n').unwrap_or(text).split('\n'));
        let header = match lines.next() {
            Some((line, text)) => {
                check_depth(text, line)?;
                Header::parse(text)?
            }
            None => return Err(Problem::new(Code::BodyMalformed, "The body is empty.").at_line(1)),
        };
        let mut batch =
            Self { header, digest: BodyDigest::of(ndjson), events: Vec::new(), verdicts: Vec::new() };
        for (line, text) in lines {
            batch.take(line, text)?;
        }
        if batch.count() == 0 {
            return Err(Problem::new(Code::BodyMalformed, "The batch holds no event.").at_line(2));
        }
        Ok(batch)
    }

    /// How many events the batch holds, sound or not.
    pub fn count(&self) -> u64 {
        (self.events.len() + self.verdicts.len()) as u64
    }

    fn take(&mut self, line: u64, text: &'a str) -> Result<(), Problem> {
        check_depth(text, line)?;
        let expected = self.header.n + self.count();
        if self.count() == EVENTS_MAX as u64 {
            return Err(Problem::new(
                Code::TooManyEvents,
                format!("A batch holds at most {EVENTS_MAX} events; cut the rest into further batches."),
            )
            .at_line(line));
        }
        if expected > NUMBER_MAX {
            return Err(Problem::new(Code::EventGap, "The event's number is beyond 2^53 - 1.").at_line(line));
        }
        match Event::parse(text, line, expected)? {
            Ok(event) => self.events.push(event),
            Err(verdict) => self.verdicts.push(verdict),
        }
        Ok(())
    }
}

/// Refuses a line that nests deeper than the limit, before a recursive parser sees it.
fn check_depth(text: &str, line: u64) -> Result<(), Problem> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return Err(Problem::new(
                        Code::NestingTooDeep,
                        format!("Arrays and objects nest deeper than {DEPTH_MAX} levels."),
                    )
                    .at_line(line));
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}
