//! Rules applied to an exchange or a connection.

use crate::exchange::Exchange;
use crate::redact::Sanitized;
use crate::signal::expression::Evaluator;
use crate::signal::metrics::{Adjusted, UNKNOWN};
use crate::signal::span::ResourceValue;

use super::rules::{SideRules, TagValue};

impl SideRules {
    /// How metrics of an exchange are changed, if they are. What an expression has no value for is
    /// `unknown`, as in Istio.
    #[must_use]
    pub fn adjusted(&self, exchange: &Exchange, evaluator: &Evaluator) -> Option<Vec<Adjusted>> {
        self.adjusted_by(|expression| evaluator.value(expression, exchange))
    }

    /// The same of a connection, of which no expression speaks.
    #[must_use]
    pub fn adjusted_connection(&self) -> Option<Vec<Adjusted>> {
        self.adjusted_by(|_| None)
    }

    fn adjusted_by(
        &self,
        value: impl Fn(&crate::signal::expression::Expression) -> Option<String>,
    ) -> Option<Vec<Adjusted>> {
        let groups = self.metrics.as_ref()?;
        let text = |of: &TagValue| match of {
            TagValue::Text(text) => (**text).to_owned(),
            TagValue::Expression(expression) => {
                value(expression).unwrap_or_else(|| UNKNOWN.to_owned())
            }
        };
        let groups = groups.iter().map(|group| {
            let labels = group.labels.iter();
            let labels = labels.map(|(name, of)| (name.clone(), of.as_ref().map(text)));
            Adjusted {
                families: group.families,
                labels: labels.collect(),
            }
        });
        Some(groups.collect())
    }

    /// Attributes that its span gets. A request field has to be among those that redaction keeps.
    #[must_use]
    pub fn tags_of(&self, sanitized: &Sanitized) -> Vec<(String, ResourceValue)> {
        let fields = &sanitized.exchange().request.head.fields;
        let tags = self.tags.iter().filter_map(|tag| {
            let field = tag.header.as_ref().and_then(|name| fields.get(name));
            let text = match field {
                Some(value) => String::from_utf8_lossy(value).into_owned(),
                None => tag.text.as_deref()?.to_owned(),
            };
            Some(((*tag.name).to_owned(), ResourceValue::Str(text)))
        });
        tags.collect()
    }

    /// The access log has it.
    #[must_use]
    pub fn is_logged(&self, sanitized: &Sanitized, evaluator: &Evaluator) -> bool {
        let filter = self.log_filter.as_deref().into_iter();
        !self.is_log_off
            && (self.log_filter.is_none()
                || evaluator.first(filter, sanitized.exchange()).is_some())
    }
}
