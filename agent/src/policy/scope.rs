//! Which exchanges are kept: rules on path, host, method, status; kubelet probes; sampling.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use regex::bytes::{RegexSet, RegexSetBuilder};

use super::PolicyError;
use super::context::TraceId;
use super::counts::Skip;
use super::glob::Glob;
use super::settings::{Select, Settings};
use super::target::{path_and_query, split_port, split_query};
use crate::exchange::Exchange;
use crate::flow::Side;
use crate::http::RequestHead;

/// What an ambient mesh rewrites a kubelet probe's source to (istio-cni, `HOST_PROBE_SNAT_IP` and its IPv6 twin).
const PROBE_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 7, 127);
const PROBE_V6: Ipv6Addr = Ipv6Addr::new(
    0xfd16, 0x9254, 0x7127, 0x1337, 0xffff, 0xffff, 0xffff, 0xffff,
);

/// The rules, compiled.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    skip_probes: bool,
    skip_own: bool,
    paths: Choice<Paths>,
    hosts: Choice<Vec<Glob>>,
    methods: Choice<Vec<Glob>>,
    statuses: Choice<Vec<(u16, u16)>>,
    pub(super) bodies: Choice<Vec<Glob>>,
    /// A trace is kept when 63 bits of its id are below this.
    threshold: u64,
}

impl Scope {
    pub(super) fn new(settings: &Settings) -> Result<Self, PolicyError> {
        let ratio = settings.sampling_ratio;
        if !(0.0..=1.0).contains(&ratio) {
            return Err(PolicyError::Ratio(ratio));
        }
        let globs = |patterns: &[String]| Ok(patterns.iter().map(|p| Glob::new(p)).collect());
        Ok(Self {
            skip_probes: settings.skip_probes,
            skip_own: settings.skip_own,
            paths: Choice::new(&settings.paths, Paths::new)?,
            hosts: Choice::new(&settings.hosts, globs)?,
            methods: Choice::new(&settings.methods, globs)?,
            statuses: Choice::new(&settings.statuses, |list| {
                list.iter().map(|s| status_range(s)).collect()
            })?,
            bodies: Choice::new(&settings.bodies, globs)?,
            threshold: threshold(ratio),
        })
    }

    /// The first reason not to keep it, if any. `client_is_pod`: the end that asks is known to be one.
    pub(super) fn skip(&self, exchange: &Exchange, client_is_pod: bool) -> Option<Skip> {
        let head = &exchange.request.head;
        if self.skip_probes
            && exchange.peers.side == Side::Server
            && is_probe(exchange, client_is_pod)
        {
            return Some(Skip::Probe);
        }
        if self.skip_own && is_own_export(head) {
            return Some(Skip::Own);
        }
        if !self.paths.open() {
            let (path, _) = split_query(path_and_query(head.target()));
            if !self.paths.keeps(|paths| paths.matches(path)) {
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
            let within = |ranges: &Vec<(u16, u16)>| {
                ranges
                    .iter()
                    .any(|&(low, high)| (low..=high).contains(&status))
            };
            if !self.statuses.keeps(within) {
                return Some(Skip::Status);
            }
        }
        None
    }

    /// As OpenTelemetry's `TraceIdRatioBased`: the upper 63 bits of the id's last eight bytes decide, so agents and applications
    /// with one ratio keep the same traces.
    pub(super) const fn samples(&self, trace: TraceId) -> bool {
        samples(self.threshold, trace)
    }
}

/// The trace is among those that a threshold keeps.
pub(super) const fn samples(threshold: u64, trace: TraceId) -> bool {
    let [.., a, b, c, d, e, f, g, h] = trace.0;
    u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1 < threshold
}

/// Above every 63-bit number.
pub(super) const ALL: u64 = 1 << 63;

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a ratio of 0 to 1 times 2^63 is in range; the last bits do not matter"
)]
pub(super) fn threshold(ratio: f64) -> u64 {
    (ratio.clamp(0.0, 1.0) * ALL as f64) as u64
}

/// An OTLP request for traces whose sender says that it is this program. The path is compared first: it is never this one.
fn is_own_export(head: &RequestHead) -> bool {
    let path = head.target();
    let exports = path.ends_with(b"/v1/traces")
        || path == b"/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    exports
        && head
            .fields
            .get("user-agent")
            .is_some_and(|agent| agent.starts_with(b"meshtap/"))
}

/// A kubelet's address depends on the network plugin (the node's, a bridge's), so outside a mesh its name counts, unless a pod uses it. Its
/// own end is known by that, too.
fn is_probe(exchange: &Exchange, client_is_pod: bool) -> bool {
    let is_rewritten = match exchange.peers.client.ip() {
        IpAddr::V4(ip) => ip == PROBE_V4,
        IpAddr::V6(ip) => ip == PROBE_V6,
    };
    if is_rewritten && exchange.peers.side == Side::Server {
        return true;
    }
    let fields = &exchange.request.head.fields;
    !client_is_pod
        && fields
            .get("user-agent")
            .is_some_and(|agent| agent.starts_with(b"kube-probe/"))
}

pub(super) fn any(globs: &[Glob], text: &[u8]) -> bool {
    globs.iter().any(|glob| glob.matches(text))
}

/// A [`Select`], compiled.
#[derive(Clone, Debug)]
pub(super) struct Choice<T> {
    include: Option<T>,
    exclude: Option<T>,
}

impl<T> Choice<T> {
    fn new(
        select: &Select,
        compile: impl Fn(&[String]) -> Result<T, PolicyError>,
    ) -> Result<Self, PolicyError> {
        let compile = |list: &Vec<String>| (!list.is_empty()).then(|| compile(list)).transpose();
        Ok(Self {
            include: compile(&select.include)?,
            exclude: compile(&select.exclude)?,
        })
    }

    /// There is no rule.
    pub(super) const fn open(&self) -> bool {
        self.include.is_none() && self.exclude.is_none()
    }

    pub(super) fn keeps(&self, matches: impl Fn(&T) -> bool) -> bool {
        self.include.as_ref().is_none_or(&matches) && !self.exclude.as_ref().is_some_and(&matches)
    }
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

/// `404`, `4xx`, `500-503`.
fn status_range(text: &str) -> Result<(u16, u16), PolicyError> {
    let number = |text: &str| text.parse().ok().filter(|n| (100..1000).contains(n));
    let range = match text.split_once('-') {
        Some((low, high)) => number(low).zip(number(high)),
        None => match text.strip_suffix("xx").or_else(|| text.strip_suffix("XX")) {
            Some(class) => class
                .parse()
                .ok()
                .filter(|c| (1..10).contains(c))
                .map(|c: u16| (c * 100, c * 100 + 99)),
            None => number(text).map(|n| (n, n)),
        },
    };
    range
        .filter(|(low, high)| low <= high)
        .ok_or_else(|| PolicyError::Status(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::sample;

    fn check(settings: &Settings, request: &str, status: u16, expected: Option<Skip>) {
        let scope = Scope::new(settings).unwrap();
        let exchange = sample::exchange(request, format!("HTTP/1.1 {status} X\r\n\r\n"));
        assert_eq!(scope.skip(&exchange, false), expected, "{request}");
    }

    fn select(include: &[&str], exclude: &[&str]) -> Select {
        let owned = |list: &[&str]| list.iter().map(|&s| s.to_owned()).collect();
        Select {
            include: owned(include),
            exclude: owned(exclude),
        }
    }

    #[test]
    fn static_files_are_skipped_by_default() {
        let settings = Settings::default();
        for target in [
            "/static/app.js",
            "/staticfoo",
            "/static",
            "http://h/static?x",
        ] {
            check(
                &settings,
                &format!("GET {target} HTTP/1.1\r\nhost: h\r\n\r\n"),
                200,
                Some(Skip::Path),
            );
        }
        for target in ["/", "/a/static", "/?/static", "*", "http://static/"] {
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
        let base = Settings::default();
        for (paths, skip) in [
            (select(&["^/api/"], &[]), None),
            (select(&["^/api/v[0-9]+/"], &["x$"]), Some(Skip::Path)),
            (select(&["health"], &[]), Some(Skip::Path)),
            (select(&["^/a-b", "v1"], &[]), None),
        ] {
            check(
                &Settings {
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
                &Settings {
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
                &Settings {
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
            &Settings { methods, ..base },
            request,
            200,
            Some(Skip::Method),
        );
    }

    #[test]
    fn exports_of_meshtap_itself_are_skipped() {
        const GRPC: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
        let mut settings = Settings::default();
        let request = |path: &str, agent: &str| {
            format!("POST {path} HTTP/1.1\r\nuser-agent: {agent}\r\n\r\n")
        };
        for path in ["/v1/traces", "/tenant/v1/traces", GRPC] {
            check(
                &settings,
                &request(path, "meshtap/9.9"),
                200,
                Some(Skip::Own),
            );
            check(&settings, &request(path, "OTel-OTLP-Exporter/1"), 200, None);
        }
        check(&settings, &request("/orders", "meshtap/9.9"), 200, None);
        settings.skip_own = false;
        check(&settings, &request("/v1/traces", "meshtap/9.9"), 200, None);
    }

    #[test]
    fn probes_are_recognised_by_address_on_the_server_side() {
        let mut exchange = sample::exchange("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 X\r\n\r\n");
        for (ip, side, expected) in [
            ("169.254.7.127", Side::Server, Some(Skip::Probe)),
            (
                "fd16:9254:7127:1337:ffff:ffff:ffff:ffff",
                Side::Server,
                Some(Skip::Probe),
            ),
            ("169.254.7.127", Side::Client, None),
            ("169.254.7.128", Side::Server, None),
        ] {
            let ip: IpAddr = ip.parse().unwrap();
            let peers = std::sync::Arc::make_mut(&mut exchange.peers);
            peers.client = std::net::SocketAddr::new(ip, 1).into();
            peers.side = side;
            let scope = Scope::new(&Settings::default()).unwrap();
            assert_eq!(scope.skip(&exchange, true), expected, "{ip}");
        }
    }

    #[test]
    fn probes_are_recognised_by_name_unless_a_pod_uses_it() {
        let request = "GET /healthz HTTP/1.1\r\nuser-agent: kube-probe/1.34\r\n\r\n";
        let exchange = sample::exchange(request, "HTTP/1.1 200 X\r\n\r\n");
        let scope = Scope::new(&Settings::default()).unwrap();
        assert_eq!(scope.skip(&exchange, false), Some(Skip::Probe));
        assert_eq!(scope.skip(&exchange, true), None);
        let scope = Scope::new(&Settings::everything()).unwrap();
        assert_eq!(scope.skip(&exchange, false), None);
    }

    #[test]
    fn what_cannot_be_compiled_is_told() {
        for (settings, expected) in [
            (
                Settings {
                    sampling_ratio: 1.5,
                    ..Settings::default()
                },
                "sampling_ratio 1.5",
            ),
            (
                Settings {
                    sampling_ratio: f64::NAN,
                    ..Settings::default()
                },
                "sampling_ratio NaN",
            ),
            (
                Settings {
                    paths: select(&["("], &[]),
                    ..Settings::default()
                },
                "unclosed group",
            ),
            (
                Settings {
                    statuses: select(&["6"], &[]),
                    ..Settings::default()
                },
                "status `6`",
            ),
            (
                Settings {
                    statuses: select(&["500-400"], &[]),
                    ..Settings::default()
                },
                "status `500-400`",
            ),
        ] {
            let error = Scope::new(&settings).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_trace_is_sampled_whole() {
        let with = |ratio| {
            let settings = Settings {
                sampling_ratio: ratio,
                ..Settings::default()
            };
            Scope::new(&settings).unwrap()
        };
        let id = |low: u64| {
            let mut id = [0xff; 16];
            id[8..].copy_from_slice(&low.to_be_bytes());
            TraceId(id)
        };
        assert!(with(1.0).samples(id(u64::MAX)));
        assert!(!with(0.0).samples(id(0)));
        assert!(with(0.5).samples(id(u64::MAX / 2 - 1)));
        assert!(!with(0.5).samples(id(u64::MAX / 2 + 1)));
        // A smaller ratio keeps a subset.
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..1000 {
            let id = id(rng.u64(..));
            assert!(!with(0.1).samples(id) || with(0.2).samples(id));
        }
    }
}
