//! Outcomes of this isolate's requests, until they are reported. A report a second and owner, after the
//! reply: the hot path writes nothing for it. An isolate that dies takes at most a second's counts along, of
//! all columns alike, so the ledger balances without them.

use super::object::{Answer, Ask, Report};
use super::{DEPLOYMENT, ask};
use crate::audit;
use crate::call::Call;
use crate::failure::Outcome;
use crate::projects::random;
use serde_json::json;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::Duration;
use stepseal_protocol::api::Operation;
use stepseal_protocol::audit::{Action, Note};
use stepseal_protocol::calendar::day;
use stepseal_protocol::encoding::hex_encode;
use stepseal_protocol::ids::ProjectId;
use stepseal_protocol::ingest::budget::{Budget, Standing, Usage};
use stepseal_protocol::ledger::Count;
use worker::{Date, Delay, Env};

/// How long counts wait for others to go along with.
const WAIT: Duration = Duration::from_secs(1);
/// A report that was due for so long is taken for dead, in milliseconds: its request was cut off.
const DEAD_AFTER_MS: u64 = 10_000;
const ATTEMPTS: usize = 3;
/// Operation of a request that no route was found for.
const NO_ROUTE: &str = "none";

thread_local! {
    static PENDING: RefCell<HashMap<String, Pending>> = RefCell::new(HashMap::new());
    /// When the next report is due, Unix ms; 0 if none is.
    static DUE: Cell<u64> = const { Cell::new(0) };
}

/// What a request is counted as, as far as it is known yet.
#[derive(Default)]
pub(crate) struct Counted {
    /// Whose it is; none until somebody proved to belong to it.
    pub(crate) project: Option<ProjectId>,
    /// Events of its batch.
    pub(crate) events: u64,
    /// Those kept out of the sums.
    pub(crate) rejected: u64,
    /// What it stored, and the budget that is to pay for it.
    pub(crate) stored: Option<(Usage, Budget)>,
}

#[derive(Default)]
struct Pending {
    usage: Usage,
    budget: Option<Budget>,
    counts: HashMap<(String, &'static str, &'static str), [u64; 3]>,
}

impl Pending {
    fn add(&mut self, now: u64, operation: &'static str, outcome: &'static str, counted: &Counted) {
        let sums = self.counts.entry((day(now), operation, outcome)).or_default();
        for (sum, value) in sums.iter_mut().zip([1, counted.events, counted.rejected]) {
            *sum += value;
        }
        if let Some((usage, budget)) = counted.stored {
            self.usage = self.usage.plus(usage);
            self.budget = Some(budget);
        }
    }

    fn into_report(self) -> Outcome<Report> {
        let count =
            |((day, operation, outcome), [requests, events, rejected]): ((String, &str, &str), [u64; 3])| {
                Count {
                    day,
                    operation: operation.into(),
                    outcome: outcome.into(),
                    requests,
                    events,
                    rejected,
                }
            };
        Ok(Report {
            id: hex_encode(&random::<16>()?),
            usage: self.usage,
            budget: self.budget,
            counts: self.counts.into_iter().map(count).collect(),
        })
    }
}

/// Counts a request that is over.
pub(crate) fn note(call: &Call, operation: Option<Operation>, outcome: &'static str) {
    let counted = call.counted.take();
    let owner = counted.project.as_ref().map_or(DEPLOYMENT, ProjectId::as_str);
    let operation = operation.map_or(NO_ROUTE, Operation::as_str);
    PENDING.with_borrow_mut(|pending| {
        pending.entry(owner.to_owned()).or_default().add(call.now, operation, outcome, &counted);
    });
    let due = DUE.get();
    if due != 0 && call.now < due + DEAD_AFTER_MS {
        return;
    }
    DUE.set(call.now + WAIT.as_secs() * 1_000);
    let env = call.env.clone();
    call.context.wait_until(async move {
        Delay::from(WAIT).await;
        DUE.set(0);
        report_all(&env).await;
    });
}

/// What this isolate stored for a project and has not reported.
pub(crate) fn unreported(project: &str) -> Usage {
    PENDING.with_borrow(|pending| pending.get(project).map(|pending| pending.usage).unwrap_or_default())
}

/// Reports a project's counts now, so that whoever reads them here sees what was done here.
pub(crate) async fn report_now(env: &Env, owner: &str) -> Outcome<()> {
    match PENDING.with_borrow_mut(|pending| pending.remove(owner)) {
        Some(pending) => report(env, owner, pending).await,
        None => Ok(()),
    }
}

async fn report_all(env: &Env) {
    for (owner, pending) in PENDING.with_borrow_mut(std::mem::take) {
        if let Err(failure) = report(env, &owner, pending).await {
            worker::console_error!("fault doing=\"reporting counts\" cause=\"{failure:?}\"");
        }
    }
}

async fn report(env: &Env, owner: &str, pending: Pending) -> Outcome<()> {
    let asked = Ask::Report(Box::new(pending.into_report()?));
    let mut answer = ask(env, owner, &asked).await;
    for _ in 1..ATTEMPTS {
        if answer.is_ok() {
            break;
        }
        answer = ask(env, owner, &asked).await;
    }
    match answer? {
        Answer::Reported { crossed: Some(standing) } => note_crossing(env, owner, standing).await,
        _ => Ok(()),
    }
}

/// Leaves word in the audit log, where admins look: once a month for each standing.
async fn note_crossing(env: &Env, owner: &str, standing: Standing) -> Outcome<()> {
    let action = match standing {
        Standing::Within => return Ok(()),
        Standing::Warned => Action::BudgetWarn,
        Standing::Exhausted => Action::BudgetStop,
    };
    let Ok(project) = ProjectId::parse(owner) else { return Ok(()) };
    let note = Note {
        at: Date::now().as_millis(),
        actor: "system".into(),
        action: action.as_str().into(),
        target: String::new(),
        details: json!({}),
    };
    audit::append(env, &project, note).await
}
