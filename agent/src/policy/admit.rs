//! Which exchanges are in scope: rules on path, host, method, status; kubelet probes; the agent's
//! own exports.

use std::ops::RangeInclusive;

use regex::bytes::{RegexSet, RegexSetBuilder};

use super::PolicyError;
use super::choice::{Choice, any};
use super::config::Config;
use super::context::{ClientOrigin, PolicyContext};
use super::counts::Skip;
use super::path::Readings;
use crate::exchange::Exchange;
use crate::glob::Glob;
use crate::http::pattern::{check_host, check_method};
use crate::http::status;
use crate::http::target::{path_and_query, split_port, split_query};

/// The rules, compiled.
#[derive(Clone, Debug)]
pub(super) struct Admission {
    skip_probes: bool,
    skip_own: bool,
    paths: Choice<Paths>,
    hosts: Choice<Vec<Glob>>,
    methods: Choice<Vec<Glob>>,
    statuses: Choice<Vec<RangeInclusive<u16>>>,
}

impl Admission {
    pub(super) fn new(settings: &Config) -> Result<Self, PolicyError> {
        Ok(Self {
            skip_probes: settings.skip_probes,
            skip_own: settings.skip_own,
            paths: Choice::new(&settings.paths, Paths::new)?,
            hosts: Choice::new(&settings.hosts, hosts)?,
            methods: Choice::new(&settings.methods, methods)?,
            statuses: Choice::new(&settings.statuses, |list| {
                let range =
                    |text: &String| status::range(text).ok_or(PolicyError::Status(text.clone()));
                list.iter().map(range).collect()
            })?,
        })
    }

    /// The first reason not to keep it, if any.
    pub(super) fn skip(&self, exchange: &Exchange, context: &PolicyContext) -> Option<Skip> {
        if context.is_handed_over {
            return Some(Skip::HandedOver);
        }
        if context.out_of_scope {
            return Some(Skip::Workload);
        }
        if self.skip_probes && is_probe(exchange, context) {
            return Some(Skip::Probe);
        }
        if self.skip_own && context.client == ClientOrigin::Agent {
            return Some(Skip::Own);
        }
        let head = &exchange.request.head;
        if !self.paths.open() {
            let (path, _) = split_query(path_and_query(head.target()));
            let readings = Readings::of(path);
            let (any, all) = (
                |paths: &Paths| readings.any(|path| paths.matches(path)),
                |paths: &Paths| readings.all(|path| paths.matches(path)),
            );
            if !self.paths.decides(any, all) {
                return Some(Skip::Path);
            }
        }
        if !self.methods.open() && !self.methods.keeps(|globs| any(globs, head.method())) {
            return Some(Skip::Method);
        }
        if !self.hosts.open() {
            let (host, _) = split_port(head.host().unwrap_or_default());
            if !self.hosts.keeps(|globs| any(globs, host)) {
                return Some(Skip::Host);
            }
        }
        if let Some(response) = &exchange.response
            && !self.statuses.open()
        {
            let status = response.head.status;
            let within = |ranges: &Vec<RangeInclusive<u16>>| {
                ranges.iter().any(|range| range.contains(&status))
            };
            if !self.statuses.keeps(within) {
                return Some(Skip::Status);
            }
        }
        None
    }
}

/// A probe comes from the node, and is one by what it calls itself or by what the pod's spec
/// declares. Neither alone is enough: an ambient mesh gives every request of the host the probe
/// address, and everybody can write any user agent.
fn is_probe(exchange: &Exchange, context: &PolicyContext) -> bool {
    let is_called_so = || {
        let agent = exchange.request.head.fields.get("user-agent");
        agent.is_some_and(|agent| agent.starts_with(b"kube-probe/"))
    };
    context.is_declared_probe || (context.client == ClientOrigin::Node && is_called_so())
}

/// Expressions on a path. Those that are only a beginning (`^/static`) are compared, not run.
#[derive(Clone, Debug)]
struct Paths {
    prefixes: Vec<Vec<u8>>,
    rest: Option<RegexSet>,
}

impl Paths {
    fn new(patterns: &[String]) -> Result<Self, PolicyError> {
        let is_prefix = |p: &&String| {
            p.strip_prefix('^')
                .is_some_and(|p| regex::escape(p) == p.replace('-', "\\-"))
        };
        let (prefixes, rest): (Vec<_>, Vec<_>) = patterns.iter().partition(is_prefix);
        // Bytes, not characters: a path need not be UTF-8.
        let set = RegexSetBuilder::new(&rest)
            .unicode(false)
            .build()
            .map_err(|error| PolicyError::Path(error.to_string()))?;
        Ok(Self {
            prefixes: prefixes
                .iter()
                .map(|p| p.as_bytes()[1..].to_vec())
                .collect(),
            rest: (!rest.is_empty()).then_some(set),
        })
    }

    fn matches(&self, path: &[u8]) -> bool {
        self.prefixes.iter().any(|prefix| path.starts_with(prefix))
            || self.rest.as_ref().is_some_and(|set| set.is_match(path))
    }
}

/// Patterns of hosts: without a port, which is not compared.
fn hosts(patterns: &[String]) -> Result<Vec<Glob>, PolicyError> {
    let glob = |pattern: &String| {
        check_host(pattern).map_err(PolicyError::Host)?;
        let is_address = pattern.matches(':').count() > 1 && !pattern.contains('[');
        match pattern.contains(':') && !is_address {
            false => Ok(Glob::new(pattern)),
            true => Err(PolicyError::Host(format!(
                "no host can match `{pattern}`: neither a port nor brackets are compared; leave \
                 them out"
            ))),
        }
    };
    patterns.iter().map(glob).collect()
}

/// Patterns of methods.
fn methods(patterns: &[String]) -> Result<Vec<Glob>, PolicyError> {
    let glob = |pattern: &String| match check_method(pattern) {
        Ok(()) => Ok(Glob::new(pattern)),
        Err(reason) => Err(PolicyError::Method(reason)),
    };
    patterns.iter().map(glob).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Select;
    use crate::policy::fixture;

    fn check(settings: &Config, request: &str, status: u16, expected: Option<Skip>) {
        let admission = Admission::new(settings).unwrap();
        let exchange = fixture::exchange(request, format!("HTTP/1.1 {status} X\r\n\r\n"));
        assert_eq!(
            admission.skip(&exchange, &PolicyContext::default()),
            expected,
            "{request}"
        );
    }

    fn select(include: &[&str], exclude: &[&str]) -> Select {
        let owned = |list: &[&str]| list.iter().map(|&s| s.to_owned()).collect();
        Select {
            include: owned(include),
            exclude: owned(exclude),
        }
    }

    #[test]
    fn what_can_match_nothing_is_refused() {
        #[track_caller]
        fn check(hosts: &[&str], methods: &[&str], expected: Option<&str>) {
            let settings = Config {
                hosts: select(hosts, &[]),
                methods: select(&[], methods),
                ..Config::default()
            };
            let error = Admission::new(&settings)
                .err()
                .map(|error| error.to_string());
            let found = error.as_deref().unwrap_or_default();
            assert_eq!(error.is_some(), expected.is_some(), "{found}");
            assert!(found.starts_with(expected.unwrap_or_default()), "{found}");
        }
        check(&["a", "*.b", "::1"], &["GET", "P*"], None);
        check(&["a", ""], &[], Some("policy.hosts: it is empty"));
        check(
            &["http://a"],
            &[],
            Some("policy.hosts: no host can match `http://a`"),
        );
        check(
            &["a:80"],
            &[],
            Some("policy.hosts: no host can match `a:80`: neither"),
        );
        check(
            &["[::1]"],
            &[],
            Some("policy.hosts: no host can match `[::1]`: neither"),
        );
        check(
            &[],
            &["GET "],
            Some("policy.methods: `GET ` is not a method"),
        );
    }

    #[test]
    fn static_files_are_skipped_by_default() {
        let settings = Config::default();
        for target in [
            "/static/app.js",
            "/staticfoo",
            "/static",
            "http://h/static?x",
            "/static/%61pp.js",
        ] {
            check(
                &settings,
                &format!("GET {target} HTTP/1.1\r\nhost: h\r\n\r\n"),
                200,
                Some(Skip::Path),
            );
        }
        for target in [
            "/",
            "/a/static",
            "/?/static",
            "*",
            "http://static/",
            "/static/../admin",
            "http://h/static/../admin",
            "admin?u=://h/static",
            "/%73tatic/app.js",
            "/admin/../static",
            "/admin/..%2fstatic?x",
            "http://h/admin/../static",
        ] {
            check(
                &settings,
                &format!("GET {target} HTTP/1.1\r\nhost: h\r\n\r\n"),
                200,
                None,
            );
        }
    }

    #[test]
    fn paths_hosts_methods_statuses() {
        let request = "GET /api/v1/x?y=/health HTTP/1.1\r\nhost: a.Example.com:80\r\n\r\n";
        let base = Config::default();
        for (paths, skip) in [
            (select(&["^/api/"], &[]), None),
            (select(&["^/api/v[0-9]+/"], &["x$"]), Some(Skip::Path)),
            (select(&["health"], &[]), Some(Skip::Path)),
            (select(&["^/a-b", "v1"], &[]), None),
        ] {
            check(
                &Config {
                    paths,
                    ..base.clone()
                },
                request,
                200,
                skip,
            );
        }
        for (hosts, skip) in [
            (select(&["*.example.com"], &[]), None),
            (select(&[], &["a.example.com"]), Some(Skip::Host)),
            (select(&["b"], &[]), Some(Skip::Host)),
        ] {
            check(
                &Config {
                    hosts,
                    ..base.clone()
                },
                request,
                200,
                skip,
            );
        }
        for (statuses, skip) in [
            (select(&["5xx"], &[]), Some(Skip::Status)),
            (select(&["200-299"], &["204"]), None),
            (select(&[], &["200"]), Some(Skip::Status)),
        ] {
            check(
                &Config {
                    statuses,
                    ..base.clone()
                },
                request,
                200,
                skip,
            );
        }
        let methods = select(&[], &["GET"]);
        check(
            &Config { methods, ..base },
            request,
            200,
            Some(Skip::Method),
        );
    }

    #[test]
    fn exports_of_the_agent_are_recognised_by_its_socket() {
        let request = "POST /v1/traces HTTP/1.1\r\nuser-agent: meshtap/9.9\r\n\r\n";
        let exchange = fixture::exchange(request, "HTTP/1.1 200 X\r\n\r\n");
        let check = |skip_own, client, expected| {
            let config = Config {
                skip_own,
                ..Config::default()
            };
            let context = PolicyContext {
                client,
                ..PolicyContext::default()
            };
            let admission = Admission::new(&config).unwrap();
            assert_eq!(admission.skip(&exchange, &context), expected, "{client:?}");
        };
        check(true, ClientOrigin::Agent, Some(Skip::Own));
        check(false, ClientOrigin::Agent, None);
        // What it says of itself is nothing.
        for client in [ClientOrigin::Unknown, ClientOrigin::Pod, ClientOrigin::Node] {
            check(true, client, None);
        }
    }

    #[test]
    fn a_probe_comes_from_the_node_and_is_like_one() {
        use ClientOrigin::{Agent, Node, Pod, Unknown};
        let admission = Admission::new(&Config::default()).unwrap();
        let check = |agent: &str, client, is_declared_probe: bool, expected: bool| {
            let request = format!("GET /a HTTP/1.1\r\nuser-agent: {agent}\r\n\r\n");
            let exchange = fixture::exchange(request, "HTTP/1.1 200 X\r\n\r\n");
            let context = PolicyContext {
                client,
                is_declared_probe,
                ..PolicyContext::default()
            };
            let skip = admission.skip(&exchange, &context);
            assert_eq!(skip == Some(Skip::Probe), expected, "{agent} {client:?}");
        };
        let probe = "kube-probe/1.34";
        check(probe, Node, false, true);
        check("x", Node, true, true);
        // By way of a sidecar.
        check(probe, Unknown, true, true);
        // From the node, and not like one.
        check("curl/8", Node, false, false);
        check("not kube-probe/1", Node, false, false);
        // Like one, and not from the node.
        for client in [Unknown, Pod, Agent] {
            check(probe, client, false, false);
        }
        let keeps_all = Admission::new(&Config::everything()).unwrap();
        let request = format!("GET / HTTP/1.1\r\nuser-agent: {probe}\r\n\r\n");
        let context = PolicyContext {
            client: Node,
            is_declared_probe: true,
            ..PolicyContext::default()
        };
        let exchange = fixture::exchange(request, "HTTP/1.1 200 X\r\n\r\n");
        assert_eq!(keeps_all.skip(&exchange, &context), None);
    }

    #[test]
    fn what_cannot_be_compiled_is_emitted() {
        for (settings, expected) in [
            (
                Config {
                    paths: select(&["("], &[]),
                    ..Config::default()
                },
                "unclosed group",
            ),
            (
                Config {
                    statuses: select(&["6"], &[]),
                    ..Config::default()
                },
                "policy.statuses: `6`",
            ),
            (
                Config {
                    statuses: select(&["6xx"], &[]),
                    ..Config::default()
                },
                "policy.statuses: `6xx`",
            ),
            (
                Config {
                    statuses: select(&["500-400"], &[]),
                    ..Config::default()
                },
                "policy.statuses: `500-400`",
            ),
        ] {
            let error = Admission::new(&settings).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
