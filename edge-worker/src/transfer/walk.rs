//! Which executions a page of an export goes through.

use crate::access::Reader;
use crate::call::Call;
use crate::executions::walk::Place;
use crate::executions::{find_in, position_after};
use crate::failure::{Doing, Outcome};
use crate::storage::executions::Execution;
use crate::storage::listing;
use crate::storage::segments::{Segment, SegmentPosition};
use stepseal_protocol::query::{Position, Window};
use stepseal_protocol::transfer::ExportQuery;

/// The executions of a page, and where they stand.
pub(super) struct Walk {
    pub(super) executions: Vec<Execution>,
    /// Where the page begins.
    pub(super) begin: Place,
    /// Where the list goes on behind them.
    next: Option<Position>,
    single: bool,
}

impl Walk {
    /// Of a question at a place, at its beginning if there is none; of at most so many executions.
    pub(super) async fn begin(
        call: &Call,
        reader: &Reader,
        query: &ExportQuery,
        place: Option<Place>,
        most: u32,
    ) -> Outcome<Self> {
        let now = i64::try_from(call.now).doing("telling the time")?;
        let mut list = query.list.clone();
        let mut window = list.window(now)?;
        let begin = place.unwrap_or_else(|| Place { after: Position::first(window), within: None });
        if let Some(id) = &query.execution {
            let (_, execution) = find_in(call, &reader.project, id.as_str()).await?;
            return Ok(Self { executions: vec![execution], begin, next: None, single: true });
        }
        list.page.limit = list.page.limit.min(most);
        // Without `from` the window moves with the clock: all pages are of the first one's.
        window = Window { from: begin.after.from, ..window };
        let page = listing::page(call, &reader.project, &list, window, &begin.after).await?;
        Ok(Self { executions: page.executions, begin, next: page.next, single: false })
    }

    /// The execution that it is of alone, for the audit log.
    pub(super) fn target(&self) -> &str {
        self.executions.first().filter(|_| self.single).map_or("", |execution| execution.id.as_str())
    }

    /// The place after an execution.
    pub(super) fn after(&self, execution: &Execution) -> Position {
        position_after(self.begin.after.from, execution)
    }

    /// Where the next page begins once all of this one's are done.
    pub(super) fn end(self) -> Option<Place> {
        self.next.map(|after| Place { after, within: None })
    }
}

/// The place after a batch.
pub(super) fn after_segment(segment: &Segment) -> Outcome<SegmentPosition> {
    Ok(SegmentPosition { writer: segment.writer.clone(), k: i64::try_from(segment.k).doing("paging")? })
}
