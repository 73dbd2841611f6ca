//! HBONE: HTTP inside CONNECT inside TLS, between a proxy that opens tunnels and one that ends them
//! and reads what is inside, as a waypoint does.

use meshtap_tests::{Bench, Envoy, HTTP_PORT, Tap, curl, live, url};

use crate::bench::{Certificate, nginx, reading, scheme};

/// Where tunnels are opened for whoever connects.
const OUTBOUND: u16 = 15_001;
/// Where tunnels end.
const HBONE: u16 = 15_008;

fn envoy(bench: &Bench, certificate: &Certificate) -> Envoy {
    let (chain, key) = (certificate.certificate.display(), certificate.key.display());
    let config = format!(
        r#"
bootstrap_extensions:
- name: envoy.bootstrap.internal_listener
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener
static_resources:
  listeners:
  - name: outbound
    address: {{ socket_address: {{ address: 127.0.0.1, port_value: {OUTBOUND} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.tcp_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: outbound
          cluster: hbone
          tunneling_config:
            hostname: 127.0.0.1:{HTTP_PORT}
            headers_to_add:
            - header: {{ key: forwarded, value: "for=10.0.0.9" }}
            - header: {{ key: baggage, value: "k8s.namespace.name=shop,k8s.deployment.name=web" }}
  - name: connect_terminate
    address: {{ socket_address: {{ address: 127.0.0.1, port_value: {HBONE} }} }}
    filter_chains:
    - transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            alpn_protocols: [h2]
            tls_certificates:
            - certificate_chain: {{ filename: {chain} }}
              private_key: {{ filename: {key} }}
      filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: connect
          http2_protocol_options: {{ allow_connect: true }}
          upgrade_configs:
          - upgrade_type: CONNECT
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {{ connect_matcher: {{}} }}
                route:
                  cluster: main
                  upgrade_configs:
                  - upgrade_type: CONNECT
                    connect_config: {{}}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  - name: main
    internal_listener: {{}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: main
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {{ prefix: / }}
                route: {{ cluster: server }}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
  - name: hbone
    connect_timeout: 10s
    type: STATIC
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config:
          http2_protocol_options: {{}}
    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        common_tls_context:
          alpn_protocols: [h2]
    load_assignment:
      cluster_name: hbone
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: {{ socket_address: {{ address: 127.0.0.1, port_value: {HBONE} }} }}
  - name: main
    connect_timeout: 10s
    load_assignment:
      cluster_name: main
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: {{ envoy_internal_address: {{ server_listener_name: main }} }}
  - name: server
    connect_timeout: 10s
    type: STATIC
    load_assignment:
      cluster_name: server
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: {{ socket_address: {{ address: 127.0.0.1, port_value: {HTTP_PORT} }} }}
"#
    );
    Envoy::with_config(bench, &config, HBONE)
}

#[test]
fn inner_requests_are_emitted_once_per_side() {
    live(|bench| {
        let certificate = Certificate::make(bench);
        let _nginx = nginx(bench, &certificate);
        let _envoy = envoy(bench, &certificate);
        let port = HBONE.to_string();
        let taps = ["server", "client"].map(|side| {
            let tap = Tap::new(bench).args(["--side", side, "--port", &port]);
            (side, reading(tap, "/envoy "))
        });
        let inner =
            url("127.0.0.1", "/echo?id=").replace(&HTTP_PORT.to_string(), &OUTBOUND.to_string());
        let urls = ["one", "two"].map(|id| format!("{inner}{id}"));
        assert_eq!(curl(&[&urls[0], &urls[1]]), b"onetwo");
        for (side, tap) in taps {
            tap.emitted(3);
            let report = tap.finish();
            report.assert_nothing_lost();
            let (tunnels, requests): (Vec<_>, Vec<_>) = report
                .exchanges
                .iter()
                .partition(|e| e.method() == "CONNECT");
            assert_eq!(tunnels.len(), 1, "{:#?}", report.lines);
            assert_eq!((tunnels[0].side(), scheme(tunnels[0])), (side, "https"));
            let ids: Vec<_> = requests.iter().map(|e| e.response().text()).collect();
            assert_eq!(ids, ["one", "two"]);
            for request in requests {
                assert_eq!((request.side(), scheme(request)), (side, "http"));
                let tunnel = &request.0["tunnel"];
                assert_eq!(tunnel["server"]["port"], HBONE);
                assert_eq!(tunnel["target"]["address"], "127.0.0.1");
                assert_eq!(tunnel["target"]["port"], HTTP_PORT);
                assert_eq!(tunnel["forwarded"], "10.0.0.9");
                assert_eq!(tunnel["source"]["namespace"], "shop");
                assert_eq!(tunnel["source"]["kind"], "deployment");
                assert_eq!(tunnel["source"]["workload"], "web");
            }
        }
    });
}
