//! Reading the versions of a project's prices. They never change, so an isolate remembers them.

use super::statement::{Bind, bind};
use crate::failure::{Doing, Outcome};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use stepseal_protocol::batch::Step;
use stepseal_protocol::prices::PriceTable;
use stepseal_protocol::query::usd;
use worker::Env;

/// Tables at which the memory is dropped: a bound, not a policy.
const TABLES_MAX: usize = 256;

thread_local! {
    static TABLES: RefCell<HashMap<(String, u64), Rc<PriceTable>>> = RefCell::new(HashMap::new());
}

#[derive(Deserialize)]
struct Row {
    version: u64,
    prices: String,
}

/// Versions of one project's prices.
#[derive(Default)]
pub(crate) struct Prices(HashMap<u64, Rc<PriceTable>>);

impl Prices {
    /// Adds to a step that is shown what it cost by the prices that its batch was stored under, and the version of those.
    pub(crate) fn add_derived(&self, shown: &mut Map<String, Value>, step: &Step<'_>, version: Option<u64>) {
        if let Some(nano) = self.at(version).and_then(|prices| prices.derive(step)) {
            shown.insert("derived_cost_usd".into(), usd(nano).into());
            shown.insert("price_version".into(), version.into());
        }
    }

    /// The prices of a version, if it is there.
    pub(crate) fn at(&self, version: Option<u64>) -> Option<&PriceTable> {
        self.0.get(&version?).map(Rc::as_ref)
    }
}

/// These versions of a project's prices, as far as they are there.
pub(crate) async fn versions(env: &Env, project: &str, wanted: impl Iterator<Item = u64>) -> Outcome<Prices> {
    let doing = "reading prices";
    let wanted: BTreeSet<u64> = wanted.collect();
    let mut found = Prices::default();
    TABLES.with_borrow(|tables| {
        for version in &wanted {
            if let Some(table) = tables.get(&(project.to_owned(), *version)) {
                found.0.insert(*version, Rc::clone(table));
            }
        }
    });
    let missing: Vec<u64> = wanted.into_iter().filter(|version| !found.0.contains_key(version)).collect();
    if missing.is_empty() {
        return Ok(found);
    }
    let database = env.d1("DB").doing(doing)?;
    let missing = serde_json::to_string(&missing).doing(doing)?;
    let values = [Bind::Text(project), Bind::Text(&missing)];
    let rows = bind(&database, include_str!("price_tables.sql"), &values).doing(doing)?.all().await;
    for row in rows.storing(doing)?.results::<Row>().doing(doing)? {
        let table: Rc<PriceTable> = Rc::new(serde_json::from_str(&row.prices).doing(doing)?);
        TABLES.with_borrow_mut(|tables| {
            if tables.len() >= TABLES_MAX {
                tables.clear();
            }
            tables.insert((project.to_owned(), row.version), Rc::clone(&table));
        });
        found.0.insert(row.version, table);
    }
    Ok(found)
}

/// Forgets the prices of a deleted project.
pub(crate) async fn delete(env: &Env, project: &str) -> Outcome<()> {
    let doing = "deleting prices";
    let database = env.d1("DB").doing(doing)?;
    let statement = bind(&database, include_str!("delete_price_tables.sql"), &[Bind::Text(project)]);
    statement.doing(doing)?.run().await.storing(doing)?;
    Ok(())
}
