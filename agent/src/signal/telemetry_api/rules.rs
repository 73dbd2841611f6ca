//! What holds for one workload, after all objects that speak of it have been merged.

use std::sync::Arc;

use crate::flow::Side;
use crate::signal::expression::{Condition, Expression};
use crate::signal::metrics::Families;

/// The value of a label.
#[derive(Clone, Debug)]
pub enum TagValue {
    /// This text.
    Text(Arc<str>),
    /// What an expression gives.
    Expression(Arc<Expression>),
}

impl PartialEq for TagValue {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Expression(a), Self::Expression(b)) => a.text() == b.text(),
            (Self::Text(_), Self::Expression(_)) | (Self::Expression(_), Self::Text(_)) => false,
        }
    }
}

/// Metrics whose labels are changed alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Which.
    pub families: Families,
    /// Labels by name: another value, or none.
    pub labels: Vec<(Arc<str>, Option<TagValue>)>,
}

/// An attribute that spans get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Its name.
    pub name: Arc<str>,
    /// The request field that has its value.
    pub header: Option<Arc<str>>,
    /// Its value, or that where the field is not there.
    pub text: Option<Arc<str>>,
}

/// What holds at one side of exchanges.
#[derive(Clone, Debug, Default)]
pub struct SideRules {
    /// `None`: metrics are as they are. A metric that is in no group is disabled.
    pub metrics: Option<Vec<Group>>,
    /// Part of the traces that is kept.
    pub ratio: Option<f64>,
    /// There are no spans.
    pub is_span_off: bool,
    /// Attributes that spans get.
    pub tags: Arc<[Tag]>,
    /// There is no access log.
    pub is_log_off: bool,
    /// Exchanges that the access log has.
    pub log_filter: Option<Arc<Condition>>,
}

/// What holds for a workload.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    pub(super) client: SideRules,
    pub(super) server: SideRules,
}

impl Rules {
    /// At one side.
    #[must_use]
    pub const fn side(&self, side: Side) -> &SideRules {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }
}
