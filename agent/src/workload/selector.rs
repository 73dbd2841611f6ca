//! Label selectors as `kubectl -l` takes them, without sets: `app=web,tier!=db,canary,!legacy`.
//! Pure.

use std::collections::BTreeMap;

/// A selector: every condition must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selector(Vec<Condition>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    Is(String, String),
    /// Also when the label is not there, as in Kubernetes.
    IsNot(String, String),
    Has(String),
    Lacks(String),
}

impl Selector {
    /// Reads one.
    ///
    /// # Errors
    /// Says what cannot be read.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let conditions: Result<Vec<_>, _> = text.split(',').map(condition).collect();
        conditions
            .map(Self)
            .map_err(|part| format!("`{part}` is not like app, !app, app=web or app!=web"))
    }

    /// Do these labels fit?
    pub(crate) fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|condition| match condition {
            Condition::Is(key, value) => labels.get(key) == Some(value),
            Condition::IsNot(key, value) => labels.get(key) != Some(value),
            Condition::Has(key) => labels.contains_key(key),
            Condition::Lacks(key) => !labels.contains_key(key),
        })
    }
}

fn condition(part: &str) -> Result<Condition, &str> {
    let part = part.trim();
    let key = |text: &str| {
        let text = text.trim();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        (!text.is_empty() && text.chars().all(plain)).then(|| text.to_owned())
    };
    let value = |text: &str| {
        let text = text.trim();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        text.chars().all(plain).then(|| text.to_owned())
    };
    let condition = if let Some((left, right)) = part.split_once("!=") {
        key(left)
            .zip(value(right))
            .map(|(k, v)| Condition::IsNot(k, v))
    } else if let Some((left, right)) = part.split_once('=') {
        let right = right.strip_prefix('=').unwrap_or(right);
        key(left)
            .zip(value(right))
            .map(|(k, v)| Condition::Is(k, v))
    } else if let Some(left) = part.strip_prefix('!') {
        key(left).map(Condition::Lacks)
    } else {
        key(part).map(Condition::Has)
    };
    condition.ok_or(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(selector: &str, labels: &[(&str, &str)], expected: bool) {
        let labels = labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let found = Selector::parse(selector).unwrap().matches(&labels);
        assert_eq!(found, expected, "{selector}");
    }

    #[test]
    fn conditions() {
        let labels = [("app", "web"), ("app.kubernetes.io/name", "shop")];
        check("app=web", &labels, true);
        check("app==web", &labels, true);
        check("app = db", &labels, false);
        check("app!=db", &labels, true);
        check("tier!=db", &labels, true);
        check("app.kubernetes.io/name", &labels, true);
        check("tier", &labels, false);
        check("!tier", &labels, true);
        check("!app", &labels, false);
        check("app=web, !tier,app.kubernetes.io/name!=x", &labels, true);
        check("app=web,tier", &labels, false);
        check("empty=", &[("empty", "")], true);
    }

    #[test]
    fn what_cannot_be_read_is_emitted() {
        for text in ["", ",", "app=web,", "=x", "!", "app in (a)", "a=b=c"] {
            assert!(Selector::parse(text).is_err(), "{text}");
        }
    }
}
