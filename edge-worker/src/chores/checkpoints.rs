//! Signed checkpoints of the logs that grew, a slice of projects and of leaves a run.

use super::progress;
use crate::failure::{Doing, Fault, Outcome};
use crate::storage::log::{self, Behind, CheckpointRow};
use crate::transparency::signer::Signer;
use stepseal_protocol::encoding::{hex_decode, hex_encode};
use stepseal_protocol::ids::ProjectId;
use stepseal_protocol::transparency::{Frontier, checkpoint_text};
use worker::Env;

const CHORE: &str = "checkpoints";
const PROJECTS: u32 = 10;
/// Leaves that one query reads.
const PAGE: u32 = 2_000;
/// Leaves that one run takes on in all; what is left is in the next checkpoint.
const LEAVES_A_RUN: u64 = 20_000;

pub(super) async fn run(env: &Env, now: u64) -> Outcome<()> {
    let after = progress::read(env, CHORE).await?.unwrap_or_default();
    let behind = log::behind(env, &after, PROJECTS).await?;
    let (mut left, mut last) = (LEAVES_A_RUN, None);
    for project in &behind {
        // A log that cannot be signed, because somebody took a leaf away, must not keep the others from it.
        match sign(env, project, left, now).await {
            Ok(signed) => left -= signed,
            Err(failure) => super::log(CHORE, Err::<(), _>(failure)),
        }
        last = Some(project.id.as_str());
        if left == 0 {
            break;
        }
    }
    let all_done = left > 0 && behind.len() < PROJECTS as usize;
    progress::write(env, CHORE, last.filter(|_| !all_done).unwrap_or_default()).await
}

/// Signs a checkpoint over up to `most` new leaves, and says how many there were.
async fn sign(env: &Env, behind: &Behind, most: u64, now: u64) -> Outcome<u64> {
    let doing = "making a checkpoint";
    let project = ProjectId::parse(&behind.id).map_err(|_| "a stored project id").doing(doing)?;
    let mut frontier = match log::latest(env, project.as_str()).await? {
        Some(last) => restore(&last).ok_or("a stored frontier").doing(doing)?,
        None => Frontier::default(),
    };
    let (start, end) = (frontier.size(), behind.leaves.min(frontier.size() + most));
    while frontier.size() < end {
        append_page(env, &project, &mut frontier, end).await?;
    }
    let text = checkpoint_text(project.as_str(), frontier.size(), &frontier.root());
    let note = Signer::of(env, &project).await?.note(&text).await?;
    let frontier_hex = hex_encode(&frontier.to_bytes());
    let row = CheckpointRow { size: frontier.size(), made_at: now, note, frontier: frontier_hex };
    log::keep(env, project.as_str(), &row).await?;
    Ok(row.size - start)
}

async fn append_page(env: &Env, project: &ProjectId, frontier: &mut Frontier, end: u64) -> Outcome<()> {
    let missing = |seq: u64| Fault::internal("making a checkpoint", format!("leaf {seq} is missing"));
    let page = log::leaves(env, project.as_str(), frontier.size(), end, PAGE).await?;
    if page.is_empty() {
        return Err(missing(frontier.size()).into());
    }
    for row in page {
        if row.seq != frontier.size() {
            // A leaf was taken away: signing over the hole would hide it.
            return Err(missing(frontier.size()).into());
        }
        frontier.append(row.leaf().hash(project.as_str()));
    }
    Ok(())
}

fn restore(last: &CheckpointRow) -> Option<Frontier> {
    Frontier::from_bytes(last.size, &hex_decode(&last.frontier).ok()?)
}
