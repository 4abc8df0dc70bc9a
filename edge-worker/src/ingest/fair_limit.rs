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
/// An answer of the meter that takes longer has got lost with its request.
const AWAITED_MS: u64 = 2_000;
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
    /// Until when the lease that was asked for last is expected.
    awaited_until: u64,
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
            *lease = Lease { used: lease.used, awaited_until: lease.awaited_until, ..Lease::default() };
        }
        lease.bytes += lent.bytes;
        lease.steps += lent.steps;
        lease.until = now + life_ms;
        lease.awaited_until = 0;
        lease.steps_left = lent.steps_left;
    }

    /// Whether to ask for a lease beyond what is needed: not while one is awaited, or batches that come at the same time
    /// would empty the bucket between them and some be refused.
    fn wants_lease(&mut self, key: &str, now: u64) -> bool {
        let lease = self.0.entry(key.to_owned()).or_default();
        let wants = lease.awaited_until <= now;
        if wants {
            lease.awaited_until = now + AWAITED_MS;
        }
        wants
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

/// Something of the project's limits, of the session's, or of both.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Parts {
    project: bool,
    session: bool,
}

/// Steps that are left; of a session only where there is one.
struct Left {
    project: u64,
    session: Option<u64>,
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

    /// An import's: of the project alone.
    pub(crate) fn of_import(project: &'a Project) -> Self {
        Self { project, session: None }
    }

    fn session_key(&self) -> Option<String> {
        self.session.map(|session| format!("{} {session}", self.project.id))
    }

    /// Spends `bytes`, or refuses.
    pub(crate) async fn spend_bytes(&self, call: &Call, bytes: u64) -> Outcome<()> {
        self.spend(call, Need { bytes, steps: 0, lease: true }).await.map(|_| ())
    }

    /// Spends `steps` (events), or refuses. Returns the headers that tell the sender where it stands
    /// (draft-ietf-httpapi-ratelimit-headers).
    pub(crate) async fn spend_steps(&self, call: &Call, steps: u64) -> Outcome<Vec<(&'static str, String)>> {
        let left = self.spend(call, Need { bytes: 0, steps, lease: true }).await?;
        let of_session = left.session.map(|left| format!(", \"session-steps\";r={left}"));
        let standing = format!("\"steps\";r={}{}", left.project, of_session.unwrap_or_default());
        Ok(vec![self.policy(), ("RateLimit", standing)])
    }

    /// Spends from leases, fetching what they lack. What a lease covers is taken out of it before anything is
    /// awaited, and what is fetched when it is here, so that batches under way at the same time do not take it
    /// from each other.
    async fn spend(&self, call: &Call, need: Need) -> Outcome<Left> {
        let covered = self.covered(call, need);
        let mut left = Left { project: 0, session: self.session.map(|_| 0) };
        self.spend_leased(need, covered, &mut left);
        let missing = Parts { project: !covered.project, session: !covered.session };
        if missing == Parts::default() {
            return Ok(left);
        }
        match ask(&call.env, &self.project.id, &self.request(call, need, missing)).await? {
            Answer::Taken { project, session, used } => {
                self.keep(call, used, [project, session]);
                self.spend_leased(need, missing, &mut left);
                Ok(left)
            }
            // Perhaps other batches of this isolate leased what was in the bucket while this one asked.
            Answer::Exhausted { retry_after_ms, bucket } => {
                let now_covered = self.covered(call, need);
                if missing.project && !now_covered.project || missing.session && !now_covered.session {
                    return Err(self.exhausted(retry_after_ms, &bucket).into());
                }
                self.spend_leased(need, missing, &mut left);
                Ok(left)
            }
            Answer::OverBudget { stop_until } => Err(over_budget(call.now, stop_until).into()),
            _ => Err(Fault::internal("spending limits", "the meter answered something else").into()),
        }
    }

    /// What leases cover. None of the project's where its budget is known to be used up.
    fn covered(&self, call: &Call, need: Need) -> Parts {
        LEASES.with_borrow(|leases| Parts {
            project: !leases.knows_exhausted(self.project) && leases.covers(&self.project.id, need, call.now),
            session: self.session_key().is_none_or(|key| leases.covers(&key, need, call.now)),
        })
    }

    fn spend_leased(&self, need: Need, parts: Parts, left: &mut Left) {
        LEASES.with_borrow_mut(|leases| {
            if parts.project {
                left.project = leases.spend(&self.project.id, need);
            }
            if let Some(key) = self.session_key().filter(|_| parts.session) {
                left.session = Some(leases.spend(&key, need));
            }
        });
    }

    fn request(&self, call: &Call, need: Need, missing: Parts) -> Ask {
        let wanted = |key: &str| {
            LEASES.with_borrow_mut(|leases| Need { lease: leases.wants_lease(key, call.now), ..need })
        };
        let of_session = self.session.zip(self.session_key()).filter(|_| missing.session);
        Ask::Take(Box::new(Take {
            project: missing.project.then(|| wanted(&self.project.id)),
            session: of_session.map(|(session, key)| (session.to_owned(), wanted(&key))),
            limits: self.project.limits,
            session_limits: self.project.session_limits,
            budget: self.project.budget,
            unreported: counts::unreported(&self.project.id),
        }))
    }

    fn keep(&self, call: &Call, used: Usage, [project, session]: [Option<Lent>; 2]) {
        LEASES.with_borrow_mut(|leases| {
            if let Some(lent) = project {
                leases.add(&self.project.id, lent, call.now, PROJECT_LEASE_MS);
            }
            if let (Some(lent), Some(key)) = (session, self.session_key()) {
                leases.add(&key, lent, call.now, SESSION_LEASE_MS);
            }
            leases.set_used(&self.project.id, used);
        });
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
