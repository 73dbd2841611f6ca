//! The API server by itself: that a test's own words decide what is a pod, that access rules hold,
//! and that what is gone is gone.

use meshtap_tests::{ApiServer, isolated};
use serde_json::{Value, json};

fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"nodeName": "node-a", "containers": [{"name": "app", "image": "none"}]},
    })
}

const PODS: &str = "/api/v1/namespaces/shop/pods";

fn with_shop(body: impl FnOnce(ApiServer<'_>) + Send) {
    if !ApiServer::available() {
        return;
    }
    isolated(|bench| {
        let server = ApiServer::start(bench);
        let namespace = json!({"metadata": {"name": "shop"}});
        server.expect("POST", "/api/v1/namespaces", &namespace);
        body(server);
    });
}

#[test]
fn a_pod_is_what_the_test_says() {
    with_shop(|mut server| {
        server.create(PODS, &[pod("cart-1"), pod("cart-2")]);
        let address = json!({"status": {"podIP": "10.1.0.7", "podIPs": [{"ip": "10.1.0.7"}], "phase": "Running"}});
        server.expect("PATCH", &format!("{PODS}/cart-1/status"), &address);
        server.restart();
        let on_node = format!("{PODS}?fieldSelector=spec.nodeName=node-a");
        let pods = server.call("GET", &on_node, None).body;
        let names: Vec<_> = pods["items"].as_array().unwrap().iter().collect();
        assert_eq!(names.len(), 2);
        assert_eq!(names[0]["status"]["podIP"], "10.1.0.7");
    });
}

#[test]
fn a_service_account_may_do_what_its_rules_say() {
    with_shop(|server| {
        let service_account = json!({"metadata": {"name": "watcher"}});
        server.expect(
            "POST",
            "/api/v1/namespaces/shop/serviceaccounts",
            &service_account,
        );
        let token = server.token("shop", "watcher");
        assert_eq!(server.call_as(&token, "GET", PODS, None).status, 403);
        let role = json!({"metadata": {"name": "watch"}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]});
        let rules = "/apis/rbac.authorization.k8s.io/v1/namespaces/shop";
        server.expect("POST", &format!("{rules}/roles"), &role);
        let binding = json!({
            "metadata": {"name": "watch"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "watch"},
            "subjects": [{"kind": "ServiceAccount", "name": "watcher", "namespace": "shop"}],
        });
        server.expect("POST", &format!("{rules}/rolebindings"), &binding);
        // The server learns of a rule a moment after it has taken it.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while server.call_as(&token, "GET", PODS, None).status != 200 {
            assert!(std::time::Instant::now() < deadline, "never allowed");
        }
        assert_eq!(
            server.call_as(&token, "POST", PODS, Some(&pod("a"))).status,
            403
        );
    });
}

#[test]
fn what_was_compacted_is_gone() {
    with_shop(|mut server| {
        let before = server.expect("POST", PODS, &pod("cart-1"));
        let version = before["metadata"]["resourceVersion"].as_str().unwrap();
        server.create(PODS, &[pod("cart-2"), pod("cart-3")]);
        let left = server.compact();
        assert!(left > version.parse().unwrap());
        server.restart();
        let watch = format!("{PODS}?watch=1&timeoutSeconds=5&resourceVersion={version}");
        let reply = server.call("GET", &watch, None);
        let code = reply
            .body
            .pointer("/object/code")
            .or(reply.body.get("code"));
        assert_eq!(code, Some(&json!(410)), "{reply:?}");
    });
}
