//! The fair limits of a project and of each session, spent from leases.
//!
//! The buckets live in one Durable Object a project ([`crate::meter::object`]). So that not every batch pays a
//! call, an isolate takes a little more than it needs and spends the rest on the batches that follow; what it
//! does not spend in time is lost, never lent twice, so no more is ever admitted than the buckets allow.
//! The same call says whether the month's budget is used up.

use crate::call::Call;
use crate::failure::{Fault, Outcome, Refusal};
use crate::meter::object::{Answer, Ask, Lent, Need, Take};
use crate::meter::{ask, counts};
use crate::respond::members;
use std::cell::RefCell;
use std::collections::HashMap;
use stepseal_protocol::envelope::Verified;
use stepseal_protocol::ingest::admission::{Limits, Project};
use stepseal_protocol::ingest::budget::{Standing, Usage};
use stepseal_protocol::problem::{Code, Problem};

/// How long an isolate may spend a project's lease, in milliseconds. Short, so that a burst in one place does
/// not starve another, and that an exhausted budget is noticed.
const PROJECT_LEASE_MS: u64 = 3_000;
/// The same for a session's: its page mostly meets one isolate.
const SESSION_LEASE_MS: u64 = 30_000;
/// Leases at which those that ran out are dropped, and all if none did: a bound, not a policy.
const LEASES_MAX: usize = 4_096;

thread_local! {
    static LEASES: RefCell<Leases> = RefCell::new(Leases::default());
}

/// By project, or by project and session.
#[derive(Default)]
struct Leases(HashMap<String, Lease>);

#[derive(Clone, Copy, Default)]
struct Lease {
    bytes: u64,
    steps: u64,
    until: u64,
    /// Steps that were left in the bucket when the lease was taken, for the `RateLimit` header.
    steps_left: u64,
    /// The month's use as far as this isolate knows.
    used: Usage,
}

impl Lease {
    const fn covers(&self, need: Need, now: u64) -> bool {
        now < self.until && self.bytes >= need.bytes && self.steps >= need.steps
    }
}

impl Leases {
    fn covers(&self, key: &str, need: Need, now: u64) -> bool {
        self.0.get(key).is_some_and(|lease| lease.covers(need, now))
    }

    /// Spends what the lease covers, and says how many steps are left.
    fn spend(&mut self, key: &str, need: Need) -> u64 {
        let Some(lease) = self.0.get_mut(key) else { return 0 };
        lease.bytes = lease.bytes.saturating_sub(need.bytes);
        lease.steps = lease.steps.saturating_sub(need.steps);
        lease.steps + lease.steps_left
    }

    fn add(&mut self, key: &str, lent: Lent, now: u64, life_ms: u64) {
        if self.0.len() >= LEASES_MAX {
            self.0.retain(|_, lease| now < lease.until);
            if self.0.len() >= LEASES_MAX {
                self.0.clear();
            }
        }
        let lease = self.0.entry(key.to_owned()).or_default();
        if lease.until <= now {
            *lease = Lease { used: lease.used, ..Lease::default() };
        }
        lease.bytes += lent.bytes;
        lease.steps += lent.steps;
        lease.until = now + life_ms;
        lease.steps_left = lent.steps_left;
    }

    fn knows_exhausted(&self, project: &Project) -> bool {
        let used = self.0.get(&project.id).map(|lease| lease.used).unwrap_or_default();
        project.budget.standing(&used) == Standing::Exhausted
    }

    fn set_used(&mut self, project: &str, used: Usage) {
        self.0.entry(project.to_owned()).or_default().used = used;
    }
}

/// Notes that a batch was stored, so that this isolate notices at once when the budget is used up.
pub(crate) fn charge(project: &str, usage: Usage) {
    LEASES.with_borrow_mut(|leases| {
        if let Some(lease) = leases.0.get_mut(project) {
            lease.used = lease.used.plus(usage);
        }
    });
}

/// Whose limits a batch spends.
pub(crate) struct Spender<'a> {
    project: &'a Project,
    /// The session's id; a server's batch has none.
    session: Option<&'a str>,
}

impl<'a> Spender<'a> {
    pub(crate) fn of(project: &'a Project, batch: &'a Verified<'_>) -> Self {
        Self { project, session: batch.claims().map(|claims| claims.sid.as_str()) }
    }

    fn session_key(&self) -> Option<String> {
        self.session.map(|session| format!("{} {session}", self.project.id))
    }

    /// Spends `bytes`, or refuses.
    pub(crate) async fn spend_bytes(&self, call: &Call, bytes: u64) -> Outcome<()> {
        self.spend(call, Need { bytes, steps: 0 }).await.map(|_| ())
    }

    /// Spends `steps` (events), or refuses. Returns the headers that tell the sender where it stands
    /// (draft-ietf-httpapi-ratelimit-headers).
    pub(crate) async fn spend_steps(&self, call: &Call, steps: u64) -> Outcome<Vec<(&'static str, String)>> {
        let (left, left_of_session) = self.spend(call, Need { bytes: 0, steps }).await?;
        let of_session = left_of_session.map(|left| format!(", \"session-steps\";r={left}"));
        let standing = format!("\"steps\";r={left}{}", of_session.unwrap_or_default());
        Ok(vec![self.policy(), ("RateLimit", standing)])
    }

    /// Spends from leases, fetching what they lack. What is fetched is spent here before anything is awaited,
    /// so that batches under way at the same time do not take it from each other.
    async fn spend(&self, call: &Call, need: Need) -> Outcome<(u64, Option<u64>)> {
        let (project_key, session_key) = (self.project.id.as_str(), self.session_key());
        let (has_project, has_session) = LEASES.with_borrow(|leases| {
            let has = |key: &str| leases.covers(key, need, call.now);
            let may_store = !leases.knows_exhausted(self.project);
            (may_store && has(project_key), session_key.as_deref().is_none_or(has))
        });
        if !(has_project && has_session) {
            // What a lease covers is taken out of it first: by the time the answer is here it may be gone.
            return self.fetch_and_spend(call, need, has_project, has_session).await;
        }
        Ok(LEASES.with_borrow_mut(|leases| {
            (leases.spend(project_key, need), session_key.as_deref().map(|key| leases.spend(key, need)))
        }))
    }

    async fn fetch_and_spend(
        &self,
        call: &Call,
        need: Need,
        has_project: bool,
        has_session: bool,
    ) -> Outcome<(u64, Option<u64>)> {
        let (project_key, session_key) = (self.project.id.as_str(), self.session_key());
        let mut left = LEASES.with_borrow_mut(|leases| {
            let spend =
                |leases: &mut Leases, key: &str, has: bool| if has { leases.spend(key, need) } else { 0 };
            let of_project = spend(leases, project_key, has_project);
            (of_project, session_key.as_deref().map(|key| spend(leases, key, has_session)))
        });
        let take = Take {
            project: (!has_project).then_some(need),
            session: self.session.filter(|_| !has_session).map(|session| (session.to_owned(), need)),
            limits: self.project.limits,
            session_limits: self.project.session_limits,
            budget: self.project.budget,
            unreported: counts::unreported(project_key),
        };
        let answer = ask(&call.env, project_key, &Ask::Take(Box::new(take))).await?;
        let (project, session) = match answer {
            Answer::Taken { project, session, used } => {
                LEASES.with_borrow_mut(|leases| leases.set_used(project_key, used));
                (project, session)
            }
            Answer::Exhausted { retry_after_ms, bucket } => {
                return match self.spend_meanwhile_leased(call, need, has_project, has_session) {
                    Some((project, session)) => {
                        let of_project = if has_project { left.0 } else { project };
                        Ok((
                            of_project,
                            left.1.map(|of_session| if has_session { of_session } else { session }),
                        ))
                    }
                    None => Err(self.exhausted(retry_after_ms, &bucket).into()),
                };
            }
            Answer::OverBudget { stop_until } => return Err(over_budget(call.now, stop_until).into()),
            _ => return Err(Fault::internal("spending limits", "the meter answered something else").into()),
        };
        LEASES.with_borrow_mut(|leases| {
            if let Some(lent) = project {
                leases.add(project_key, lent, call.now, PROJECT_LEASE_MS);
                left.0 = leases.spend(project_key, need);
            }
            if let (Some(lent), Some(key)) = (session, session_key.as_deref()) {
                leases.add(key, lent, call.now, SESSION_LEASE_MS);
                left.1 = Some(leases.spend(key, need));
            }
        });
        Ok(left)
    }

    /// The bucket may be empty because other batches of this isolate leased what was in it while this one
    /// asked: spends what is still missing from those leases.
    fn spend_meanwhile_leased(
        &self,
        call: &Call,
        need: Need,
        has_project: bool,
        has_session: bool,
    ) -> Option<(u64, u64)> {
        let (project_key, session_key) = (self.project.id.as_str(), self.session_key());
        LEASES.with_borrow_mut(|leases| {
            let covered = |key: &str| leases.covers(key, need, call.now);
            let session = session_key.as_deref().filter(|_| !has_session);
            if !(has_project || covered(project_key)) || !session.is_none_or(covered) {
                return None;
            }
            let of_project = if has_project { 0 } else { leases.spend(project_key, need) };
            Some((of_project, session.map_or(0, |key| leases.spend(key, need))))
        })
    }

    fn exhausted(&self, retry_after_ms: u64, bucket: &str) -> Refusal {
        let seconds = retry_after_ms.div_ceil(1_000).max(1);
        let (whose, unit) =
            bucket.strip_prefix("session-").map_or(("project", bucket), |unit| ("session", unit));
        Refusal {
            problem: Problem::new(
                Code::RateLimited,
                format!(
                    "The {whose}'s limit in {unit} is used up. Wait {seconds} s and send the same batch again."
                ),
            ),
            members: members([("retry_after_s", seconds.into())]),
            headers: vec![
                ("Retry-After", seconds.to_string()),
                self.policy(),
                ("RateLimit", format!("\"{bucket}\";r=0;t={seconds}")),
            ],
        }
    }

    fn policy(&self) -> (&'static str, String) {
        let mut policies = policies("", &self.project.limits);
        if self.session.is_some() {
            policies = format!("{policies}, {}", self::policies("session-", &self.project.session_limits));
        }
        ("RateLimit-Policy", policies)
    }
}

fn policies(prefix: &str, limits: &Limits) -> String {
    let window = |rate: u64, burst: u64| burst.div_ceil(rate);
    format!(
        "\"{prefix}bytes\";q={};w={};qu=\"content-bytes\", \"{prefix}steps\";q={};w={}",
        limits.bytes_burst,
        window(limits.bytes_per_s, limits.bytes_burst),
        limits.steps_burst,
        window(limits.steps_per_s, limits.steps_burst),
    )
}

fn over_budget(now: u64, stop_until: u64) -> Refusal {
    let seconds = stop_until.saturating_sub(now).div_ceil(1_000).max(1);
    Refusal {
        problem: Problem::new(
            Code::BudgetExhausted,
            "The project's budget for this month is used up. Keep the batch and ask again after `stop_until`.",
        ),
        members: members([("retry_after_s", seconds.into()), ("stop_until", stop_until.into())]),
        headers: vec![("Retry-After", seconds.to_string())],
    }
}
