use serde_json::json;

use super::*;
use crate::policy::fixture;
use crate::signal::route::{Router, Routes, RoutesSection};

fn routes(objects: &[(RouteKind, &str, i64, Value)]) -> Arc<GatewayRoutes> {
    let routes = GatewayRoutes::default();
    for (kind, name, created, spec) in objects {
        let object = RouteObject {
            kind: *kind,
            uid: name,
            namespace: "shop",
            name,
            created: *created,
            spec,
        };
        assert_eq!(routes.applied(&object, 1), Vec::<String>::new());
    }
    Arc::new(routes)
}

#[track_caller]
fn check(routes: &Arc<GatewayRoutes>, request: &str, expected: &str) {
    let none = Routes::new(&RoutesSection::default(), &[], true)
        .unwrap()
        .unwrap();
    let mut router = Router::new(Arc::new(none)).with_gateway(Some(routes.clone()));
    let (line, fields) = request.split_once(" | ").unwrap();
    let fields = fields.replace(" | ", "\r\n");
    let text = format!("{line} HTTP/1.1\r\nhost: {fields}\r\n\r\n");
    let exchange = fixture::exchange(text, "HTTP/1.1 200 X\r\n\r\n");
    assert_eq!(&*router.route(&exchange, "shop"), expected, "{request}");
}

#[test]
fn what_says_more_goes_first() {
    let rules = json!([
        {"matches": [{"path": {"type": "PathPrefix", "value": "/"}}]},
        {"name": "cart", "matches": [
            {"path": {"type": "PathPrefix", "value": "/cart/"}},
            {"path": {"value": "/basket"}},
        ]},
        {"matches": [{"path": {"type": "Exact", "value": "/cart/7"}, "method": "GET"}]},
        {"matches": [{"path": {"value": "/cart"}, "headers": [{"name": "X-Beta", "value": "1"}]}]},
        {"matches": [{"path": {"value": "/cart"}, "queryParams": [{"name": "v", "value": "2|3", "type": "RegularExpression"}]}]},
        {"matches": [{"path": {"type": "RegularExpression", "value": "/img/[a-z]+"}}]},
    ]);
    let web = json!({"hostnames": ["Shop.example.com", "*.shop.example.com"], "rules": rules});
    let other = json!({"hostnames": ["*.example.com"], "rules": [{}]});
    let routes = routes(&[
        (RouteKind::Http, "web", 1, web),
        (RouteKind::Http, "other", 0, other),
    ]);
    let host = "shop.example.com";
    let check = |line: &str, expected| check(&routes, &format!("{line} | {host}"), expected);
    check("GET /", "shop/web/0");
    check("GET /cartoon", "shop/web/0");
    check("GET /cart", "shop/web/cart");
    check("GET /basket/1?x=1", "shop/web/cart");
    check("GET /cart/7", "shop/web/2");
    check("PUT /cart/7", "shop/web/cart");
    check("GET /cart?v=3", "shop/web/4");
    check("GET /cart?v=4", "shop/web/cart");
    // A prefix goes before an expression.
    check("GET /img/a", "shop/web/0");
    let check = |request, expected| super::tests::check(&routes, request, expected);
    check(
        "GET /cart | shop.example.com:8080 | x-beta: 1",
        "shop/web/3",
    );
    check("GET /cart | EU.shop.example.com", "shop/web/cart");
    check("GET /cart | example.com", "unknown");
    check("GET /cart | a.example.com", "shop/other/0");
}

#[test]
fn a_route_without_hosts_is_for_its_services() {
    let spec = json!({
        "parentRefs": [{"kind": "Service", "group": "", "name": "front"}, {"kind": "Gateway", "name": "gw"}],
        "rules": [{"backendRefs": [{"name": "back", "port": 80}, {"name": "far", "namespace": "db"}]}],
    });
    let routes = routes(&[(RouteKind::Http, "mesh", 1, spec)]);
    let check = |host: &str, expected| check(&routes, &format!("GET / | {host}"), expected);
    check("front", "shop/mesh/0");
    check("front.shop:80", "shop/mesh/0");
    check("back.shop.svc.cluster.local", "shop/mesh/0");
    check("far.db", "shop/mesh/0");
    check("far", "unknown");
    check("gw", "unknown");
    check("front.shop.example.com", "unknown");
}

#[test]
fn calls() {
    let spec = json!({"hostnames": ["g"], "rules": [
        {"name": "all"},
        {"name": "service", "matches": [{"method": {"service": "a.Users"}}]},
        {"name": "call", "matches": [{"method": {"service": "a.Users", "method": "Get"}}]},
        {"name": "any", "matches": [{"method": {"method": "List"}}]},
    ]});
    let routes = routes(&[(RouteKind::Grpc, "rpc", 1, spec)]);
    let check = |path: &str, expected| check(&routes, &format!("POST {path} | g"), expected);
    check("/a.Users/Get", "shop/rpc/call");
    check("/a.Users/Put", "shop/rpc/service");
    check("/a.UsersX/Put", "shop/rpc/all");
}

#[test]
fn objects_come_and_go() {
    let spec = json!({"hostnames": ["h"], "rules": [{}]});
    let routes = routes(&[
        (RouteKind::Http, "a", 2, spec.clone()),
        (RouteKind::Http, "b", 1, spec.clone()),
        (RouteKind::Grpc, "c", 0, spec),
    ]);
    check(&routes, "GET / | h", "shop/c/0");
    routes.deleted(RouteKind::Grpc, "c");
    check(&routes, "GET / | h", "shop/b/0");
    routes.deleted(RouteKind::Http, "b");
    check(&routes, "GET / | h", "shop/a/0");
    routes.listed(RouteKind::Grpc, 2);
    check(&routes, "GET / | h", "shop/a/0");
    routes.listed(RouteKind::Http, 2);
    check(&routes, "GET / | h", "unknown");
}

#[test]
fn what_cannot_be_used_is_said() {
    let routes = GatewayRoutes::default();
    let spec = json!({"rules": [
        {"matches": [{"path": {"type": "RegularExpression", "value": "("}}]},
        {"matches": [{"path": {"type": "Odd", "value": "/"}}]},
        {"matches": [{"headers": [{"name": "a", "value": "b", "type": "Odd"}]}]},
    ]});
    let object = RouteObject {
        kind: RouteKind::Http,
        uid: "u",
        namespace: "n",
        name: "r",
        created: 0,
        spec: &spec,
    };
    let reasons = routes.applied(&object, 1);
    assert_eq!(reasons.len(), 3, "{reasons:?}");
    assert!(
        reasons[0].starts_with("rule 0: regex parse error"),
        "{reasons:?}"
    );
    assert_eq!(reasons[1], "rule 1: there is no type of path `Odd`");
    assert_eq!(reasons[2], "rule 2: there is no type of field `Odd`");
}
