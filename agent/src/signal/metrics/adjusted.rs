//! Series whose labels were changed by rules: found by their text.

use std::sync::Arc;

use hashbrown::Equivalent;

use super::families::{Families, pairs};
use super::table::Labelled;
use super::text::Text;

/// Metrics of one exchange or connection whose labels are changed alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adjusted {
    /// Which.
    pub families: Families,
    /// Labels by name: another value, or none.
    pub labels: Vec<(Arc<str>, Option<String>)>,
}

impl Adjusted {
    /// These labels, changed.
    pub(super) fn text(&self, labels: &str) -> String {
        let change = |name: &str| self.labels.iter().find(|(changed, _)| **changed == *name);
        let mut text = Text::default();
        let pairs = pairs(labels);
        for (name, value) in &pairs {
            match change(name) {
                None => text.add(name, value),
                Some((_, Some(value))) => text.add(name, value),
                Some((_, None)) => {}
            }
        }
        for (name, value) in &self.labels {
            let is_new = pairs.iter().all(|(known, _)| *known != &**name);
            if let Some(value) = value.as_ref().filter(|_| is_new) {
                text.add(name, value);
            }
        }
        text.into_string()
    }
}

/// What such a series is found by.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct AdjustedKey {
    families: Families,
    labels: Arc<str>,
}

/// The same, borrowed.
#[derive(Debug, Hash)]
pub(super) struct AdjustedRef<'a> {
    pub(super) families: Families,
    pub(super) labels: &'a str,
}

impl Equivalent<AdjustedKey> for AdjustedRef<'_> {
    fn equivalent(&self, key: &AdjustedKey) -> bool {
        self.families == key.families && *self.labels == *key.labels
    }
}

impl From<&AdjustedRef<'_>> for AdjustedKey {
    fn from(key: &AdjustedRef<'_>) -> Self {
        Self {
            families: key.families,
            labels: key.labels.into(),
        }
    }
}

impl Labelled for AdjustedRef<'_> {
    fn text(&self) -> Arc<str> {
        self.labels.into()
    }

    fn families(&self) -> Families {
        self.families
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(changes: &[(&str, Option<&str>)], expected: &str) {
        let labels = changes.iter();
        let labels = labels.map(|(name, value)| (Arc::from(*name), value.map(str::to_owned)));
        let adjusted = Adjusted {
            families: Families::ALL,
            labels: labels.collect(),
        };
        assert_eq!(adjusted.text("a=\"1\",b=\"x\\\"y\""), expected);
    }

    #[test]
    fn labels_are_replaced_removed_and_added() {
        check(&[], "a=\"1\",b=\"x\\\"y\"");
        check(&[("a", Some("2"))], "a=\"2\",b=\"x\\\"y\"");
        check(&[("b", None), ("c", Some("\n"))], "a=\"1\",c=\"\\n\"");
        check(&[("a", None), ("b", None), ("d", None)], "");
    }
}
