//! `docs/configuration.md`: the configuration's schema as tables.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use serde_json::Value;

/// Longest list that a default is printed of.
const LONGEST: usize = 8;

/// The page: what stands before its first section as it is, then a section for each of the file's.
///
/// # Errors
/// When the schema is none of ours.
pub(super) fn page(current: &str, schema: &Value) -> Result<String> {
    let (head, _) = current
        .split_once("\n## ")
        .context("the page has no section")?;
    let schema = Schema(schema);
    let mut page = format!("{head}\n");
    for (name, section) in members(schema.0) {
        let about = text(section);
        let _ = write!(
            page,
            "## {name}\n\n{about}\n\n| key | type | default | meaning |\n|---|---|---|---|\n"
        );
        schema.rows(&mut page, name, schema.resolve(section));
        page.push('\n');
    }
    Ok(page.trim_end().to_owned() + "\n")
}

struct Schema<'a>(&'a Value);

impl<'a> Schema<'a> {
    /// What a reference refers to; of a value that may be null, the value.
    fn resolve(&self, schema: &'a Value) -> &'a Value {
        if let Some(pointer) = schema["$ref"].as_str() {
            let found = self.0.pointer(pointer.trim_start_matches('#'));
            return self.resolve(found.unwrap_or(&Value::Null));
        }
        let alternatives = schema["anyOf"].as_array();
        let value = alternatives
            .into_iter()
            .flatten()
            .find(|one| one["type"] != "null");
        value.map_or(schema, |value| self.resolve(value))
    }

    /// A row for each key, and below it those of its own keys.
    fn rows(&self, page: &mut String, path: &str, schema: &'a Value) {
        for (name, member) in members(schema) {
            let key = format!("{path}.{name}");
            let kind = self.resolve(member);
            let about = text(member).replace('|', "\\|");
            if kind["properties"].is_object() {
                let _ = writeln!(page, "| **`{key}`** | | | {about} |");
                self.rows(page, &key, kind);
                continue;
            }
            let default = default(member);
            let _ = writeln!(
                page,
                "| `{key}` | {} | {default} | {about} |",
                self.kind(kind)
            );
            let items = self.resolve(&kind["items"]);
            if items["properties"].is_object() {
                self.rows(page, &format!("{key}[]"), items);
            }
        }
    }

    /// What a value may be, for a person.
    fn kind(&self, schema: &'a Value) -> String {
        let quoted = |words: &[Value], word: fn(&Value) -> &Value| {
            let words = words.iter().filter_map(|one| word(one).as_str());
            words.map(|word| format!("`{word}`")).collect::<Vec<_>>()
        };
        for (key, word) in [
            ("oneOf", (|one| &one["const"]) as fn(&Value) -> &Value),
            ("enum", |one| one),
        ] {
            let words = quoted(
                schema[key].as_array().map_or(&[], |words| words.as_slice()),
                word,
            );
            if !words.is_empty() {
                return words.join(", ");
            }
        }
        match &schema["type"] {
            Value::String(kind) if kind == "array" => {
                let items = self.resolve(&schema["items"]);
                if items["properties"].is_object() {
                    return "list of the keys below".to_owned();
                }
                match items["prefixItems"].as_array() {
                    Some(_) => "list of pairs".to_owned(),
                    None => format!("list of {}", self.kind(items)),
                }
            }
            Value::String(kind) if kind == "object" => "map of strings".to_owned(),
            Value::String(kind) => kind.clone(),
            Value::Array(kinds) => {
                let kinds: Vec<_> = kinds.iter().filter_map(Value::as_str).collect();
                kinds.join(" or ")
            }
            _ => String::new(),
        }
    }
}

/// The members of an object's schema, by name.
fn members(schema: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let members = schema["properties"].as_object().into_iter().flatten();
    members.map(|(name, member)| (name.as_str(), member))
}

/// The description, on one line.
fn text(schema: &Value) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn default(schema: &Value) -> String {
    match schema.get("default") {
        None => String::new(),
        Some(Value::Null) => "null".to_owned(),
        Some(Value::Array(list)) if list.len() > LONGEST => format!(
            "a list of {}: `meshtap config schema` prints it",
            list.len()
        ),
        Some(value) => format!("`{value}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(member: Value, expected: &str) {
        let schema = json!({
            "properties": { "a": { "$ref": "#/$defs/A", "description": "A\nsection." } },
            "$defs": {
                "A": { "type": "object", "properties": { "b": member } },
                "Side": { "oneOf": [{ "const": "left" }, { "const": "right" }] },
                "Rule": { "properties": { "value": { "type": "string" } } },
            },
        });
        let page = page("# Title\n\nIntroduction.\n\n## old\n", &schema).unwrap();
        let head = "# Title\n\nIntroduction.\n\n## a\n\nA section.\n\n\
                    | key | type | default | meaning |\n|---|---|---|---|\n";
        assert_eq!(page, format!("{head}{expected}\n"));
    }

    #[test]
    fn rows() {
        check(
            json!({ "type": ["string", "null"], "default": null, "description": "a | b" }),
            "| `a.b` | string or null | null | a \\| b |",
        );
        check(
            json!({ "$ref": "#/$defs/Side", "default": "left" }),
            "| `a.b` | `left`, `right` | `\"left\"` |  |",
        );
        check(
            json!({ "anyOf": [{ "$ref": "#/$defs/Side" }, { "type": "null" }] }),
            "| `a.b` | `left`, `right` |  |  |",
        );
        check(
            json!({ "type": "array", "items": { "$ref": "#/$defs/Rule" } }),
            "| `a.b` | list of the keys below |  |  |\n| `a.b[].value` | string |  |  |",
        );
        check(
            json!({ "$ref": "#/$defs/Rule", "description": "R." }),
            "| **`a.b`** | | | R. |\n| `a.b.value` | string |  |  |",
        );
        check(
            json!({ "type": "array", "items": { "type": "integer" }, "default": vec![1; 9] }),
            "| `a.b` | list of integer | a list of 9: `meshtap config schema` prints it |  |",
        );
    }
}
