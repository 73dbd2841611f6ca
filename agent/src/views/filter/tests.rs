use std::sync::Arc;

use super::super::shown::tests::shown;
use super::*;
use crate::http::Anomalies;
use crate::process::Process;
use crate::tap::sample;

/// `POST shop.example/cart?id=7`, 201, at the server `shop[4321]`, from `curl[99]`.
fn exchange() -> Shown {
    let mut shown = shown(&sample::exchange());
    shown.caller = Some(Arc::new(Process {
        pid: 99,
        name: "curl".into(),
    }));
    shown
}

#[track_caller]
fn check(filter: &str, expected: bool) {
    let query: Query = filter.parse().expect("a filter");
    assert_eq!(query.matches(&exchange()), expected, "{filter}");
}

#[test]
fn each_kind() {
    for (filter, expected) in [
        ("", true),
        ("method:post", true),
        ("method:GET", false),
        ("method:GET,POST", true),
        ("status:2xx", true),
        ("status:none,404", false),
        ("path:/cart", true),
        ("path:/c*t", true),
        ("path:/x", false),
        ("host:*.example", true),
        ("host:other", false),
        ("port:8080", true),
        ("port:40000", true),
        ("port:80", false),
        ("pid:4321", true),
        ("pid:99", true),
        ("pid:1", false),
        ("process:sh*", true),
        ("process:curl", true),
        ("process:sho", false),
        ("side:server", true),
        ("side:client", false),
        ("proto:http/1.1", true),
        ("proto:http", true),
        ("proto:grpc", false),
        ("header:x-bytes", true),
        ("header:content-type=image/*", true),
        ("header:content-type=text/*", false),
        ("header:absent", false),
        ("body:ITEM", true),
        ("body:absent", false),
        ("took:>1ms", true),
        ("took:<1ms", false),
        ("is:failed", false),
        ("is:tls,call,upgrade,partial,anomaly", false),
    ] {
        check(filter, expected);
        if !filter.is_empty() {
            check(&format!("-{filter}"), !expected);
        }
    }
}

#[test]
fn text_without_a_kind() {
    for (filter, expected) in [
        ("cart", true),
        ("SHOP.EXAMPLE", true),
        ("curl", true),
        ("10.0.0.2", true),
        ("\"10.0.0.2:8080\"", true),
        ("id=7", true),
        ("cart absent", false),
        ("-absent", true),
        ("-cart", false),
        ("-", false),
    ] {
        check(filter, expected);
    }
}

#[test]
fn kinds_narrow_and_values_widen() {
    check("method:POST status:404", false);
    check("method:POST status:404 status:201", true);
    check("header:host header:absent", false);
    check("took:>1ms took:<1s", true);
    check("method:POST -status:201", false);
    check("  method:POST   -status:5xx  cart ", true);
}

#[test]
fn what_is_seen_of_an_exchange() {
    let mut exchange = sample::exchange();
    exchange.request.anomalies = Anomalies::BARE_LF;
    exchange.response = None;
    let shown = shown(&exchange);
    for (filter, expected) in [
        ("is:anomaly", true),
        ("is:failed", true),
        ("status:none", true),
    ] {
        let query: Query = filter.parse().expect("a filter");
        assert_eq!(query.matches(&shown), expected, "{filter}");
    }
}

#[test]
fn an_error_says_what_to_write() {
    for (filter, expected) in [
        ("status:99", "write for example 200"),
        ("status:", "has no value"),
        ("http://x", "stands in quotes"),
        ("\"open", "a quote has no end"),
        ("is:odd", "write failed, tls"),
        ("took:100ms", "took:>100ms"),
        ("took:>soon", "took:>100ms"),
        ("port:http", "is not a port"),
        ("side:left", "write server or client"),
        ("method:G/T", "is not a method"),
        ("header:a b", ""),
        ("method:P*", "stands for nothing"),
        ("path:x", "no path can match"),
        ("path:/a#b", "is not sent"),
    ] {
        let parsed = filter.parse::<Query>();
        match expected {
            "" => assert!(parsed.is_ok(), "{filter}"),
            _ => assert!(parsed.unwrap_err().contains(expected), "{filter}"),
        }
    }
}

#[test]
fn what_is_still_typed() {
    for (text, expected) in [
        ("path:/cart sta", "path:/cart"),
        ("path:/cart status:", "path:/cart"),
        ("-stat", ""),
        ("cart", "cart"),
        ("car", "car"),
        ("status:2", "status:2"),
        ("stat x", "stat x"),
    ] {
        assert_eq!(Query::typed(text), expected.parse(), "{text}");
    }
    for kind in term::KINDS {
        let text = format!("{kind}:");
        let error = text.parse::<Query>().expect_err("no value");
        assert!(error.contains("has no value"), "{error}");
    }
}

#[test]
fn the_help_is_right() {
    for (example, _) in HELP {
        example.parse::<Query>().expect(example);
    }
}
