//! The prices of a project: what costs are derived from where steps report none.

use super::{read_request, store};
use crate::access::Administrator;
use crate::audit;
use crate::call::Call;
use crate::failure::{Doing, Outcome};
use crate::respond::Reply;
use crate::storage::prices;
use serde_json::json;
use stepseal_protocol::audit::Action;
use stepseal_protocol::digest::BodyDigest;
use stepseal_protocol::prices::PricesRequest;
use stepseal_protocol::problem::{Code, Problem};
use worker::Request;

/// `GET …/prices`: as the truth has them.
pub(crate) async fn show(call: &Call, admin: &Administrator) -> Outcome<Reply> {
    let project = store::read(&call.env, admin.project.as_str()).await?.ok_or_else(store::absent)?;
    Reply::ok(&project.prices.shown())
}

/// `GET …/prices/{version}`.
pub(crate) async fn show_version(call: &Call, admin: &Administrator, version: &str) -> Outcome<Reply> {
    let absent = || Problem::new(Code::PricesNotFound, "The project's prices have no such version.");
    // Beyond 2^53 a number is none that the store could hold.
    let version: u64 = version.parse().ok().filter(|version| *version < 1 << 53).ok_or_else(absent)?;
    let found = prices::versions(&call.env, admin.project.as_str(), std::iter::once(version)).await?;
    Reply::ok(&found.at(Some(version)).ok_or_else(absent)?.shown())
}

/// `PUT …/prices`: a new version, if nobody else made one meanwhile. Batches are priced under it everywhere within 60 s.
pub(crate) async fn replace(request: &mut Request, call: &Call, admin: &Administrator) -> Outcome<Reply> {
    let wanted: PricesRequest = read_request(request).await?;
    let (project, ()) = store::change(call, admin.project.as_str(), |project| {
        project.prices = wanted.follow(&project.prices, call.now)?;
        Ok(())
    })
    .await?;
    let table = &project.prices;
    // The digest ties what stands in the store to the log's chain.
    let text = serde_json::to_vec(table).doing("noting prices")?;
    let details = json!({ "prices": table.prices.len(), "sha256": BodyDigest::of(&text).to_hex() });
    audit::note(call, admin, Action::PricesChange, &table.version.to_string(), details).await?;
    Reply::ok(&table.shown())
}
