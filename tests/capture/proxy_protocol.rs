//! PROXY protocol preambles (haproxy.org, "The PROXY protocol", versions 1 and 2): skipped, and the
//! client they name is shown as a claim.

use meshtap_tests::{HTTP_PORT, Nginx, Pair, Tap, curl, live, url};

#[test]
fn version_1_from_curl_to_nginx() {
    live(|bench| {
        let listen = format!("listen {HTTP_PORT} proxy_protocol;");
        let _nginx = Nginx::start_http(
            bench,
            &format!("server {{ {listen} location / {{ return 200 $proxy_protocol_addr; }} }}"),
        );
        let tap = Tap::new(bench).server_side().start();
        let page = url("127.0.0.1", "/proxied");
        let response = curl(&["--haproxy-protocol", &page, &page]);
        assert_eq!(response, b"127.0.0.1127.0.0.1");
        let report = tap.finish();
        report.assert_nothing_lost();
        assert_eq!(report.exchanges.len(), 2);
        for exchange in &report.exchanges {
            assert_eq!(
                (exchange.target(), exchange.status()),
                ("/proxied", Some(200))
            );
        }
    });
}

/// A preamble, and the client that the two exchanges after it must be shown to claim.
fn check(preamble: &[u8], client: (&str, u16)) {
    live(|bench| {
        let tap = Tap::new(bench).server_side().start();
        let mut pair = Pair::new(9000);
        pair.request([preamble, b"GET /first HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
        pair.respond("HTTP/1.1 204 No Content\r\n\r\n");
        pair.request("GET /second HTTP/1.1\r\nHost: a\r\n\r\n");
        pair.respond("HTTP/1.1 204 No Content\r\n\r\n");
        let report = tap.finish();
        report.assert_nothing_lost();
        let targets: Vec<_> = report.exchanges.iter().map(|e| e.target()).collect();
        assert_eq!(targets, ["/first", "/second"]);
        for exchange in &report.exchanges {
            assert_eq!(exchange.end("claimed_client"), client);
            assert_eq!(exchange.end("client").0, "127.0.0.1");
            assert_eq!(exchange.end("server"), ("127.0.0.1", 9000));
        }
    });
}

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

#[test]
fn version_1() {
    check(
        b"PROXY TCP4 203.0.113.7 127.0.0.1 40000 9000\r\n",
        ("203.0.113.7", 40000),
    );
    check(
        b"PROXY TCP6 2001:db8::7 ::1 40000 9000\r\n",
        ("2001:db8::7", 40000),
    );
}

#[test]
fn version_2() {
    let v4 = b"\x21\x11\x00\x0c\xcb\x00\x71\x07\x7f\x00\x00\x01\x9c\x40\x23\x28";
    check(&[SIGNATURE, v4].concat(), ("203.0.113.7", 40000));
    // With a TLV after the addresses, as ztunnel sends to a waypoint.
    let with_tlv =
        b"\x21\x11\x00\x13\xcb\x00\x71\x07\x7f\x00\x00\x01\x9c\x40\x23\x28\xd0\x00\x04abcd";
    check(&[SIGNATURE, with_tlv].concat(), ("203.0.113.7", 40000));
}
