//! Going through executions one after the other, and through the batches of each, page by page: the search in steps and the
//! exports do.

use crate::failure::{Doing, Outcome};
use crate::storage::executions::Execution;
use crate::storage::segments::SegmentPosition;
use stepseal_protocol::query::{Position, Sort};

/// Where a page begins: after an execution, or within the one that follows it.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) after: Position,
    pub(crate) within: Option<(String, SegmentPosition)>,
}

/// The place after an execution, in lists by start.
pub(crate) fn position_after(from: i64, execution: &Execution) -> Position {
    Position { from, key: execution.sort_key(Sort::Start), id: execution.id.clone() }
}

impl Place {
    /// Where the batches of an execution begin that stands at this place.
    pub(crate) fn position_in(&self, id: &str) -> SegmentPosition {
        match &self.within {
            Some((within, position)) if within == id => position.clone(),
            _ => SegmentPosition::first(),
        }
    }

    pub(crate) fn to_text(&self) -> String {
        match &self.within {
            Some((id, position)) => {
                format!("{}\n{id}|{}|{}", self.after.to_text(), position.writer, position.k)
            }
            None => self.after.to_text(),
        }
    }

    /// Of a cursor's text.
    pub(crate) fn open(text: &str) -> Outcome<Self> {
        Ok(Self::parse(text).ok_or("a cursor of ours").doing("opening a cursor")?)
    }

    fn parse(text: &str) -> Option<Self> {
        let Some((after, within)) = text.split_once('\n') else {
            return Some(Self { after: Position::parse(text)?, within: None });
        };
        let mut parts = within.splitn(3, '|');
        let (id, writer, k) = (parts.next()?, parts.next()?, parts.next()?.parse().ok()?);
        let position = SegmentPosition { writer: writer.to_owned(), k };
        Some(Self { after: Position::parse(after)?, within: Some((id.to_owned(), position)) })
    }
}
