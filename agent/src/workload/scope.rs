//! Which workloads are captured: rules on namespaces and labels, annotations, the mesh's own
//! proxies. Pure.
//!
//! In this order: a proxy whose traffic is emitted at the applications is out; what the
//! configuration excludes is out; what an annotation opts out is out, and what one opts in is in
//! (the pod's before its namespace's); the rest is in when the rules include it and nobody need opt
//! in. So the cluster's administrator has the last word on what is never captured, and its users on
//! what else is not.

use std::collections::BTreeMap;

use super::config::ScopeSection;
use super::pod::{Pod, Selected};
use super::selector::Selector;
use crate::glob::Glob;

/// Why exchanges of a workload are not emitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A proxy of the mesh: ztunnel, a sidecar.
    Mesh,
    /// A rule on namespaces or labels.
    Rule,
    /// An annotation opts it out.
    OptedOut,
    /// Nothing opts it in, and that is asked for.
    NotOptedIn,
    /// It belongs to no pod, and such are not wanted.
    Host,
    /// There are rules, and nothing is known of its pod.
    Unidentified,
    /// A gateway's or waypoint's proxy and its own business: its admin interface, its metrics, the
    /// kubelet's probes of it, what it asks itself over loopback.
    Proxy,
    /// The socket is the end of the connection that is not asked for (`capture.side`). The BPF
    /// programs cannot know the end of a connection that was there before them.
    Side,
}

impl Reason {
    /// Every reason, in order.
    pub const ALL: [Self; 8] = [
        Self::Mesh,
        Self::Rule,
        Self::OptedOut,
        Self::NotOptedIn,
        Self::Host,
        Self::Unidentified,
        Self::Proxy,
        Self::Side,
    ];

    /// The metric's label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Mesh => "mesh",
            Self::Rule => "rule",
            Self::OptedOut => "opted_out",
            Self::NotOptedIn => "not_opted_in",
            Self::Host => "host",
            Self::Unidentified => "unidentified",
            Self::Proxy => "proxy",
            Self::Side => "side",
        }
    }
}

const _: () = {
    let mut i = 0;
    while i < Reason::ALL.len() {
        assert!(Reason::ALL[i] as usize == i);
        i += 1;
    }
};

/// The rules, compiled.
#[derive(Debug)]
pub(crate) struct Scope {
    namespaces: [Vec<Glob>; 2],
    labels: [Vec<Selector>; 2],
    opt_in: bool,
    host: bool,
}

impl Scope {
    /// Compiles the rules.
    ///
    /// # Errors
    /// When a label selector cannot be read.
    pub(crate) fn new(section: &ScopeSection) -> Result<Self, String> {
        let globs = |list: &[String]| list.iter().map(|pattern| Glob::new(pattern)).collect();
        let selectors = |list: &[String]| -> Result<_, String> {
            list.iter().map(|text| Selector::parse(text)).collect()
        };
        let (namespaces, labels) = (&section.namespaces, &section.labels);
        Ok(Self {
            namespaces: [globs(&namespaces.include), globs(&namespaces.exclude)],
            labels: [selectors(&labels.include)?, selectors(&labels.exclude)?],
            opt_in: section.opt_in,
            host: section.host,
        })
    }

    /// What the rules say of a pod.
    pub(crate) fn select(&self, namespace: &str, labels: &BTreeMap<String, String>) -> Selected {
        let within = |globs: &[Glob]| globs.iter().any(|glob| glob.matches(namespace.as_bytes()));
        let fits = |selectors: &[Selector]| selectors.iter().any(|s| s.matches(labels));
        let [namespaces, not_namespaces] = &self.namespaces;
        let [wanted, unwanted] = &self.labels;
        if within(not_namespaces) || fits(unwanted) {
            Selected::Excluded
        } else if (namespaces.is_empty() || within(namespaces))
            && (wanted.is_empty() || fits(wanted))
        {
            Selected::Included
        } else {
            Selected::NotIncluded
        }
    }

    /// Why a pod's container is out of scope, if it is. `namespace` is what its namespace's
    /// annotation says.
    pub(crate) fn excludes(
        &self,
        pod: &Pod,
        container: Option<&str>,
        namespace: Option<bool>,
    ) -> Option<Reason> {
        if pod.role.is_transparent_proxy(container) {
            return Some(Reason::Mesh);
        }
        if pod.selected == Selected::Excluded {
            return Some(Reason::Rule);
        }
        match pod.capture.or(namespace) {
            Some(false) => Some(Reason::OptedOut),
            Some(true) => None,
            None if self.opt_in => Some(Reason::NotOptedIn),
            None => (pod.selected != Selected::Included).then_some(Reason::Rule),
        }
    }

    /// The same for what belongs to no pod.
    pub(crate) fn excludes_host(&self) -> Option<Reason> {
        (!self.host).then_some(Reason::Host)
    }

    /// The same for a pod that nothing is known of: where there are rules, nobody can say that they
    /// allow it.
    pub(crate) fn excludes_unidentified(&self) -> Option<Reason> {
        let rules = self.opt_in
            || self.namespaces.iter().any(|list| !list.is_empty())
            || self.labels.iter().any(|list| !list.is_empty());
        rules.then_some(Reason::Unidentified)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::pod::Choice;
    use super::super::trust::Trust;
    use super::*;
    use crate::policy::Select;

    fn select(include: &[&str], exclude: &[&str]) -> Select {
        let owned = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
        Select {
            include: owned(include),
            exclude: owned(exclude),
        }
    }

    /// A pod `app=web` of the namespace `shop`, with an annotation of its own and of its namespace.
    #[track_caller]
    fn check(
        section: &ScopeSection,
        own: Option<&str>,
        namespace: Option<bool>,
        expected: Option<Reason>,
    ) {
        let choice = Choice::new(&[], &[], Scope::new(section).unwrap(), Trust::default());
        let annotations = own.map_or(json!({}), |value| json!({"meshtap.dev/capture": value}));
        let object = json!({
            "metadata": {"name": "p", "namespace": "shop", "uid": "u", "labels": {"app": "web"}, "annotations": annotations},
            "spec": {"containers": [{"name": "web"}]},
        });
        let pod = Pod::new(serde_json::from_value(object).unwrap(), &choice).unwrap();
        let found = choice.scope.excludes(&pod, Some("web"), namespace);
        assert_eq!(found, expected, "{section:?}, {own:?}, {namespace:?}");
    }

    #[test]
    fn annotations() {
        let open = ScopeSection::default();
        check(&open, None, None, None);
        check(&open, Some("false"), None, Some(Reason::OptedOut));
        check(&open, Some("disabled"), Some(true), Some(Reason::OptedOut));
        check(&open, None, Some(false), Some(Reason::OptedOut));
        check(&open, Some("true"), Some(false), None);
        check(&open, Some("what"), None, None);
        let opt_in = ScopeSection {
            opt_in: true,
            ..ScopeSection::default()
        };
        check(&opt_in, None, None, Some(Reason::NotOptedIn));
        check(&opt_in, Some("true"), None, None);
        check(&opt_in, None, Some(true), None);
        check(&opt_in, Some("false"), Some(true), Some(Reason::OptedOut));
    }

    #[test]
    fn rules() {
        let check = |namespaces: Select, labels: Select, own: Option<&str>, expected| {
            let section = ScopeSection {
                namespaces,
                labels,
                ..ScopeSection::default()
            };
            check(&section, own, None, expected);
        };
        let any = Select::default;
        let rule = Some(Reason::Rule);
        check(select(&["shop"], &[]), any(), None, None);
        check(select(&["sh*"], &[]), any(), None, None);
        check(select(&["bank"], &[]), any(), None, rule);
        check(select(&["bank"], &[]), any(), Some("true"), None);
        check(select(&[], &["s*"]), any(), None, rule);
        check(select(&["shop"], &["shop"]), any(), Some("true"), rule);
        check(any(), select(&["app=web"], &[]), None, None);
        check(any(), select(&["app=db", "app=web"], &[]), None, None);
        check(any(), select(&["app=db"], &[]), None, rule);
        check(any(), select(&[], &["app"]), Some("true"), rule);
        check(select(&["shop"], &[]), select(&["app=db"], &[]), None, rule);
    }

    #[test]
    fn without_a_pod() {
        let scope = |section: ScopeSection| Scope::new(&section).unwrap();
        let open = scope(ScopeSection::default());
        assert_eq!(open.excludes_host(), None);
        assert_eq!(open.excludes_unidentified(), None);
        let strict = scope(ScopeSection {
            namespaces: select(&[], &["bank"]),
            host: false,
            ..ScopeSection::default()
        });
        assert_eq!(strict.excludes_host(), Some(Reason::Host));
        assert_eq!(strict.excludes_unidentified(), Some(Reason::Unidentified));
    }
}
