//! Which objects hold for a workload, and what they come to: the mesh's, then those of the
//! namespace, then those of the workload; what is nearer goes before what is farther.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::compile::{MetricRule, Object, Target};
use super::rules::{Group, Rules, SideRules, TagValue};
use crate::flow::Side;
use crate::signal::metrics::Families;

/// A workload, as objects select it.
#[derive(Clone, Copy, Debug)]
pub struct Workload<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Labels of its pods.
    pub labels: &'a BTreeMap<String, String>,
}

/// Labels that a service selects pods by, by namespace and name.
pub type Selectors = BTreeMap<(Box<str>, Box<str>), BTreeMap<String, String>>;

/// The label that names the gateway of a pod that Istio has deployed for one.
const GATEWAY: &str = "gateway.networking.k8s.io/gateway-name";

/// What holds for a workload, and which objects do not, though they are for it: of two of one rank
/// the older one counts.
#[must_use]
pub fn rules_of<'a>(
    objects: &[&'a Object],
    root: &str,
    workload: &Workload<'_>,
    selectors: &Selectors,
) -> (Rules, Vec<&'a Object>) {
    let of_rank = |rank: Rank| {
        let fitting = objects.iter().copied();
        let mut fitting: Vec<_> = fitting
            .filter(|object| self::rank(object, root, workload, selectors) == Some(rank))
            .collect();
        fitting.sort_by_key(|object| (object.created, &object.namespace, &object.name));
        fitting
    };
    let (mut chosen, mut overlooked) = (Vec::new(), Vec::new());
    for rank in [Rank::Mesh, Rank::Namespace, Rank::Workload] {
        let mut fitting = of_rank(rank).into_iter();
        chosen.extend(fitting.next());
        overlooked.extend(fitting);
    }
    let rules = Rules {
        client: side(&chosen, Side::Client),
        server: side(&chosen, Side::Server),
    };
    (rules, overlooked)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rank {
    Mesh,
    Namespace,
    Workload,
}

fn rank(
    object: &Object,
    root: &str,
    workload: &Workload<'_>,
    selectors: &Selectors,
) -> Option<Rank> {
    let is_own = *object.namespace == *workload.namespace;
    let is_root = &*object.namespace == root;
    let has = |wanted: &BTreeMap<String, String>| {
        wanted
            .iter()
            .all(|(key, value)| workload.labels.get(key) == Some(value))
    };
    match &object.target {
        Target::Namespace if is_root => Some(Rank::Mesh),
        Target::Namespace => is_own.then_some(Rank::Namespace),
        // Of the root namespace, a selector is for workloads of all namespaces.
        Target::Labels(labels) => ((is_own || is_root) && has(labels)).then_some(Rank::Workload),
        Target::Refs { services, gateways } => {
            let is_gateway = gateways
                .iter()
                .any(|name| workload.labels.get(GATEWAY) == Some(name));
            let is_served = services.iter().any(|name| {
                let key = (object.namespace.clone(), name.as_str().into());
                selectors
                    .get(&key)
                    .is_some_and(|labels| !labels.is_empty() && has(labels))
            });
            (is_own && (is_gateway || is_served)).then_some(Rank::Workload)
        }
    }
}

fn side(objects: &[&Object], side: Side) -> SideRules {
    let mut rules = SideRules {
        metrics: metrics(objects, side),
        ..SideRules::default()
    };
    for object in objects {
        for rule in object.tracing.iter().filter(|rule| rule.mode.is_for(side)) {
            rules.ratio = rule.ratio.or(rules.ratio);
            rules.is_span_off = rule.is_off.unwrap_or(rules.is_span_off);
            if let Some(tags) = &rule.tags {
                rules.tags = tags.clone();
            }
        }
        for rule in object.logging.iter().filter(|rule| rule.mode.is_for(side)) {
            rules.is_log_off = rule.is_off.unwrap_or(rules.is_log_off);
            rules.log_filter = rule.filter.clone().or(rules.log_filter);
        }
    }
    rules
}

/// What is said of one metric.
#[derive(Clone, Debug, Default)]
struct OfFamily {
    is_off: bool,
    /// The last word on each label.
    labels: BTreeMap<Arc<str>, Option<TagValue>>,
}

fn metrics(objects: &[&Object], side: Side) -> Option<Vec<Group>> {
    let rules = objects.iter().flat_map(|object| &object.metrics);
    let rules: Vec<&MetricRule> = rules.filter(|rule| rule.mode.is_for(side)).collect();
    if rules.is_empty() {
        return None;
    }
    let mut groups: Vec<Group> = Vec::new();
    for family in Families::ALL.each() {
        let mut said = OfFamily::default();
        for rule in rules.iter().filter(|rule| rule.families.contain(family)) {
            said.is_off = rule.disabled.unwrap_or(said.is_off);
            for (name, value) in &rule.labels {
                said.labels.insert(name.clone(), value.clone());
            }
        }
        if said.is_off {
            continue;
        }
        let labels: Vec<_> = said.labels.into_iter().collect();
        match groups.iter_mut().find(|group| group.labels == labels) {
            Some(group) => group.families = group.families.with(family),
            None => groups.push(Group {
                families: family,
                labels,
            }),
        }
    }
    Some(groups)
}
