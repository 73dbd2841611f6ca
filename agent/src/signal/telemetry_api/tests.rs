use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::flow::Side;
use crate::signal::metrics::Families;

const ROOT: &str = "istio-system";

fn object(namespace: &str, created: i64, spec: Value) -> Object {
    Object::new(namespace, &format!("t{created}"), created, &spec)
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = pairs.iter();
    pairs
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

/// The rules of `shop`'s pods with `app=web`.
fn rules(objects: &[Object]) -> (Rules, Vec<String>) {
    let labels = labels(&[
        ("app", "web"),
        ("gateway.networking.k8s.io/gateway-name", "gw"),
    ]);
    let workload = Workload {
        namespace: "shop",
        labels: &labels,
    };
    let selector = BTreeMap::from([("app".to_owned(), "web".to_owned())]);
    let selectors = Selectors::from([
        (("shop".into(), "front".into()), selector),
        (("shop".into(), "headless".into()), BTreeMap::new()),
    ]);
    let objects: Vec<&Object> = objects.iter().collect();
    let (rules, overlooked) = rules_of(&objects, ROOT, &workload, &selectors);
    (
        rules,
        overlooked.iter().map(|object| object.full_name()).collect(),
    )
}

/// Groups as `metric: label=value,label-` of each metric, in one side's rules.
fn shown(rules: &SideRules) -> Vec<String> {
    let Some(groups) = &rules.metrics else {
        return vec!["as they are".to_owned()];
    };
    let mut found = Vec::new();
    for (name, short) in [
        ("istio_requests_total", "count"),
        ("istio_request_duration_milliseconds", "duration"),
        ("istio_tcp_sent_bytes_total", "sent"),
    ] {
        let family = Families::named(name).unwrap();
        let group = groups.iter().filter(|group| group.families.contain(family));
        let group: Vec<_> = group.collect();
        assert!(group.len() < 2, "{name} is in two groups");
        let labels = group.first().map(|group| {
            let label = |(name, value): &(std::sync::Arc<str>, Option<TagValue>)| match value {
                None => format!("{name}-"),
                Some(TagValue::Text(text)) => format!("{name}='{text}'"),
                Some(TagValue::Expression(expression)) => format!("{name}={}", expression.text()),
            };
            let labels: Vec<_> = group.labels.iter().map(label).collect();
            labels.join(",")
        });
        found.push(format!(
            "{short}: {}",
            labels.as_deref().unwrap_or("disabled")
        ));
    }
    found
}

#[track_caller]
fn check(objects: &[Object], server: [&str; 3], client: Option<[&str; 3]>) {
    let (rules, _) = rules(objects);
    assert_eq!(shown(rules.side(Side::Server)), server);
    match client {
        Some(client) => assert_eq!(shown(rules.side(Side::Client)), client),
        None => assert_eq!(shown(rules.side(Side::Client)), ["as they are"]),
    }
}

fn overrides(value: Value) -> Value {
    json!({"metrics": [{"providers": [{"name": "prometheus"}], "overrides": value}]})
}

#[test]
fn labels_of_metrics() {
    let added = overrides(json!([
        {"match": {"metric": "REQUEST_COUNT", "mode": "SERVER"}, "tagOverrides": {
            "request_host": {"value": "request.host"},
            "zone": {"operation": "UPSERT", "value": "'eu'"},
            "response_flags": {"operation": "REMOVE"},
        }},
    ]));
    let count = "count: request_host=request.host,response_flags-,zone='eu'";
    check(
        &[object("shop", 1, added)],
        [count, "duration: ", "sent: "],
        None,
    );
    let all = overrides(json!([{"tagOverrides": {"zone": {"value": "\"eu\""}}}]));
    let zone = ["count: zone='eu'", "duration: zone='eu'", "sent: zone='eu'"];
    check(&[object("shop", 1, all)], zone, Some(zone));
}

#[test]
fn metrics_are_disabled() {
    let off = overrides(json!([
        {"disabled": true},
        {"match": {"metric": "REQUEST_COUNT"}, "disabled": false},
        {"match": {"metric": "TCP_SENT_BYTES", "mode": "CLIENT"}, "disabled": false},
    ]));
    check(
        &[object("shop", 1, off)],
        ["count: ", "duration: disabled", "sent: disabled"],
        Some(["count: ", "duration: disabled", "sent: "]),
    );
}

#[test]
fn what_is_nearer_goes_before_what_is_farther() {
    let says = |value: &str| {
        overrides(
            json!([{"match": {"metric": "REQUEST_COUNT", "mode": "SERVER"}, "tagOverrides": {
                value: {"value": "'x'"}, "by": {"value": format!("'{value}'")},
            }}]),
        )
    };
    let of = |mut spec: Value, selector: Value| {
        spec["selector"] = json!({"matchLabels": selector});
        spec
    };
    let mesh = object(ROOT, 1, says("mesh"));
    let namespace = object("shop", 2, says("namespace"));
    let workload = object("shop", 3, of(says("workload"), json!({"app": "web"})));
    let rest = ["duration: ", "sent: "];
    let all = |count| [count, rest[0], rest[1]];
    check(
        std::slice::from_ref(&mesh),
        all("count: by='mesh',mesh='x'"),
        None,
    );
    let count = "count: by='namespace',mesh='x',namespace='x'";
    check(&[namespace.clone(), mesh.clone()], all(count), None);
    let count = "count: by='workload',mesh='x',namespace='x',workload='x'";
    check(&[workload, namespace, mesh], all(count), None);
    // For others.
    let other = object("other", 1, says("other"));
    let db = object("shop", 1, of(says("db"), json!({"app": "db"})));
    let (rules, _) = rules(&[other, db]);
    assert!(rules.side(Side::Server).metrics.is_none());
}

#[test]
fn the_older_one_of_two_counts() {
    let ratio = |ratio: f64| json!({"tracing": [{"randomSamplingPercentage": ratio}]});
    let objects = [object("shop", 9, ratio(9.0)), object("shop", 3, ratio(3.0))];
    let (rules, overlooked) = rules(&objects);
    assert_eq!(rules.side(Side::Client).ratio, Some(0.03));
    assert_eq!(overlooked, ["shop/t9"]);
}

#[test]
fn targets() {
    #[track_caller]
    fn check(namespace: &str, target: Value, expected: bool) {
        let spec = json!({"targetRefs": [target], "tracing": [{"disableSpanReporting": true}]});
        let (rules, _) = rules(&[object(namespace, 1, spec)]);
        assert_eq!(rules.side(Side::Server).is_span_off, expected);
    }
    let service = |name| json!({"kind": "Service", "group": "", "name": name});
    check("shop", service("front"), true);
    check("shop", service("headless"), false);
    check("shop", service("back"), false);
    check("other", service("front"), false);
    let gateway = json!({"kind": "Gateway", "group": "gateway.networking.k8s.io", "name": "gw"});
    check("shop", gateway, true);
}

#[test]
fn spans() {
    let mesh = object(
        ROOT,
        1,
        json!({"tracing": [{
            "randomSamplingPercentage": 10.0,
            "customTags": {"a": {"literal": {"value": "1"}}, "b": {"header": {"name": "X-B"}}},
        }]}),
    );
    let near = object(
        "shop",
        2,
        json!({"tracing": [
            {"match": {"mode": "CLIENT"}, "disableSpanReporting": true},
            {"match": {"mode": "SERVER"}, "customTags": {
                "c": {"environment": {"name": "ZONE", "defaultValue": "eu"}},
                "d": {"header": {"name": "x-d", "defaultValue": "-"}},
            }},
        ]}),
    );
    let (rules, _) = rules(&[mesh, near]);
    let tag = |name: &str, header: Option<&str>, text: Option<&str>| Tag {
        name: name.into(),
        header: header.map(Into::into),
        text: text.map(Into::into),
    };
    let client = rules.side(Side::Client);
    assert!(client.is_span_off);
    let inherited = [tag("a", None, Some("1")), tag("b", Some("x-b"), None)];
    assert_eq!((client.ratio, &*client.tags), (Some(0.1), &inherited[..]));
    let server = rules.side(Side::Server);
    assert!(!server.is_span_off);
    let replaced = [tag("c", None, Some("eu")), tag("d", Some("x-d"), Some("-"))];
    assert_eq!((server.ratio, &*server.tags), (Some(0.1), &replaced[..]));
}

#[test]
fn access_logs() {
    let mesh = object(
        ROOT,
        1,
        json!({"accessLogging": [{"filter": {"expression": "response.code >= 400"}}]}),
    );
    let near = object(
        "shop",
        2,
        json!({"accessLogging": [{"match": {"mode": "CLIENT"}, "disabled": true}]}),
    );
    let (rules, _) = rules(&[mesh, near]);
    for (side, is_off) in [(Side::Client, true), (Side::Server, false)] {
        let rules = rules.side(side);
        assert_eq!(rules.is_log_off, is_off);
        let filter = rules
            .log_filter
            .as_ref()
            .map(|filter| format!("{filter:?}"));
        assert_eq!(filter.as_deref(), Some("\"response.code >= 400\""));
    }
}

#[test]
fn what_cannot_be_honoured_is_said() {
    #[track_caller]
    fn check(spec: Value, expected: &[&str]) {
        let object = object("shop", 1, spec);
        let found = object.complaints();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}");
        }
    }
    check(json!({}), &[]);
    check(json!({"metrics": 7}), &["spec cannot be read: "]);
    check(
        json!({"metrics": [{"overrides": [{"match": {"mode": "BOTH"}}]}]}),
        &["spec cannot be read: "],
    );
    check(
        json!({"targetRefs": [{"kind": "GatewayClass", "group": "gateway.networking.k8s.io", "name": "x"}]}),
        &["targetRefs: no pod is known by a GatewayClass"],
    );
    check(
        json!({"metrics": [{"providers": [{"name": "stackdriver"}], "reportingInterval": "5s"}]}),
        &[
            "metrics[0].providers: `stackdriver`",
            "metrics[0].reportingInterval: ",
        ],
    );
    check(
        overrides(json!([
            {"match": {"metric": "NOTHING"}},
            {"match": {"customMetric": "my_metric"}},
            {"match": {"customMetric": "istio_requests_total"}, "tagOverrides": {
                "a": {"value": "node.metadata['x']"},
                "b": {"value": "request."},
                "c-d": {"value": "'x'"},
                "e": {"value": "request.host"},
            }},
        ])),
        &[
            "metrics[0].overrides[0].match: there is no metric NOTHING",
            "metrics[0].overrides[1].match: there is no metric `my_metric`",
            "metrics[0].overrides[2].tagOverrides.a: there is no `node`",
            "metrics[0].overrides[2].tagOverrides.b: ",
            "metrics[0].overrides[2].tagOverrides.c-d: not a name of a label",
        ],
    );
    check(
        json!({"tracing": [{
            "providers": [{"name": "zipkin"}],
            "randomSamplingPercentage": 101.0,
            "useRequestIdForTraceSampling": true,
            "enableIstioTags": false,
            "customTags": {"a": {"environment": {"name": "A"}}, "b": {}},
        }]}),
        &[
            "tracing[0].providers: `zipkin`",
            "tracing[0].randomSamplingPercentage: 101 is not between 0 and 100",
            "tracing[0].useRequestIdForTraceSampling: ",
            "tracing[0].enableIstioTags: ",
            "tracing[0].customTags.a: a proxy's environment",
            "tracing[0].customTags.b: neither",
        ],
    );
    check(
        json!({"accessLogging": [{"providers": [{"name": "envoy"}], "filter": {"expression": "connection.mtls"}}]}),
        &["accessLogging[0].filter.expression: there is no `connection`"],
    );
}
