//! Parameters of exports and of the import.

use super::age::Recipient;
use crate::ids::ExecutionId;
use crate::problem::{Code, Problem};
use crate::query::{ListQuery, PageQuery};
use crate::transparency::VerifierKey;
use std::borrow::Cow;
use std::format;
use std::string::String;
use std::vec::Vec;

type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

fn invalid(name: &str, detail: impl Into<String>) -> Problem {
    Problem::new(Code::ParameterInvalid, detail).of_field(name)
}

/// Takes `recipient` out of an export's parameters.
pub fn take_recipient<'a>(
    pairs: impl Iterator<Item = Pair<'a>>,
) -> Result<(Option<Recipient>, Vec<Pair<'a>>), Problem> {
    let (named, rest): (Vec<Pair<'a>>, Vec<Pair<'a>>) = pairs.partition(|(name, _)| name == "recipient");
    match named.as_slice() {
        [] => Ok((None, rest)),
        [(_, text)] => Ok((Some(Recipient::parse(text)?), rest)),
        _ => Err(invalid("recipient", "Parameter `recipient` stands more than once.")),
    }
}

/// Which executions an export is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportQuery {
    /// One alone, instead of a list.
    pub execution: Option<ExecutionId>,
    /// The list; of one alone only its page.
    pub list: ListQuery,
}

impl ExportQuery {
    /// Reads the parameters, and refuses anything else.
    pub fn parse<'a>(pairs: impl Iterator<Item = Pair<'a>>) -> Result<Self, Problem> {
        let (mut execution, mut rest) = (None, Vec::new());
        for (name, value) in pairs {
            match &*name {
                "execution" if execution.is_some() => {
                    return Err(invalid("execution", "Parameter `execution` stands more than once."));
                }
                "execution" => execution = Some(value),
                "sort" | "fields" => {
                    return Err(Problem::new(
                        Code::ParameterUnknown,
                        format!("Exports have no parameter `{name}`: they are whole and newest first."),
                    )
                    .of_field(name.into_owned()));
                }
                _ => rest.push((name, value)),
            }
        }
        let execution = execution
            .map(|id| {
                ExecutionId::parse(&id).map_err(|fault| {
                    invalid("execution", format!("The {} must match {}.", fault.what, fault.grammar))
                })
            })
            .transpose()?;
        let other = rest.iter().map(|(name, _)| &**name).find(|name| !matches!(*name, "limit" | "cursor"));
        if let (Some(_), Some(name)) = (&execution, other) {
            return Err(invalid(name, format!("`{name}` goes with a list, not with `execution`.")));
        }
        Ok(Self { execution, list: ListQuery::parse(rest.into_iter())? })
    }

    /// Size of a page and its cursor.
    pub fn page(&self) -> &PageQuery {
        &self.list.page
    }

    /// The question in one spelling, for cursors of `format`.
    pub fn canonical(&self, format: &str) -> String {
        match &self.execution {
            Some(id) => format!("export|{format}|{id}"),
            None => format!("export|{format}|{}", self.list.canonical()),
        }
    }
}

/// On whose word a batch is imported that this deployment holds no root for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportQuery {
    /// The key of the log that the file was exported from.
    pub key: Option<VerifierKey>,
}

impl ImportQuery {
    /// Reads the parameters, and refuses anything else.
    pub fn parse<'a>(pairs: impl Iterator<Item = Pair<'a>>) -> Result<Self, Problem> {
        let mut query = Self::default();
        for (name, value) in pairs {
            if name != "key" {
                let detail = format!("This route has no parameter `{name}`; it has `key`.");
                return Err(Problem::new(Code::ParameterUnknown, detail).of_field(name.into_owned()));
            }
            if query.key.is_some() {
                return Err(invalid("key", "Parameter `key` stands more than once."));
            }
            query.key = Some(VerifierKey::parse(&value).ok_or_else(|| {
                invalid(
                    "key",
                    "`key` is a verifier key, as `GET /v1/checkpoints/key` of the exporting server gives it.",
                )
            })?);
        }
        Ok(query)
    }
}

#[cfg(test)]
mod tests {
    use super::{ExportQuery, ImportQuery};
    use crate::problem::{Code, Problem};
    use crate::transparency::VerifierKey;
    use std::borrow::Cow;

    fn export(pairs: &[(&'static str, &'static str)]) -> Result<ExportQuery, Problem> {
        ExportQuery::parse(pairs.iter().map(|(name, value)| (Cow::Borrowed(*name), Cow::Borrowed(*value))))
    }

    #[test]
    fn an_export_is_of_one_or_of_a_list() {
        let one = export(&[("execution", "run_0000000000000001"), ("limit", "3")]).unwrap();
        assert_eq!((one.execution.is_some(), one.page().limit), (true, 3));
        let list = export(&[("status", "failed")]).unwrap();
        assert_ne!(one.canonical("ndjson"), list.canonical("ndjson"));
        assert_ne!(list.canonical("otlp"), list.canonical("ndjson"));
        for (pairs, code, field) in [
            (&[("execution", "x")][..], Code::ParameterInvalid, "execution"),
            (&[("execution", "run_0000000000000001"), ("user", "a")], Code::ParameterInvalid, "user"),
            (
                &[("execution", "run_0000000000000001"), ("execution", "run_0000000000000001")],
                Code::ParameterInvalid,
                "execution",
            ),
            (&[("sort", "cost")], Code::ParameterUnknown, "sort"),
            (&[("fields", "id")], Code::ParameterUnknown, "fields"),
            (&[("limit", "0")], Code::ParameterInvalid, "limit"),
            (&[("format", "x")], Code::ParameterUnknown, "format"),
        ] {
            let problem = export(pairs).unwrap_err();
            assert_eq!((problem.code, problem.field.as_deref()), (code, Some(field)));
        }
    }

    #[test]
    fn an_import_takes_a_key() {
        let parse = |pairs: &[(&'static str, std::string::String)]| {
            ImportQuery::parse(
                pairs.iter().map(|(name, value)| (Cow::Borrowed(*name), Cow::Owned(value.clone()))),
            )
        };
        let key = VerifierKey::of("prj_a", [3; 32]);
        assert_eq!(parse(&[("key", key.to_text())]).unwrap().key, Some(key.clone()));
        let altered = key.to_text().replace("prj_a", "prj_b");
        for (name, value, code) in [
            ("key", altered, Code::ParameterInvalid),
            ("key", "nonsense".into(), Code::ParameterInvalid),
            ("trust", key.to_text(), Code::ParameterUnknown),
        ] {
            assert_eq!(parse(&[(name, value)]).unwrap_err().code, code);
        }
    }
}
