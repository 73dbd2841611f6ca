//! Reads the file, then what goes before it: `MESHTAP_*` variables, then flags.
//!
//! `MESHTAP_EXPORT__OTLP__0__ENDPOINT=…` and `--set export.otlp.0.endpoint=…` set the same key. Two
//! underscores part the names, for names have single ones; a variable without them is not ours
//! (Kubernetes makes `MESHTAP_SERVICE_HOST` for a service of that name). Values are YAML.

use std::path::Path;

use serde::de::DeserializeOwned;

use super::place::{key_at, place};
use super::tree::Tree;
use super::{Config, hint, schema};

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// The file cannot be read.
    #[error("{file} cannot be read: {reason}")]
    Read {
        /// The file.
        file: String,
        /// The reason.
        reason: String,
    },
    /// The file says something that it cannot say.
    #[error("{file}:{line}:{column}: {reason}")]
    File {
        /// The file.
        file: String,
        /// Line, from one.
        line: u64,
        /// Column, from one.
        column: u64,
        /// The reason.
        reason: String,
    },
    /// A variable or flag does.
    #[error("{origin}: {reason}")]
    Override {
        /// Its name.
        origin: String,
        /// The reason.
        reason: String,
    },
}

/// Settings that go before the file, in order: what comes later wins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides(Vec<Override>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Override {
    origin: String,
    path: Vec<String>,
    value: String,
}

impl Overrides {
    /// Takes the variables that are ours.
    #[must_use]
    pub fn from_environment(variables: impl Iterator<Item = (String, String)>) -> Self {
        let mut found: Vec<_> = variables
            .filter_map(|(name, value)| {
                let key = name.strip_prefix("MESHTAP_")?;
                let path: Vec<_> = key.split("__").map(str::to_lowercase).collect();
                let ours = path.len() > 1 && path.iter().all(|part| !part.is_empty());
                ours.then_some(Override {
                    origin: name,
                    path,
                    value,
                })
            })
            .collect();
        // The order of the environment means nothing; a list's elements are added from the first
        // on.
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Self(found)
    }

    /// Adds `key.path=value`.
    ///
    /// # Errors
    /// When there is no `=`.
    pub fn set(&mut self, text: &str) -> Result<(), Error> {
        let Some((path, value)) = text.split_once('=') else {
            return Err(Error::Override {
                origin: format!("--set {text}"),
                reason: "write it as key.path=value".to_owned(),
            });
        };
        self.0.push(Override {
            origin: format!("--set {path}"),
            path: path.split('.').map(str::to_owned).collect(),
            value: value.to_owned(),
        });
        Ok(())
    }
}

impl Overrides {
    /// The variable or flag that decides on a key (`limits.body`), if one does.
    #[must_use]
    pub fn origin(&self, key: &str) -> Option<&str> {
        let found = self.0.iter().rev().find(|setting| {
            let path = setting.path.join(".");
            path == key
                || key
                    .strip_prefix(&path)
                    .is_some_and(|rest| rest.starts_with('.'))
        });
        found.map(|setting| setting.origin.as_str())
    }
}

/// Reads `file`, if one is given, and applies `overrides`.
///
/// # Errors
/// Names the line, the variable or the flag that is wrong.
pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Config, Error> {
    let (text, name) = match file {
        Some(path) => {
            let name = path.display().to_string();
            let text = std::fs::read_to_string(path).map_err(|error| Error::Read {
                file: name.clone(),
                reason: error.to_string(),
            })?;
            (text, name)
        }
        None => (String::new(), "(no file)".to_owned()),
    };
    parse(&text, &name, overrides)
}

/// Like [`load`], from text; `name` stands for the file in errors.
///
/// # Errors
/// As [`load`].
pub fn parse(text: &str, name: &str, overrides: &Overrides) -> Result<Config, Error> {
    let config: Config = yaml(text, name).map_err(|error| explained(error, text))?;
    if overrides.0.is_empty() {
        return Ok(config);
    }
    let mut tree = Tree::default();
    if !is_empty(text) {
        tree = Tree::read(text).map_err(|error| located(&error, name))?;
    }
    let mut config = config;
    for setting in &overrides.0 {
        let failed = |reason: String| Error::Override {
            origin: setting.origin.clone(),
            reason: hinted(reason, Some(&setting.path)),
        };
        // What is not YAML is taken as it stands: a regular expression need not be quoted.
        let value = Tree::read(&setting.value).unwrap_or_else(|_| Tree::word(&setting.value));
        tree.place(&setting.path, value).map_err(failed)?;
        config = tree.get().map_err(failed)?;
    }
    Ok(config)
}

/// An error of a file, with the key that it is about, and what that may be.
fn explained(error: Error, text: &str) -> Error {
    let Error::File {
        file,
        line,
        column,
        reason,
    } = error
    else {
        return error;
    };
    let tree = Tree::read(text).ok();
    let words = tree.as_ref().map(Tree::words);
    if !is_about_a_value(&reason) {
        let path = words.and_then(|words| hint::unknown(&schema(), words));
        return Error::File {
            file,
            line,
            column,
            reason: hinted(reason, path.as_deref()),
        };
    }
    let located = key_at(text, (line, column));
    let value = located.as_ref().zip(words);
    let value = value.and_then(|(key, words)| words.pointer(&format!("/{}", key.join("/"))));
    // The place of a list or a section may be that of what is around the value that is meant.
    let is_around = value.is_none_or(|value| value.is_array() || value.is_object());
    let inner = words.filter(|_| is_around);
    let inner = inner.and_then(|words| hint::misshapen(&schema(), words));
    let Some(key) = inner.or(located) else {
        return Error::File {
            file,
            line,
            column,
            reason,
        };
    };
    let (line, column) = place(text, &key.join(".")).unwrap_or((line, column));
    Error::File {
        file,
        line,
        column,
        reason: format!("{}: {}", key.join("."), expected(reason, &key)),
    }
}

fn yaml<T: DeserializeOwned + Default>(text: &str, name: &str) -> Result<T, Error> {
    if is_empty(text) {
        return Ok(T::default());
    }
    serde_saphyr::from_str(text).map_err(|error| located(&error, name))
}

/// An error about an unknown key, with where a key of that name lives after it.
fn hinted(reason: String, path: Option<&[String]>) -> String {
    let is_unknown = reason.starts_with("unknown field");
    let place = path.filter(|_| is_unknown);
    match place.and_then(|path| hint::elsewhere(&schema(), path)) {
        Some(hint) => format!("{reason}; {hint}"),
        None => reason,
    }
}

/// Not about a key: one that is unknown, or there twice.
fn is_about_a_value(reason: &str) -> bool {
    !reason.starts_with("unknown field") && !reason.ends_with("is given twice")
}

/// What a value is to be, where an error has nothing but the name of a type: `invalid u16`. What
/// quotes the value says more.
fn expected(reason: String, key: &[String]) -> String {
    let is_bare = !reason.contains('`');
    match hint::expected(&schema(), key).filter(|_| is_bare) {
        Some(expected) => format!("must be {expected}"),
        None => reason,
    }
}

/// A file with nothing but comments is a configuration with nothing but defaults.
fn is_empty(text: &str) -> bool {
    let empty = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    text.lines().all(empty)
}

/// An error with its place before it, once.
fn located(error: &serde_saphyr::Error, name: &str) -> Error {
    let error = error.without_snippet();
    let location = error.location();
    let (line, column) = location.map_or((0, 0), |l| (l.line(), l.column()));
    let reason = error.to_string();
    let again = format!(" at line {line}, column {column}");
    let reason = reason.strip_suffix(&again).unwrap_or(&reason);
    Error::File {
        file: name.to_owned(),
        line,
        column,
        reason: twice(reason).unwrap_or_else(|| reason.to_owned()),
    }
}

/// What the library says of a key that is there twice, and to whoever calls it.
fn twice(reason: &str) -> Option<String> {
    let (key, _) = reason
        .strip_prefix("duplicate mapping key: ")?
        .split_once(", set ")?;
    Some(format!("`{key}` is given twice"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, variables: &[(&str, &str)], sets: &[&str], expected: Result<&str, &str>) {
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut overrides = Overrides::from_environment(variables);
        let result = sets
            .iter()
            .try_for_each(|set| overrides.set(set))
            .and_then(|()| parse(text, "m.yaml", &overrides))
            .map(|config| {
                let endpoints = config.export.otlp.iter();
                let endpoints: Vec<_> = endpoints.filter_map(|o| o.endpoint.as_deref()).collect();
                format!("{} {}", config.limits.body, endpoints.join(","))
            })
            .map_err(|error| error.to_string());
        assert_eq!(
            result.as_deref().map_err(String::as_str),
            expected,
            "{text:?}"
        );
    }

    #[test]
    fn files() {
        check("", &[], &[], Ok("64KiB "));
        check("# nothing\n\n", &[], &[], Ok("64KiB "));
        check("limits:\n  body: 1KiB\n", &[], &[], Ok("1KiB "));
        check(
            "export:\n  otlp:\n    - endpoint: http://a\n    - endpoint: http://b\n",
            &[],
            &[],
            Ok("64KiB http://a,http://b"),
        );
    }

    #[test]
    fn errors_name_the_line() {
        let error = |text: &str| parse(text, "m.yaml", &Overrides::default()).unwrap_err();
        for (text, at, word) in [
            ("limits:\n  bodies: 1\n", (2, 3), "bodies"),
            ("limits:\n  body: x\n", (2, 9), "`x` is not a size"),
            (
                "export:\n  otlp:\n    - endpoint: a\n      proto: b\n",
                (4, 7),
                "proto",
            ),
            ("limits: [\n", (0, 0), ""),
            (
                "budget: {cpu: 1}\nbudget: {cpu: 2}\n",
                (2, 1),
                "`budget` is given twice",
            ),
        ] {
            let Error::File {
                line,
                column,
                reason,
                ..
            } = error(text)
            else {
                panic!("{text:?}");
            };
            assert!(reason.contains(word), "{text:?}: {reason}");
            assert!(!reason.contains(" at line "), "{text:?}: {reason}");
            if at.0 > 0 {
                assert_eq!((line, column), at, "{text:?}: {reason}");
            }
        }
    }

    #[test]
    fn errors_name_the_key_and_what_it_may_be() {
        #[track_caller]
        fn check(text: &str, expected: &str) {
            let error = parse(text, "m.yaml", &Overrides::default()).expect_err("wrong");
            assert_eq!(error.to_string(), expected, "{text:?}");
        }
        check(
            "capture:\n  ports: [80, x]\n",
            "m.yaml:2:15: capture.ports.1: must be a whole number from 0 to 65535",
        );
        check(
            "capture:\n  ports: [70000]\n",
            "m.yaml:2:11: capture.ports.0: must be a whole number from 0 to 65535",
        );
        check(
            "capture:\n  ports: 80\n",
            "m.yaml:2:10: capture.ports: must be a list: an element a line, with `- ` before it, \
             or `[a, b]`",
        );
        check(
            "export:\n  otlp:\n    endpoint: http://c\n",
            "m.yaml:3:5: export.otlp: must be a list: an element a line, with `- ` before it, or \
             `[a, b]`",
        );
        check(
            "export: http://c\n",
            "m.yaml:1:9: export: must be a section: a key a line, or `{key: value}`",
        );
        check(
            "capture:\n  tls:\n    enabled: maybe\n",
            "m.yaml:3:14: capture.tls.enabled: must be true or false",
        );
        check(
            "limits:\n  body: [1]\n",
            "m.yaml:2:9: limits.body: must be a number, or a text with a unit",
        );
        check(
            "export:\n  otlp:\n    - endpoint: [a]\n",
            "m.yaml:3:17: export.otlp.0.endpoint: must be a text",
        );
    }

    #[test]
    fn overrides() {
        const ENDPOINT: &str = "MESHTAP_EXPORT__OTLP__0__ENDPOINT";
        check("", &[("MESHTAP_LIMITS__BODY", "2KiB")], &[], Ok("2KiB "));
        check(
            "",
            &[("MESHTAP_SERVICE_HOST", "1.2.3.4")],
            &[],
            Ok("64KiB "),
        );
        check("", &[(ENDPOINT, "http://a")], &[], Ok("64KiB http://a"));
        check(
            "limits: {body: 1KiB}",
            &[("MESHTAP_LIMITS__BODY", "2KiB")],
            &["limits.body=3KiB"],
            Ok("3KiB "),
        );
        check(
            "export: {otlp: [{endpoint: 'http://a'}]}",
            &[],
            &["export.otlp.1.endpoint=http://b"],
            Ok("64KiB http://a,http://b"),
        );
        check(
            "",
            &[("MESHTAP_LIMITS__BODIES", "1")],
            &[],
            Err(
                "MESHTAP_LIMITS__BODIES: unknown field `bodies`, expected one of `body`, `head`, `connections`, `memory`, `exchange_age`, `idle`; there is `redaction.bodies`",
            ),
        );
        let misplaced = "unknown field `redaction`, expected one of `sampling_ratio`, `paths`, \
            `hosts`, `methods`, `statuses`, `skip_probes`, `skip_own`; there is `redaction.mode`";
        check(
            "",
            &[("MESHTAP_POLICY__REDACTION__MODE", "off")],
            &[],
            Err(&format!("MESHTAP_POLICY__REDACTION__MODE: {misplaced}")),
        );
        check(
            "",
            &[],
            &["policy.redaction.mode=off"],
            Err(&format!("--set policy.redaction.mode: {misplaced}")),
        );
        check(
            "policy:\n  redaction:\n    mode: off\n",
            &[],
            &[],
            Err(&format!(
                "m.yaml:2:3: {}",
                misplaced
                    .replace('`', "")
                    .replace("is redaction.mode", "is `redaction.mode`")
                    .replace("field redaction", "field `redaction`")
            )),
        );
        check(
            "",
            &[],
            &["limits.body=x"],
            Err(
                "--set limits.body: `x` is not a size; write a number of bytes, or `64KiB` (1024 each), `10MB` (1000 each)",
            ),
        );
        check(
            "",
            &[],
            &["export.otlp.1.endpoint=http://b"],
            Err("--set export.otlp.1.endpoint: the list has 0 elements"),
        );
        check(
            "",
            &[],
            &["limits"],
            Err("--set limits: write it as key.path=value"),
        );
    }

    #[test]
    fn who_decides_on_a_key() {
        let variable = ("MESHTAP_LIMITS__BODY".to_owned(), "0".to_owned());
        let mut overrides = Overrides::from_environment([variable].into_iter());
        overrides.set("export={}").unwrap();
        let check = |key, expected| assert_eq!(overrides.origin(key), expected, "{key}");
        check("limits.body", Some("MESHTAP_LIMITS__BODY"));
        check("limits.idle", None);
        check("export.otlp", Some("--set export"));
        check("exporter", None);
    }

    #[test]
    fn words_mean_what_they_mean_in_the_file() {
        let modes = |text: &str, variables: &[(&str, &str)], sets: &[&str]| {
            let variables = variables.iter();
            let variables = variables.map(|(name, value)| ((*name).into(), (*value).into()));
            let mut overrides = Overrides::from_environment(variables);
            for set in sets {
                overrides.set(set).unwrap();
            }
            let config = parse(text, "m.yaml", &overrides).unwrap();
            format!(
                "{:?} {:?} {}",
                config.redaction.mode, config.kubernetes.mode, config.scope.host
            )
        };
        let file = "redaction: {mode: off}\nkubernetes: {mode: off}\nscope: {host: off}\n";
        let off = "Off Off false";
        assert_eq!(modes(file, &[], &[]), off);
        assert_eq!(modes(file, &[], &["limits.body=1KiB"]), off);
        let sets = [
            "redaction.mode=off",
            "kubernetes.mode=off",
            "scope.host=off",
        ];
        assert_eq!(modes("", &[], &sets), off);
        let variables = [
            ("MESHTAP_REDACTION__MODE", "off"),
            ("MESHTAP_KUBERNETES__MODE", "off"),
            ("MESHTAP_SCOPE__HOST", "no"),
        ];
        assert_eq!(modes("", &variables, &[]), off);
    }

    #[test]
    fn the_schema_names_every_section() {
        let schema = super::super::schema();
        for section in ["capture", "limits", "export", "telemetry", "budget"] {
            assert!(schema["properties"][section].is_object(), "{section}");
        }
        assert_eq!(schema["additionalProperties"], false);
    }
}
