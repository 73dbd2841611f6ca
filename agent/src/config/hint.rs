//! Where a key lives that was written in another place.

use serde_json::Value;

/// Places that are named at most: more would not help.
const NAMED: usize = 3;

/// What to add to an error about an unknown key: where the schema has keys of its name. Nothing
/// when it has none, or many.
pub(super) fn elsewhere(schema: &Value, path: &[String]) -> Option<String> {
    let mut keys = Vec::new();
    collect(schema, schema, &mut Vec::new(), &mut keys);
    // The longest end of the path that is the end of a key: `redaction.mode` before `mode`.
    let places = (0..path.len()).find_map(|from| {
        let ends: Vec<_> = keys
            .iter()
            .filter(|key| key.ends_with(&path[from..]))
            .collect();
        (!ends.is_empty()).then_some(ends)
    })?;
    if places.len() > NAMED {
        return None;
    }
    let places: Vec<_> = places
        .iter()
        .map(|key| format!("`{}`", key.join(".")))
        .collect();
    Some(format!("there is {}", places.join(", ")))
}

/// The first key of a file that the schema does not have, down to where it branches.
pub(super) fn unknown(schema: &Value, file: &Value) -> Option<Vec<String>> {
    let mut path = Vec::new();
    find(schema, schema, file, &mut path).then_some(path)
}

/// Puts the way to an unknown key into `path`, if there is one.
fn find(root: &Value, schema: &Value, value: &Value, path: &mut Vec<String>) -> bool {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), value))
            .collect(),
        Value::Array(list) => (0..)
            .zip(list)
            .map(|(n, v): (u32, _)| (n.to_string(), v))
            .collect(),
        _ => return false,
    };
    // A map of names that are the user's own.
    if value.is_object() && properties(root, schema).is_none() {
        return false;
    }
    for (name, value) in children {
        path.push(name.clone());
        match child(root, schema, &name) {
            Some(schema) if find(root, schema, value, path) => return true,
            Some(_) => {}
            None => {
                descend(value, path);
                return true;
            }
        }
        path.pop();
    }
    false
}

/// The first key whose value is a list, a section or neither where the schema has another of these.
pub(super) fn misshapen(schema: &Value, file: &Value) -> Option<Vec<String>> {
    let mut path = Vec::new();
    find_misshapen(schema, schema, file, &mut path).then_some(path)
}

fn find_misshapen(root: &Value, schema: &Value, value: &Value, path: &mut Vec<String>) -> bool {
    let shape = |kind: &str| match kind {
        "array" | "object" => kind.to_owned(),
        _ => "scalar".to_owned(),
    };
    let kinds: Vec<_> = match resolve(root, schema, "type") {
        Some(Value::String(kind)) => vec![shape(kind)],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).map(shape).collect(),
        _ => Vec::new(),
    };
    let (own, children): (&str, Vec<(String, &Value)>) = match value {
        // What is not there has its default.
        Value::Null => return false,
        Value::Object(map) => {
            let children = map.iter().map(|(key, value)| (key.clone(), value));
            ("object", children.collect())
        }
        Value::Array(list) => {
            let children = list.iter().enumerate();
            let children = children.map(|(number, value)| (number.to_string(), value));
            ("array", children.collect())
        }
        _ => ("scalar", Vec::new()),
    };
    if !kinds.is_empty() && !kinds.iter().any(|kind| kind == own) {
        return true;
    }
    children.into_iter().any(|(name, value)| {
        let Some(schema) = child(root, schema, &name) else {
            return false;
        };
        path.push(name);
        let is_found = find_misshapen(root, schema, value, path);
        if !is_found {
            path.pop();
        }
        is_found
    })
}

/// Goes on while there is one way.
fn descend(value: &Value, path: &mut Vec<String>) {
    if let Value::Object(map) = value
        && let (1, Some((key, value))) = (map.len(), map.iter().next())
    {
        path.push(key.clone());
        descend(value, path);
    }
}

/// Every key, with its sections before it; `0` stands for any element of a list.
fn collect(root: &Value, schema: &Value, path: &mut Vec<String>, keys: &mut Vec<Vec<String>>) {
    let names = properties(root, schema).map(|map| map.keys().cloned().collect());
    let names: Vec<String> = names.unwrap_or_else(|| match items(root, schema) {
        Some(_) => vec!["0".to_owned()],
        None => Vec::new(),
    });
    for name in names {
        if let Some(schema) = child(root, schema, &name) {
            path.push(name);
            keys.push(path.clone());
            collect(root, schema, path, keys);
            path.pop();
        }
    }
}

/// What the schema has for a key, in words: what a value of another kind was to be.
pub(super) fn expected(root: &Value, path: &[String]) -> Option<String> {
    let found = path.iter().try_fold(root, |schema, name| {
        child(root, schema, name).or_else(|| resolve(root, schema, "additionalProperties"))
    })?;
    let all = |word: &str| resolve(root, found, word).and_then(Value::as_array);
    let words = all("enum").into_iter().flatten();
    let constants = all("oneOf").into_iter().flatten().map(|one| &one["const"]);
    let choices: Vec<_> = words.chain(constants).filter_map(Value::as_str).collect();
    if !choices.is_empty() {
        return Some(format!("one of {}", choices.join(", ")));
    }
    let kind = match resolve(root, found, "type")? {
        // With `null` where it need not be there.
        Value::Array(kinds) => {
            let mut kinds = kinds.iter().filter_map(Value::as_str);
            kinds.find(|kind| *kind != "null")?
        }
        kind => kind.as_str()?,
    };
    let quantity = resolve(root, found, "pattern").is_some();
    Some(match kind {
        "string" if quantity => "a number, or a text with a unit".to_owned(),
        "string" => "a text".to_owned(),
        "boolean" => "true or false".to_owned(),
        "integer" => whole_number(root, found),
        "number" => "a number".to_owned(),
        "array" => "a list: an element a line, with `- ` before it, or `[a, b]`".to_owned(),
        "object" => "a section: a key a line, or `{key: value}`".to_owned(),
        _ => return None,
    })
}

fn whole_number(root: &Value, schema: &Value) -> String {
    let bound = |word: &str| resolve(root, schema, word).and_then(Value::as_u64);
    let format = resolve(root, schema, "format").and_then(Value::as_str);
    let largest = bound("maximum").or(match format {
        Some("uint8") => Some(u64::from(u8::MAX)),
        Some("uint16") => Some(u64::from(u16::MAX)),
        Some("uint32") => Some(u64::from(u32::MAX)),
        _ => None,
    });
    let least = bound("minimum").unwrap_or(0);
    match largest {
        Some(largest) => format!("a whole number from {least} to {largest}"),
        None => format!("a whole number, {least} or more"),
    }
}

fn child<'a>(root: &'a Value, schema: &'a Value, name: &str) -> Option<&'a Value> {
    match properties(root, schema) {
        Some(properties) => properties.get(name),
        None => items(root, schema).filter(|_| name.parse::<usize>().is_ok()),
    }
}

fn properties<'a>(
    root: &'a Value,
    schema: &'a Value,
) -> Option<&'a serde_json::Map<String, Value>> {
    resolve(root, schema, "properties")?.as_object()
}

fn items<'a>(root: &'a Value, schema: &'a Value) -> Option<&'a Value> {
    resolve(root, schema, "items")
}

/// A word of a schema, or of what it refers to.
fn resolve<'a>(root: &'a Value, schema: &'a Value, word: &str) -> Option<&'a Value> {
    if let Some(found) = schema.get(word) {
        return Some(found);
    }
    let reference = schema.get("$ref").and_then(Value::as_str);
    if let Some(target) = reference.and_then(|r| root.pointer(r.strip_prefix('#')?)) {
        return resolve(root, target, word);
    }
    let choices = ["anyOf", "allOf"]
        .iter()
        .filter_map(|of| schema.get(of)?.as_array());
    choices
        .flatten()
        .find_map(|choice| resolve(root, choice, word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::schema;

    #[test]
    fn where_a_key_lives() {
        #[track_caller]
        fn check(path: &str, expected: Option<&str>) {
            let path: Vec<_> = path.split('.').map(str::to_owned).collect();
            assert_eq!(elsewhere(&schema(), &path).as_deref(), expected, "{path:?}");
        }
        check("policy.redaction.mode", Some("there is `redaction.mode`"));
        check("redaction_mode", None);
        check(
            "policy.mode",
            Some("there is `kubernetes.mode`, `redaction.mode`"),
        );
        check(
            "span.otlp.0.endpoint",
            Some("there is `export.otlp.0.endpoint`"),
        );
        check("export.profile", Some("there is `span.profile`"));
        check("nothing", None);
        check("", None);
    }

    #[test]
    fn which_key_of_a_file_is_unknown() {
        #[track_caller]
        fn check(text: &str, expected: Option<&str>) {
            let file: Value = serde_saphyr::from_str(text).unwrap();
            let found = unknown(&schema(), &file).map(|path| path.join("."));
            assert_eq!(found.as_deref(), expected, "{text}");
        }
        check(
            "policy: {redaction: {mode: \"off\"}}",
            Some("policy.redaction.mode"),
        );
        check(
            "policy: {redaction: {mode: a, key: b}}",
            Some("policy.redaction"),
        );
        check(
            "limits: {body: 1}\nexport: {otlp: [{endpoint: a, proto: b}]}",
            Some("export.otlp.0.proto"),
        );
        check("limits: {body: 1}", None);
        check("7", None);
    }
}
