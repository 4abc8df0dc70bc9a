//! Labels of rows: sealing those of a batch, opening those of a page. What a sealed label looks like is decided in
//! `stepseal_protocol::at_rest::labels`.

use super::listing::rows_read;
use super::statement::{Bind, bind};
use super::subject_keys::{self, SubjectKey};
use crate::config::Secrets;
use crate::failure::{Doing, Outcome};
use serde::Deserialize;
use serde_json::json;
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use stepseal_protocol::at_rest::labels::{LabelIndex, LabelKey, LabelKeyName, OpenLabels, SealedLabels};
use stepseal_protocol::ids::ProjectId;
use stepseal_protocol::query::Facet;
use stepseal_protocol::rollup::STEP_NAME;
use stepseal_protocol::scores::is_comment;
use worker::Env;

/// Indexes at which the memory is dropped: a bound, not a policy.
const INDEXES_MAX: usize = 1_024;

thread_local! {
    static INDEXES: RefCell<HashMap<ProjectId, Rc<LabelIndex>>> = RefCell::new(HashMap::new());
}

/// What makes the blind indexes of a project.
pub(crate) fn index(env: &Env, project: &ProjectId) -> Outcome<Rc<LabelIndex>> {
    if let Some(index) = INDEXES.with_borrow(|all| all.get(project).cloned()) {
        return Ok(index);
    }
    let index = Rc::new(LabelIndex::of(&Secrets::of(env)?.oldest_root()?, project));
    INDEXES.with_borrow_mut(|all| {
        if all.len() >= INDEXES_MAX {
            all.clear();
        }
        all.insert(*project, Rc::clone(&index));
    });
    Ok(index)
}

/// Makes indexes of labels, and seals the labels for them.
pub(crate) struct Indexer {
    index: Rc<LabelIndex>,
    key: LabelKey,
}

/// Labels for the columns that hold them.
#[derive(Default)]
pub(crate) struct Sealed {
    pub(crate) labels: SealedLabels,
    pub(crate) step_names: SealedLabels,
    pub(crate) comment: SealedLabels,
}

impl Indexer {
    /// Under the project's key, or the subject's if there is one.
    pub(crate) fn of(env: &Env, project: &ProjectId, subject_key: Option<&SubjectKey>) -> Outcome<Self> {
        let (name, root) = Secrets::of(env)?.oldest_root_named()?;
        let key = match subject_key {
            Some(SubjectKey { id, secret }) => LabelKey::of_subject(&name, &root, project, id, secret),
            None => LabelKey::of_project(&name, &root, project),
        };
        Ok(Self { index: index(env, project)?, key })
    }

    /// What makes indexes, and keeps in `sealed` what they stand for.
    pub(crate) fn keeping<'a>(&'a self, sealed: &'a mut Sealed) -> impl FnMut(&str, &str) -> String + 'a {
        |column, label| {
            let index = self.index.of_label(column, label);
            let labels = match column {
                STEP_NAME => &mut sealed.step_names,
                column if is_comment(column) => &mut sealed.comment,
                _ => &mut sealed.labels,
            };
            labels.add(&self.key, &index, label);
            index
        }
    }
}

/// Opens the sealed labels of rows. Those whose subject's key was destroyed stay shut.
pub(crate) async fn open<'a>(
    env: &Env,
    project: &ProjectId,
    stored: impl IntoIterator<Item = &'a str>,
) -> Outcome<OpenLabels> {
    let mut labels = OpenLabels::default();
    open_more(env, project, stored, &mut labels).await?;
    Ok(labels)
}

async fn open_more<'a>(
    env: &Env,
    project: &ProjectId,
    stored: impl IntoIterator<Item = &'a str>,
    labels: &mut OpenLabels,
) -> Outcome<()> {
    let sealed: Vec<SealedLabels> = stored.into_iter().map(SealedLabels::read).collect();
    let names: BTreeSet<&str> = sealed.iter().flat_map(SealedLabels::keys).collect();
    let names: Vec<LabelKeyName<'_>> = names.into_iter().filter_map(LabelKeyName::read).collect();
    let ids: Vec<_> = names.iter().filter_map(|name| name.subject_key).collect();
    let secrets = Secrets::of(env)?;
    let subject_keys = subject_keys::find(env, project.as_str(), &ids).await?;
    let keys: Vec<LabelKey> = names
        .iter()
        .filter_map(|LabelKeyName { root: name, subject_key }| {
            let root = secrets.root(name)?;
            let Some(id) = subject_key else { return Some(LabelKey::of_project(name, &root, project)) };
            let key = subject_keys.iter().find(|key| key.id == *id)?;
            Some(LabelKey::of_subject(name, &root, project, id, &key.secret))
        })
        .collect();
    for sealed in &sealed {
        labels.open(sealed, &keys);
    }
    Ok(())
}

#[derive(Deserialize)]
struct Row {
    labels: String,
}

/// The labels of values that executions are found by, and the rows read. Each is asked of the newest execution that has it;
/// where that one's stay shut, of the oldest.
pub(crate) async fn of_values(
    env: &Env,
    project: &ProjectId,
    values: &[(Facet, &str)],
) -> Outcome<(OpenLabels, usize)> {
    let doing = "reading the labels of values";
    let database = env.d1("DB").doing(doing)?;
    let (mut labels, mut read) = (OpenLabels::default(), 0);
    for newest in [1, 0] {
        let shut: Vec<_> = values
            .iter()
            .filter(|(facet, value)| facet.shown(&labels, value).is_none())
            .map(|(facet, value)| (facet.as_str(), value))
            .collect();
        if shut.is_empty() {
            break;
        }
        let shut = json!(shut).to_string();
        let bound = [Bind::Text(project.as_str()), Bind::Text(&shut), Bind::Number(newest)];
        let found = bind(&database, include_str!("labels_of_values.sql"), &bound).doing(doing)?;
        let found = found.all().await.storing(doing)?;
        read += rows_read(&found);
        let rows: Vec<Row> = found.results().doing(doing)?;
        open_more(env, project, rows.iter().map(|row| row.labels.as_str()), &mut labels).await?;
    }
    Ok((labels, read))
}

/// The names of steps of these executions, and the rows read.
pub(crate) async fn of_steps(
    env: &Env,
    project: &ProjectId,
    executions: &BTreeSet<&str>,
) -> Outcome<(OpenLabels, usize)> {
    of_rows(env, project, include_str!("step_names.sql"), &json!(executions).to_string()).await
}

/// The labels of these scores, each an execution's id and its own, and the rows read.
pub(crate) async fn of_scores(
    env: &Env,
    project: &ProjectId,
    scores: &BTreeSet<(&str, &str)>,
) -> Outcome<(OpenLabels, usize)> {
    of_rows(env, project, include_str!("scores/labels.sql"), &json!(scores).to_string()).await
}

async fn of_rows(env: &Env, project: &ProjectId, sql: &str, ids: &str) -> Outcome<(OpenLabels, usize)> {
    let doing = "reading labels";
    let database = env.d1("DB").doing(doing)?;
    let bound = [Bind::Text(project.as_str()), Bind::Text(ids)];
    let found = bind(&database, sql, &bound).doing(doing)?.all().await.storing(doing)?;
    let rows: Vec<Row> = found.results().doing(doing)?;
    let labels = open(env, project, rows.iter().map(|row| row.labels.as_str())).await?;
    Ok((labels, rows_read(&found)))
}
