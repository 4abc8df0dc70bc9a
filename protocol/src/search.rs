//! Full text: which words of an execution are found, and in which form the store has them.
//!
//! Words, not substrings: letters and digits in a row, in lower case. What is indexed are names, errors and previews
//! (the beginnings of inputs, outputs and messages), at most [`WORDS_MAX`] words an execution.

use crate::batch::{Batch, Event, Kind};
use crate::encoding::hex_encode;
use crate::ids::ProjectId;
use crate::keys::{PurposeKey, Root};
use crate::problem::{Code, Problem};
use crate::query::invalid;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

/// Words of an execution that are indexed; the SQL that merges batches repeats it.
pub const WORDS_MAX: usize = 1_000;
/// Characters of a value that are indexed.
const PREVIEW_CHARS: usize = 1_000;
/// Longest word that is indexed, in characters. What is longer is a digest, a key or a picture.
const WORD_CHARS_MAX: usize = 40;
/// Words of a question.
const ASKED_MAX: usize = 16;
/// Bytes of a hashed word, and of a project's mark before a plain one: hits by chance are rare, and the index is small.
const HASH_LEN: usize = 8;
const MARK_LEN: usize = 4;

/// Whether a project's executions are found by their words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Search {
    /// They are not: nothing of what a trace says is indexed.
    #[default]
    Off,
    /// By whole words, of which the store has hashes under a key of the project.
    Hashed,
    /// By whole words and beginnings of words, which stand in the store unencrypted.
    Plain,
}

impl Search {
    /// The word for it, in the API and in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Hashed => "hashed",
            Self::Plain => "plain",
        }
    }

    /// Refuses what a project cannot have at once.
    pub fn check(self, subject_keys: bool) -> Result<(), Problem> {
        if self == Self::Off || !subject_keys {
            return Ok(());
        }
        let detail =
            "A project with `subject_keys` has no full text: its words would outlive the person's key.";
        Err(Problem::new(Code::RequestMalformed, detail).of_field("search"))
    }
}

/// Turns a project's words into what its index has.
pub struct Tokens {
    key: PurposeKey,
    search: Search,
}

impl Tokens {
    /// How the project is searched.
    pub const fn search(&self) -> Search {
        self.search
    }

    /// Of a project that is searched like this; none if it is not searched.
    pub fn of(root: &Root, project: &ProjectId, search: Search) -> Option<Self> {
        (search != Search::Off).then(|| Self { key: root.purpose_key("search", Some(project)), search })
    }

    /// The tokens of a batch, as a JSON array in order.
    pub fn of_batch(&self, batch: &Batch<'_>) -> String {
        let tokens: BTreeSet<String> = words_of(batch).iter().map(|word| self.token(word)).collect();
        serde_json::to_string(&tokens.into_iter().take(WORDS_MAX).collect::<Vec<_>>()).unwrap_or_default()
    }

    /// The expression (`SQLite`'s FTS5, section 3) that finds what a text asks for. Tokens are hexadecimal, so nothing in
    /// it is the reader's.
    pub fn expression(&self, text: &Text) -> Result<String, Problem> {
        let mut terms = Vec::new();
        for asked in &text.0 {
            let token = self.token(&asked.word);
            terms.push(match (asked.is_beginning, self.search) {
                (false, _) => format!("\"{token}\""),
                (true, Search::Plain) => format!("\"{token}\"*"),
                (true, _) => {
                    let detail = "This project's words are hashed: only whole ones are found, without `*`.";
                    return Err(invalid("text", detail));
                }
            });
        }
        Ok(terms.join(" AND "))
    }

    /// Hexadecimal, so that the index's own splitting into words leaves it whole. Projects share the index: each token
    /// begins with what only its project's do.
    fn token(&self, word: &str) -> String {
        if self.search == Search::Plain {
            let mark = hex_encode(&self.key.tag(&[])[..MARK_LEN]);
            return mark + &hex_encode(word.as_bytes());
        }
        hex_encode(&self.key.tag(&[word.as_bytes()])[..HASH_LEN])
    }
}

/// What a reader asks for: words that must all be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(Vec<Asked>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    word: String,
    is_beginning: bool,
}

impl Text {
    /// Reads the parameter `name`.
    pub fn parse(name: &str, value: &str) -> Result<Self, Problem> {
        let mut asked: Vec<Asked> = Vec::new();
        for part in value.split_whitespace() {
            let before = asked.len();
            asked.extend(words(part).map(|word| Asked { word, is_beginning: false }));
            if let Some(last) = asked.last_mut().filter(|_| part.ends_with('*')) {
                last.is_beginning = true;
            }
            if asked.len() == before {
                return Err(invalid(name, format!("`{part}` has no letter or digit to be found by.")));
            }
        }
        match asked.len() {
            0 => Err(invalid(name, format!("`{name}` is empty; leave it out."))),
            1..=ASKED_MAX => Ok(Self(asked)),
            _ => Err(invalid(name, format!("`{name}` takes {ASKED_MAX} words at most."))),
        }
    }
}

/// The words of a text. What is longer than a word is cut, here and where it is asked for.
fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| word.chars().flat_map(char::to_lowercase).take(WORD_CHARS_MAX).collect())
}

fn words_of(batch: &Batch<'_>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for event in &batch.events {
        words_of_event(event, &mut found);
    }
    found
}

fn words_of_event(event: &Event<'_>, found: &mut BTreeSet<String>) {
    if !matches!(
        event.kind,
        Kind::Start(_) | Kind::Message { .. } | Kind::Open(_) | Kind::Step(_) | Kind::End(_)
    ) {
        return;
    }
    let Ok(Value::Object(event)) = serde_json::from_str(event.text) else { return };
    for field in ["name", "tool", "error", "input", "output", "reasoning", "v"] {
        if let Some(value) = event.get(field) {
            let mut left = PREVIEW_CHARS;
            preview(value, &mut left, found);
        }
    }
}

/// Collects the words of the strings of a value, depth first, until its preview ends. Keys are structure, not text.
fn preview(value: &Value, left: &mut usize, found: &mut BTreeSet<String>) {
    if *left == 0 {
        return;
    }
    match value {
        Value::String(text) => {
            let shown: String = text.chars().take(*left).collect();
            *left -= shown.chars().count();
            found.extend(words(&shown));
        }
        Value::Number(number) => found.extend(words(&number.to_string())),
        Value::Array(all) => all.iter().for_each(|one| preview(one, left, found)),
        Value::Object(all) => all.values().for_each(|one| preview(one, left, found)),
        Value::Null | Value::Bool(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::{ASKED_MAX, Search, Text, Tokens, words};
    use crate::batch::Batch;
    use crate::ids::ProjectId;
    use crate::keys::Root;
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    const BODY: &str = concat!(
        r#"{"v":1,"x":"run_0123456789abcdef","k":0,"prev":"","n":0}"#,
        "\n",
        r#"{"t":"start","n":0,"at":1,"name":"Book a flight","input":{"to":"Zürich, 2027"}}"#,
        "\n",
        r#"{"t":"step","n":1,"id":"s1","kind":"tool","name":"search","at":1,"duration_ms":1,"status":"error","error":{"type":"TimeoutError","message":"no answer"},"metadata":{"note":"hidden"}}"#,
        "\n"
    );

    fn tokens(project: &str, search: Search) -> Tokens {
        let root = Root::from_bytes(*b"0123456789abcdefghijklmnopqrstuv").unwrap();
        Tokens::of(&root, &ProjectId::parse(project).unwrap(), search).unwrap()
    }

    fn of_body(tokens: &Tokens) -> Vec<String> {
        serde_json::from_str(&tokens.of_batch(&Batch::parse(BODY.as_bytes()).unwrap())).unwrap()
    }

    fn finds(tokens: &Tokens, text: &str) -> bool {
        let expression = tokens.expression(&Text::parse("text", text).unwrap()).unwrap();
        let all = of_body(tokens);
        expression.split(" AND ").all(|term| match term.strip_suffix('*') {
            Some(beginning) => all.iter().any(|token| token.starts_with(beginning.trim_matches('"'))),
            None => all.iter().any(|token| token == term.trim_matches('"')),
        })
    }

    #[test]
    fn names_errors_and_previews_are_found_by_their_words() {
        for search in [Search::Hashed, Search::Plain] {
            let own = tokens("prj_a", search);
            for found in ["flight", "FLIGHT book", "zürich", "2027", "TimeoutError: no answer", "search"] {
                assert!(finds(&own, found), "{found}");
            }
            for absent in ["fligh", "hidden", "flight rome", "status"] {
                assert!(!finds(&own, absent), "{absent}");
            }
            let foreign = of_body(&tokens("prj_b", search));
            assert!(of_body(&own).iter().all(|token| !foreign.contains(token)));
        }
    }

    #[test]
    fn hashed_words_say_nothing_and_are_found_whole_only() {
        let hashed = tokens("prj_a", Search::Hashed);
        assert!(of_body(&hashed).iter().all(|token| token.len() == 16));
        let beginning = Text::parse("text", "fli*").unwrap();
        assert_eq!(hashed.expression(&beginning).unwrap_err().field.as_deref(), Some("text"));
        assert!(finds(&tokens("prj_a", Search::Plain), "fli* book"));
    }

    #[test]
    fn questions_without_a_word_or_with_too_many_are_refused_and_nothing_is_syntax() {
        for wrong in ["", " ", "a - b", "\"", &"a ".repeat(ASKED_MAX + 1)] {
            assert_eq!(Text::parse("text", wrong).unwrap_err().field.as_deref(), Some("text"), "{wrong}");
        }
        let hostile = Text::parse("text", "a\"OR(b NEAR/2 words:c ^d").unwrap();
        let expression = tokens("prj_a", Search::Plain).expression(&hostile).unwrap();
        let is_ours = |term: &str| term.trim_matches('"').bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(expression.split(" AND ").all(is_ours), "{expression}");
    }

    #[test]
    fn long_words_are_cut_alike_wherever_they_stand() {
        let long = format!("{}x", "y".repeat(40));
        assert_eq!(words(&long).collect::<Vec<_>>(), ["y".repeat(40)]);
    }

    #[test]
    fn persons_keys_and_full_text_exclude_each_other() {
        assert!(Search::Off.check(true).is_ok() && Search::Plain.check(false).is_ok());
        assert_eq!(Search::Hashed.check(true).unwrap_err().field.as_deref(), Some("search"));
    }
}
