//! Reading routes: the list, one execution, its steps, its verification. Every one begins with a
//! [`Reader`](crate::access::Reader), whose project bounds whatever it reads.

mod compare;
mod list;
mod scores;
mod search;
mod shared;
mod show;
mod steps;
mod verify;
pub(crate) mod walk;

pub(crate) use compare::compare;
pub(crate) use list::{list, table};
pub(crate) use scores::add as add_score;
pub(crate) use search::search;
pub(crate) use shared::{sessions, users};
pub(crate) use show::{add_contents_of, add_scores_of, show};
pub(crate) use steps::{StepsPlace, Tables, steps, steps_of};
pub(crate) use verify::verify;
pub(crate) use walk::position_after;

use crate::access::Reader;
use crate::call::Call;
use crate::config::Secrets;
use crate::failure::{Doing, Outcome};
use crate::storage::deletion;
use crate::storage::executions::{self, Execution};
use crate::storage::segments::SegmentPosition;
use stepseal_protocol::ids::{ExecutionId, ProjectId};
use stepseal_protocol::problem::{Code, Problem};
use stepseal_protocol::query::Cursors;

/// The execution at `id` of the reader's project. One of another project is as absent as none.
async fn find(call: &Call, reader: &Reader, id: &str) -> Outcome<(ExecutionId, Execution)> {
    find_in(call, &reader.project, id).await
}

/// The execution at `id` of a project, or why there is none.
pub(crate) async fn find_in(call: &Call, project: &ProjectId, id: &str) -> Outcome<(ExecutionId, Execution)> {
    let absent = || Problem::new(Code::ExecutionNotFound, "The project has no execution of this id.");
    let id = ExecutionId::parse(id).map_err(|_| absent())?;
    if let Some(execution) = executions::one(&call.env, project.as_str(), id.as_str()).await? {
        return Ok((id, execution));
    }
    if deletion::is_deleted(&call.env, project.as_str(), id.as_str()).await? {
        return Err(Problem::new(Code::ExecutionDeleted, "The execution was deleted.").into());
    }
    Err(absent().into())
}

fn cursors(call: &Call, reader: &Reader, query: String) -> Outcome<Cursors> {
    Ok(Cursors::of(&Secrets::of(&call.env)?.oldest_root()?, &reader.project, query))
}

/// Opens a cursor over segments.
fn segment_position(cursors: &Cursors, cursor: Option<&str>) -> Outcome<SegmentPosition> {
    let Some(cursor) = cursor else { return Ok(SegmentPosition::first()) };
    let text = cursors.open(cursor)?;
    let (writer, k) = text.split_once('|').ok_or("a cursor of ours").doing("opening a cursor")?;
    Ok(SegmentPosition { writer: writer.to_owned(), k: k.parse::<i64>().doing("opening a cursor")? })
}

fn segment_cursor(cursors: &Cursors, writer: &str, k: u64) -> String {
    cursors.seal(&format!("{writer}|{k}"))
}
