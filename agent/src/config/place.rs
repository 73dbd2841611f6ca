//! Where a key stands in a file.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// A node: its places below, by their names.
#[derive(Debug, Default)]
struct Node(Vec<(String, Spanned<Self>)>);

/// Line and column of a key's value (`export.otlp.0.endpoint`), from one; of the section around it
/// where that has no such key. `None` where the file does not have that section.
#[must_use]
pub fn place(text: &str, key: &str) -> Option<(u64, u64)> {
    let mut node: Node = serde_saphyr::from_str(text).ok()?;
    let mut found = None;
    for name in key.split('.') {
        let is_element = name.bytes().all(|b| b.is_ascii_digit());
        let Some((_, next)) = node.0.into_iter().find(|(known, _)| known == name) else {
            return found.filter(|_| !is_element);
        };
        found = Some((next.referenced.line(), next.referenced.column()));
        node = next.value;
    }
    found
}

/// The key whose value is at this line and column: the innermost, where several begin there.
pub(super) fn key_at(text: &str, place: (u64, u64)) -> Option<Vec<String>> {
    let mut node: Node = serde_saphyr::from_str(text).ok()?;
    let mut key = Vec::new();
    let mut found = None;
    loop {
        // What begins behind the place does not hold it, nor what ends before the next one begins.
        let begins = |value: &Spanned<Node>| (value.referenced.line(), value.referenced.column());
        let before = node
            .0
            .into_iter()
            .rfind(|(_, value)| begins(value) <= place);
        let Some((name, value)) = before else {
            return found;
        };
        key.push(name);
        if begins(&value) == place {
            found = Some(key.clone());
        }
        node = value.value;
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Nodes)
    }
}

struct Nodes;

impl<'de> Visitor<'de> for Nodes {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut node = Node::default();
        while let Some(name) = map.next_key()? {
            node.0.push((name, map.next_value()?));
        }
        Ok(node)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut node = Node::default();
        while let Some(element) = list.next_element()? {
            node.0.push((node.0.len().to_string(), element));
        }
        Ok(node)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Node, E> {
        Ok(Node::default())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Node, E> {
        Ok(Node::default())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Node, E> {
        Ok(Node::default())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Node, E> {
        Ok(Node::default())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Node, E> {
        Ok(Node::default())
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::default())
    }

    fn visit_none<E: Error>(self) -> Result<Node, E> {
        Ok(Node::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        let text = "# first\nlimits:\n  body: 1KiB\n  idle:   0s\nexport:\n  otlp:\n    \
                    - endpoint: http://a\n    - {endpoint: http://b, batch: {bytes: 0}}\nx: ~\n";
        let check = |key: &str, expected| assert_eq!(place(text, key), expected, "{key}");
        check("limits.body", Some((3, 9)));
        check("limits.idle", Some((4, 11)));
        check("export.otlp.0.endpoint", Some((7, 17)));
        check("export.otlp.1.endpoint", Some((8, 18)));
        check("export.otlp.1.batch.bytes", Some((8, 43)));
        check("export.otlp.1.queue.bytes", Some((8, 7)));
        check("export.otlp.2.endpoint", None);
        check("limits.memory", Some((3, 3)));
        check("metrics.enabled", None);
        check("", None);
        for key in ["limits.body", "limits.idle", "export.otlp.1.batch.bytes"] {
            let at = place(text, key).expect("a place");
            assert_eq!(key_at(text, at).expect("a key").join("."), key);
        }
        assert_eq!(key_at(text, (3, 3)), Some(vec!["limits".to_owned()]));
        assert_eq!(key_at(text, (3, 4)), None);
        assert_eq!(key_at("a: [", (1, 4)), None);
        assert_eq!(place("a: [", "a"), None);
        assert_eq!(place("", "a"), None);
    }
}
