//! After a new root came: bodies sealed under an older one, or under none, are sealed anew. A walk over all
//! rows in order of their keys, a page of keys and a slice of bodies a run. A second walk finds what isolates
//! that did not know the new root yet stored behind the first.

use super::progress;
use crate::failure::{Doing, Outcome};
use crate::storage::cipher;
use crate::storage::resealing::{self, RowKey};
use serde::{Deserialize, Serialize};
use worker::Env;

const CHORE: &str = "resealing";
const PAGE: u32 = 500;
const SLICE: usize = 20;
const WALKS: u8 = 2;

/// How far the walk under a root has come.
#[derive(Default, Serialize, Deserialize)]
struct Walk {
    root: String,
    walks: u8,
    after: RowKey,
}

pub(super) async fn run(env: &Env) -> Outcome<()> {
    let doing = "resealing";
    let root = cipher::newest_root(env)?;
    let stored = progress::read(env, CHORE).await?;
    let stored: Option<Walk> = stored.as_deref().map(serde_json::from_str).transpose().doing(doing)?;
    let mut walk = stored
        .filter(|walk| walk.root == root)
        .unwrap_or_else(|| Walk { root: root.clone(), ..Walk::default() });
    if walk.walks >= WALKS {
        return Ok(());
    }
    let page = resealing::page(env, &walk.after, PAGE).await?;
    let mut resealed = 0;
    for row in &page {
        if resealed == SLICE {
            break;
        }
        if !row.is_under(&root) {
            row.reseal(env).await?;
            resealed += 1;
        }
        walk.after = row.key();
    }
    let at_end = page.len() < PAGE as usize && page.last().is_none_or(|last| last.key() == walk.after);
    if at_end {
        walk.walks += 1;
        walk.after = RowKey::default();
    }
    progress::write(env, CHORE, &serde_json::to_string(&walk).doing(doing)?).await
}
