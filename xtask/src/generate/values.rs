//! `values.schema.json`: the agent's own schema under `config`, and for everything else the shape
//! of `values.yaml`, so that a key that does not exist is refused with its name.

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

/// Objects of Kubernetes' own, in which any key may stand.
const OPEN: &[&str] = &[
    "affinity",
    "nodeSelector",
    "resources",
    "updateStrategy",
    "podAnnotations",
    "podLabels",
];

/// The schema, as text.
///
/// # Errors
/// When `values` is not YAML, or a schema has no definitions.
pub(super) fn schema(values: &str, config: &Value) -> Result<String> {
    let values: Value = serde_saphyr::from_str(values).context("values.yaml")?;
    let mut config = config.clone();
    let agent = config.as_object_mut().context("a schema is an object")?;
    agent.remove("$schema");
    let definitions = agent.remove("$defs").context("a schema has definitions")?;
    let mut definitions: Map<String, Value> = serde_json::from_value(definitions)?;
    definitions.insert("AgentConfig".to_owned(), config);

    let mut properties = Map::new();
    for (name, value) in values.as_object().context("values.yaml is an object")? {
        let shape = match name.as_str() {
            "config" => json!({ "$ref": "#/$defs/AgentConfig" }),
            name if OPEN.contains(&name) => json!({ "type": "object" }),
            _ => shape(value),
        };
        properties.insert(name.clone(), shape);
    }
    // Helm's own, for charts that have this one as a part.
    properties.insert("global".to_owned(), json!({ "type": "object" }));
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Values of the chart meshtap",
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
        "$defs": definitions,
    });
    Ok(serde_json::to_string_pretty(&schema)? + "\n")
}

/// What has the shape of an example.
fn shape(value: &Value) -> Value {
    match value {
        Value::Null => json!({}),
        Value::Bool(_) => json!({ "type": "boolean" }),
        Value::Number(_) => json!({ "type": "number" }),
        Value::String(_) => json!({ "type": "string" }),
        Value::Array(_) => json!({ "type": "array" }),
        Value::Object(members) if members.is_empty() => json!({ "type": "object" }),
        Value::Object(members) => {
            let members = members.iter();
            let properties: Map<_, _> = members
                .map(|(name, value)| (name.clone(), shape(value)))
                .collect();
            json!({ "type": "object", "additionalProperties": false, "properties": properties })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(values: &str, pointer: &str, expected: Value) {
        let config = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$defs": { "Size": { "type": "string" } },
            "properties": { "ring": { "$ref": "#/$defs/Size" } },
        });
        let schema: Value = serde_json::from_str(&schema(values, &config).unwrap()).unwrap();
        assert_eq!(schema.pointer(pointer), Some(&expected), "{schema:#}");
    }

    #[test]
    fn values_have_the_shape_of_the_file() {
        let values = "config: {ring: 1}\nimage: {tag: \"\"}\nenv: []\nresources: {limits: {cpu: 1}}\nlabels: {}\n";
        check(
            values,
            "/properties/config/$ref",
            json!("#/$defs/AgentConfig"),
        );
        check(values, "/$defs/Size/type", json!("string"));
        check(
            values,
            "/$defs/AgentConfig/properties/ring/$ref",
            json!("#/$defs/Size"),
        );
        check(
            values,
            "/properties/image",
            json!({
                "type": "object",
                "additionalProperties": false,
                "properties": { "tag": { "type": "string" } },
            }),
        );
        check(values, "/properties/resources", json!({ "type": "object" }));
        check(values, "/properties/labels", json!({ "type": "object" }));
        check(values, "/properties/env/type", json!("array"));
        check(values, "/additionalProperties", json!(false));
    }
}
