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
/// Leaves that one run takes on for a project; what is left is in the next checkpoint.
const LEAVES: u32 = 2_000;

pub(super) async fn run(env: &Env, now: u64) -> Outcome<()> {
    let after = progress::read(env, CHORE).await?.unwrap_or_default();
    let behind = log::behind(env, &after, PROJECTS).await?;
    for project in &behind {
        sign(env, project, now).await?;
    }
    let last = behind.last().filter(|_| behind.len() == PROJECTS as usize);
    progress::write(env, CHORE, last.map_or("", |project| project.id.as_str())).await
}

async fn sign(env: &Env, behind: &Behind, now: u64) -> Outcome<()> {
    let doing = "making a checkpoint";
    let project = ProjectId::parse(&behind.id).map_err(|_| "a stored project id").doing(doing)?;
    let mut frontier = match log::latest(env, project.as_str()).await? {
        Some(last) => restore(&last).ok_or("a stored frontier").doing(doing)?,
        None => Frontier::default(),
    };
    for row in log::leaves(env, project.as_str(), frontier.size(), behind.leaves, LEAVES).await? {
        if row.seq != frontier.size() {
            // A leaf was taken away: signing over the hole would hide it.
            return Err(Fault::internal(doing, format!("leaf {} is missing", frontier.size())).into());
        }
        frontier.append(row.leaf().hash(project.as_str()));
    }
    let text = checkpoint_text(project.as_str(), frontier.size(), &frontier.root());
    let note = Signer::of(env, &project).await?.note(&text).await?;
    let frontier_hex = hex_encode(&frontier.to_bytes());
    let row = CheckpointRow { size: frontier.size(), made_at: now, note, frontier: frontier_hex };
    log::keep(env, project.as_str(), &row).await
}

fn restore(last: &CheckpointRow) -> Option<Frontier> {
    Frontier::from_bytes(last.size, &hex_decode(&last.frontier).ok()?)
}
