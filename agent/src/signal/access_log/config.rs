//! The `access_log` section of the configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::format::Format;
use crate::signal::expression::Condition;

/// One line for each exchange that is sampled.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AccessLogSection {
    /// Where lines go: a file, which is opened again at SIGHUP, or `-` for standard output. Null:
    /// there are none.
    pub path: Option<PathBuf>,
    /// A line in Envoy's format. Default: Envoy's own.
    pub text: Option<String>,
    /// JSON instead: the format of each member.
    pub json: BTreeMap<String, String>,
    /// Only exchanges for which this condition in the Common Expression Language holds.
    pub filter: Option<String>,
}

impl AccessLogSection {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// Names the key and what it may be.
    pub fn check(&self) -> Result<(), String> {
        if self
            .path
            .as_ref()
            .is_some_and(|path| path.as_os_str().is_empty())
        {
            return Err("access_log.path: empty; name a file, or `-`".to_owned());
        }
        if self.text.is_some() && !self.json.is_empty() {
            return Err("access_log: either `text` or `json`".to_owned());
        }
        self.format()?;
        self.condition().map(drop)
    }

    /// The format of a line.
    ///
    /// # Errors
    /// Names the operator that there is not.
    pub fn format(&self) -> Result<Format, String> {
        match (&self.text, self.json.is_empty()) {
            (Some(text), _) => {
                Format::text(text).map_err(|reason| format!("access_log.text: {reason}"))
            }
            (None, true) => Ok(Format::default()),
            (None, false) => {
                Format::json(&self.json).map_err(|reason| format!("access_log.json: {reason}"))
            }
        }
    }

    /// The condition.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn condition(&self) -> Result<Option<Condition>, String> {
        let condition = self.filter.as_deref().map(Condition::new);
        condition
            .transpose()
            .map_err(|reason| format!("access_log.filter: {reason}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_file() {
        let check = |path: &str| {
            let path = Some(PathBuf::from(path));
            let section = AccessLogSection {
                path,
                ..AccessLogSection::default()
            };
            section.check().is_ok()
        };
        assert!(check("-") && check("/var/log/a") && !check(""));
    }
}
