//! Executions as CSV (RFC 4180) that is safe to open in a spreadsheet: every text is quoted, and one that a spreadsheet would
//! take for a formula gets an apostrophe before it.

use serde_json::Value;
use std::string::{String, ToString};

/// A line with the names of the columns.
pub fn csv_header(fields: &[&str]) -> String {
    let mut line = fields.join(",");
    line.push_str("\r\n");
    line
}

/// A line with these members of an execution. Lists and objects stand as JSON.
pub fn csv_line(fields: &[&str], execution: &Value) -> String {
    let mut line = String::new();
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            line.push(',');
        }
        match &execution[field] {
            Value::Null => {}
            Value::String(text) => push_text(&mut line, text),
            Value::Array(_) | Value::Object(_) => push_text(&mut line, &execution[field].to_string()),
            plain => line.push_str(&plain.to_string()),
        }
    }
    line.push_str("\r\n");
    line
}

fn push_text(line: &mut String, text: &str) {
    line.push('"');
    // Spreadsheets skip blanks and look at the first character behind them.
    if text.trim_start().starts_with(['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'])
        || text.starts_with(['\t', '\r', '\n'])
    {
        line.push('\'');
    }
    line.push_str(&text.replace('"', "\"\""));
    line.push('"');
}

#[cfg(test)]
mod tests {
    use super::{csv_header, csv_line};
    use serde_json::json;

    #[test]
    fn texts_are_quoted_and_no_formula() {
        let fields = ["id", "name", "tags", "cost_usd", "ended_at"];
        assert_eq!(csv_header(&fields), "id,name,tags,cost_usd,ended_at\r\n");
        for (name, cell) in [
            ("plain", "\"plain\""),
            ("a \"b\", c\n", "\"a \"\"b\"\", c\n\""),
            ("=1+1", "\"'=1+1\""),
            (" \u{a0}@SUM(A1)", "\"' \u{a0}@SUM(A1)\""),
            ("-2", "\"'-2\""),
            ("+1", "\"'+1\""),
            ("\tx", "\"'\tx\""),
            ("\rx", "\"'\rx\""),
            ("\nx", "\"'\nx\""),
            ("\t =1", "\"'\t =1\""),
            ("\u{ff1d}1", "\"'\u{ff1d}1\""),
        ] {
            let execution = json!({ "id": "run_1", "name": name, "tags": ["a", "b"], "cost_usd": 0.5 });
            let line = csv_line(&fields, &execution);
            assert_eq!(line, std::format!("\"run_1\",{cell},\"[\"\"a\"\",\"\"b\"\"]\",0.5,\r\n"));
        }
    }
}
