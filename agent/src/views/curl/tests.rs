use super::super::shown::tests::shown;
use super::*;
use crate::exchange::Exchange;
use crate::tap::sample;

fn exchange(method: &[u8], target: &[u8], fields: &[(&[u8], &[u8])], body: &[u8]) -> Exchange {
    let mut exchange = sample::exchange();
    exchange.request.head = sample::request_head(method, target, fields);
    exchange.request.body = sample::body(body);
    exchange
}

#[track_caller]
fn check(exchange: &Exchange, expected: &str) {
    assert_eq!(command(&shown(exchange)).as_deref(), Ok(expected));
}

#[test]
fn the_same_request_to_the_same_server() {
    check(
        &exchange(
            b"GET",
            b"/a?b=[1]",
            &[
                (b"Host", b"shop.example"),
                (b"User-Agent", b"x"),
                (b"Accept", b"*/*"),
            ],
            b"",
        ),
        "curl -sS -i --connect-to '::10.0.0.2:8080' --globoff --path-as-is \
         'http://shop.example/a?b=[1]' -H 'User-Agent: x' -H 'Accept: */*'",
    );
    check(
        &exchange(
            b"POST",
            b"/",
            &[
                (b"Host", b"10.0.0.2:8080"),
                (b"Content-Length", b"3"),
                (b"Connection", b"close"),
                (b"Content-Type", b"text/plain"),
                (b"X-Empty", b""),
                (b"Accept-Encoding", b"gzip"),
            ],
            b"it's",
        ),
        "curl -sS -i --globoff --path-as-is 'http://10.0.0.2:8080/' -X 'POST' \
         -H 'Content-Type: text/plain' -H 'X-Empty;' -H 'Accept-Encoding: gzip' \
         -H 'User-Agent:' -H 'Accept:' --compressed --data-raw 'it'\\''s'",
    );
}

#[test]
fn targets_that_are_no_path() {
    check(
        &exchange(b"OPTIONS", b"*", &[(b"Host", b"10.0.0.2:8080")], b""),
        "curl -sS -i --request-target '*' 'http://10.0.0.2:8080' -X 'OPTIONS' \
         -H 'User-Agent:' -H 'Accept:'",
    );
    check(
        &exchange(b"HEAD", b"http://other/x", &[(b"Host", b"other")], b""),
        "curl -sS -i --proxy 'http://10.0.0.2:8080' 'http://other/x' --head \
         -H 'User-Agent:' -H 'Accept:'",
    );
    let connect = exchange(b"CONNECT", b"other:443", &[], b"");
    assert!(command(&shown(&connect)).is_err());
    // What curl refuses in an address, or changes there.
    check(
        &exchange(b"GET", b"/a\x01\xff", &[(b"Host", b"10.0.0.2:8080")], b""),
        "curl -sS -i --request-target $'/a\\001\\377' 'http://10.0.0.2:8080' \
         -H 'User-Agent:' -H 'Accept:'",
    );
}

#[test]
fn nothing_captured_is_a_command_of_the_shell() {
    let hostile = exchange(
        b"GET",
        b"/';reboot;'",
        &[(b"Host", b"10.0.0.2:8080"), (b"X", b"\x1b]0;a\x07\\'7")],
        b"",
    );
    check(
        &hostile,
        "curl -sS -i --globoff --path-as-is 'http://10.0.0.2:8080/'\\'';reboot;'\\''' \
         -H $'X: \\033]0;a\\007\\\\\\'7' -H 'User-Agent:' -H 'Accept:'",
    );
}

#[test]
fn bodies_that_are_no_text_or_not_whole() {
    let mut binary = exchange(b"PUT", b"/", &[(b"Host", b"10.0.0.2:8080")], b"\x00\xff");
    check(
        &binary,
        "printf AP8= | base64 -d | curl -sS -i --globoff --path-as-is 'http://10.0.0.2:8080/' \
         -X 'PUT' -H 'User-Agent:' -H 'Accept:' -H 'Content-Type:' --data-binary @-",
    );
    binary.request.body.truncated = true;
    let text = command(&shown(&binary)).expect("a command");
    assert!(text.starts_with("# the body is not whole\nprintf "));
    assert_eq!(remark(&shown(&binary)), Some("its body is not whole"));
}

#[test]
fn secrets_that_were_replaced_are_named() {
    let fields: [(&[u8], &[u8]); 1] = [(b"X", b"[redacted:0123456789ab]")];
    let hidden = exchange(b"GET", b"/", &fields, b"");
    assert_eq!(
        remark(&shown(&hidden)),
        Some("secrets in it are replaced by hashes")
    );
    assert_eq!(remark(&shown(&exchange(b"GET", b"/", &[], b"x"))), None);
}
