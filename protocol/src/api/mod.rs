//! The HTTP routes as data: the worker finds a request's route here, counts by its name, and the `OpenAPI`
//! document ([`openapi`]) is written from the same table. A route that is not here does not exist.

mod openapi;
mod table;

pub use openapi::document;
use table::{OWN_ALIASES, PROJECT_ROUTES, ROUTES};

use crate::problem::Code;
use std::vec::Vec;

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident = $word:literal;)*) => {
        /// What a request asks to be done.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Operation { $($(#[$doc])* $name,)* }

        impl Operation {
            /// Its name in the `OpenAPI` document and in counts.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

operations! {
    /// Is the worker there?
    ShowHealth = "showHealth";
    /// The `OpenAPI` document.
    ShowDocument = "showDocument";
    /// A page's sealed batch.
    SendBatch = "sendBatch";
    /// A backend's signed batch.
    SendServerBatch = "sendServerBatch";
    /// A session for an anonymous page.
    MintSession = "mintSession";
    /// Exchanges a key for the dashboard's cookie.
    SignIn = "signIn";
    /// Who is signed in.
    ShowSignIn = "showSignIn";
    /// Ends the sign-in.
    SignOut = "signOut";
    /// Executions, newest first.
    ListExecutions = "listExecutions";
    /// Executions as CSV.
    ExportTable = "exportTable";
    /// Steps of all executions.
    SearchSteps = "searchSteps";
    /// Sums over executions.
    ShowStats = "showStats";
    /// What executions are found by.
    ListFacets = "listFacets";
    /// Sessions, by their newest execution.
    ListSessions = "listSessions";
    /// Users, by their newest execution.
    ListUsers = "listUsers";
    /// What is stored, as it is stored.
    Follow = "follow";
    /// One execution.
    ShowExecution = "showExecution";
    /// Deletes an execution.
    DeleteExecution = "deleteExecution";
    /// An execution's steps.
    ListSteps = "listSteps";
    /// What two executions did alike and otherwise.
    CompareExecutions = "compareExecutions";
    /// Scores an execution.
    AddScore = "addScore";
    /// Verifies an execution.
    VerifyExecution = "verifyExecution";
    /// The log's checkpoints.
    ListCheckpoints = "listCheckpoints";
    /// The last checkpoint.
    ShowLatestCheckpoint = "showLatestCheckpoint";
    /// The log's public key.
    ShowVerifierKey = "showVerifierKey";
    /// Everything the log covers.
    Export = "export";
    /// Batches of executions.
    ExportExecutions = "exportExecutions";
    /// Executions as OpenTelemetry traces.
    ExportTraces = "exportTraces";
    /// Takes lines of an export.
    ImportBatches = "importBatches";
    /// All projects.
    ListProjects = "listProjects";
    /// Makes a project.
    CreateProject = "createProject";
    /// A project.
    ShowProject = "showProject";
    /// Changes a project.
    ChangeProject = "changeProject";
    /// Deletes a project.
    DeleteProject = "deleteProject";
    /// API keys.
    ListKeys = "listKeys";
    /// Makes an API key.
    CreateKey = "createKey";
    /// Revokes an API key.
    RevokeKey = "revokeKey";
    /// Replaces an API key.
    RotateKey = "rotateKey";
    /// Adds a key generation.
    AddGeneration = "addGeneration";
    /// Retires a key generation.
    RetireGeneration = "retireGeneration";
    /// The deny-list.
    ListDenials = "listDenials";
    /// Denies a session or subject.
    AddDenial = "addDenial";
    /// Takes a denial back.
    RemoveDenial = "removeDenial";
    /// The prices.
    ShowPrices = "showPrices";
    /// The prices as they were at a version.
    ShowPricesVersion = "showPricesVersion";
    /// Replaces the prices.
    ReplacePrices = "replacePrices";
    /// Deletions.
    ListDeletions = "listDeletions";
    /// Orders a deletion.
    OrderDeletion = "orderDeletion";
    /// The audit log.
    ListAudit = "listAudit";
    /// Verifies the audit log.
    VerifyAudit = "verifyAudit";
    /// Use of the budget, outcomes and the ledger.
    ShowUsage = "showUsage";
    /// Counters for Prometheus.
    ShowMetrics = "showMetrics";
}

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody; what is sent is judged by itself.
    Anyone,
    /// Whoever signs the batch.
    Signature,
    /// Keys that read, of the project: viewer and admin.
    Reader,
    /// Keys that write, of the project: ingest and admin.
    Writer,
    /// Admin keys, of the project.
    Admin,
    /// The operator.
    Operator,
    /// Admin keys for their project, the operator for the deployment.
    AdminOrOperator,
}

/// A query parameter.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Name.
    pub name: &'static str,
    /// Its JSON schema.
    pub schema: &'static str,
    /// What it does.
    pub about: &'static str,
}

/// What a route takes as its body.
#[derive(Clone, Copy, Debug)]
pub struct Body {
    /// Media type.
    pub media: &'static str,
    /// Name of its schema in `schemas.json`; empty for bytes.
    pub schema: &'static str,
    /// Whether it must be there.
    pub required: bool,
}

/// A route.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// What it does.
    pub operation: Operation,
    /// HTTP method.
    pub method: &'static str,
    /// Path; `{name}` stands for a segment. Of a project's route: what follows the project.
    pub path: &'static str,
    /// Who may use it.
    pub access: Access,
    /// What it does, for people.
    pub about: &'static str,
    /// Its query parameters.
    pub query: &'static [Parameter],
    /// Its body.
    pub body: Option<Body>,
    /// Status of a request that was done.
    pub success: u16,
    /// Media type of what it answers.
    pub answers: &'static str,
    /// Name of the schema of its JSON in `schemas.json`; empty for any object.
    pub reply: &'static str,
    /// What it may be refused for, beside what [`Access`] implies.
    pub refusals: &'static [Code],
}

/// Whose project an administrative route is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    /// The key's own, or none at all.
    Own,
    /// The one that the path names; the operator's.
    Named(&'a str),
}

/// A route that was found.
#[derive(Clone, Debug)]
pub struct Found<'a> {
    /// What to do.
    pub operation: Operation,
    /// To which project.
    pub scope: Scope<'a>,
    /// What stands for the path's names, in order; the project is not among them.
    pub values: Vec<&'a str>,
}

/// Why no route was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotFound {
    /// No route has the path.
    Path,
    /// Routes have the path, none with the method.
    Method,
}

/// The route of a request.
pub fn find<'a>(method: &str, path: &'a str) -> Result<Found<'a>, NotFound> {
    let mut reason = NotFound::Path;
    let mut judge = |route: &Route, scope: Scope<'a>, values: Vec<&'a str>| {
        if route.method == method {
            return Some(Found { operation: route.operation, scope, values });
        }
        reason = NotFound::Method;
        None
    };
    for route in ROUTES {
        if let Some(values) = matched(route.path, path)
            && let Some(found) = judge(route, Scope::Own, values)
        {
            return Ok(found);
        }
    }
    for (alias, rest) in OWN_ALIASES {
        if path == *alias {
            return find_in_project(rest, Scope::Own, &mut judge).ok_or(reason);
        }
    }
    if let Some((scope, rest)) = project_of(path) {
        return find_in_project(rest, scope, &mut judge).ok_or(reason);
    }
    Err(reason)
}

fn find_in_project<'a>(
    rest: &'a str,
    scope: Scope<'a>,
    judge: &mut impl FnMut(&Route, Scope<'a>, Vec<&'a str>) -> Option<Found<'a>>,
) -> Option<Found<'a>> {
    PROJECT_ROUTES
        .iter()
        .find_map(|route| matched(route.path, rest).and_then(|values| judge(route, scope, values)))
}

/// The project that an administrative path is about, and what follows it.
fn project_of(path: &str) -> Option<(Scope<'_>, &str)> {
    if let Some(rest) = path.strip_prefix("/v1/project") {
        if rest.is_empty() || rest.starts_with('/') {
            return Some((Scope::Own, rest));
        }
        let named = rest.strip_prefix("s/")?;
        let end = named.find('/').unwrap_or(named.len());
        return (end > 0).then(|| (Scope::Named(&named[..end]), &named[end..]));
    }
    None
}

/// What stands in `path` for the names of `template`; none if it does not fit.
fn matched<'a>(template: &str, path: &'a str) -> Option<Vec<&'a str>> {
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    let mut values = Vec::new();
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(values),
            (Some(name), Some(value)) if name.starts_with('{') && !value.is_empty() => values.push(value),
            (Some(name), Some(value)) if name == value => {}
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{NotFound, Operation, Scope, find};

    #[test]
    fn paths_find_their_operations() {
        for (method, path, operation, scope, values) in [
            ("POST", "/v1/batches", Operation::SendBatch, Scope::Own, &[][..]),
            ("GET", "/v1/executions/run_1/steps", Operation::ListSteps, Scope::Own, &["run_1"]),
            ("GET", "/v1/project", Operation::ShowProject, Scope::Own, &[]),
            ("GET", "/v1/projects", Operation::ListProjects, Scope::Own, &[]),
            ("GET", "/v1/projects/prj_a", Operation::ShowProject, Scope::Named("prj_a"), &[]),
            ("PATCH", "/v1/project", Operation::ChangeProject, Scope::Own, &[]),
            (
                "POST",
                "/v1/projects/prj_a/keys/key_1/rotate",
                Operation::RotateKey,
                Scope::Named("prj_a"),
                &["key_1"],
            ),
            ("GET", "/v1/audit/verify", Operation::VerifyAudit, Scope::Own, &[]),
            ("GET", "/v1/project/audit", Operation::ListAudit, Scope::Own, &[]),
        ] {
            let found = find(method, path).unwrap_or_else(|reason| panic!("{path}: {reason:?}"));
            assert_eq!(
                (found.operation, found.scope, &found.values[..]),
                (operation, scope, values),
                "{path}"
            );
        }
    }

    #[test]
    fn what_is_not_there_says_what_is_missing() {
        for (method, path, reason) in [
            ("GET", "/v1/batches", NotFound::Method),
            ("PUT", "/v1/project/keys", NotFound::Method),
            ("POST", "/v1/projects/prj_a", NotFound::Method),
            ("POST", "/v1/audit", NotFound::Method),
            ("GET", "/v1/executions/", NotFound::Path),
            ("GET", "/v1/projects/", NotFound::Path),
            ("GET", "/v1/projectile", NotFound::Path),
            ("GET", "/v1/project/nothing", NotFound::Path),
            ("GET", "/v2/batches", NotFound::Path),
        ] {
            assert_eq!(find(method, path).unwrap_err(), reason, "{method} {path}");
        }
    }
}
