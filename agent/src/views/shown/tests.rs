use super::*;
use crate::http::Anomalies;
use crate::tap::sample;

/// As the output thread makes one.
pub(crate) fn shown(exchange: &Exchange) -> Shown {
    let sanitized = sample::sanitized(exchange);
    let view = sample::view(&sanitized);
    let (process, clock) = (view.process.clone(), view.clock);
    Shown {
        sanitized,
        process,
        caller: None,
        clock,
        service: None,
        place: None,
    }
}

/// One that the end of the capture cut off, with the status that it had by then.
pub(crate) fn open(status: Option<u16>) -> Exchange {
    let mut exchange = sample::exchange();
    exchange.partial = Some(Partial::Shutdown);
    match status {
        Some(status) => exchange.response.as_mut().expect("one").head.status = status,
        None => exchange.response = None,
    }
    exchange
}

#[test]
fn a_row_says_what_a_line_says() {
    let mut exchange = sample::exchange();
    exchange.request.anomalies = Anomalies::BARE_LF;
    let row = shown(&exchange).row(7);
    let json = serde_json::to_value(&row).expect("JSON");
    assert_eq!(
        json,
        serde_json::json!({
            "id": 7, "time_us": 1_709_210_096_000_000_u64, "duration_ns": 1_500_000,
            "side": "server", "client": "10.0.0.1:40000", "server": "10.0.0.2:8080",
            "process": "shop[4321]", "method": "POST", "target": "/cart?id=7",
            "host": "shop.example", "status": 201, "request_size": 14, "response_size": 10,
            "protocol": "http/1.1", "tls": false, "upgrade": false, "anomalies": ["bare_lf"],
            "failed": false,
        })
    );
}

#[test]
fn nothing_in_a_row_moves_a_cursor() {
    let mut exchange = sample::exchange();
    exchange.request.head = sample::request_head(
        b"G\x1b[2J",
        "/\u{202e}x\n".as_bytes(),
        &[(b"Host", b"a\x07")],
    );
    let row = shown(&exchange).row(1);
    assert_eq!(row.method, "G\\x1b[2J");
    assert_eq!(row.target, "/\\u{202e}x\\x0a");
    assert_eq!(row.host.as_deref(), Some("a\\x07"));
}

#[test]
fn json_is_that_of_tap() {
    let shown = shown(&sample::exchange());
    let mut printed = Vec::new();
    write_json(&mut printed, &shown.view(), Detail::Bodies);
    assert_eq!([&shown.json()[..], b"\n"].concat(), printed);
    let entry: serde_json::Value = serde_json::from_slice(&shown.har()).expect("JSON");
    assert_eq!(entry["request"]["method"], "POST");
}

#[test]
fn what_failed() {
    let check = |status: Option<u16>, expected| {
        let mut exchange = sample::exchange();
        match status {
            Some(status) => exchange.response.as_mut().expect("one").head.status = status,
            None => exchange.response = None,
        }
        assert_eq!(shown(&exchange).failed(), expected, "{status:?}");
    };
    check(Some(200), false);
    check(Some(404), false);
    check(Some(500), true);
    check(Some(503), true);
    check(None, true);
    // What the end of the capture cut off did not fail, unless it had by then.
    let check = |status: Option<u16>, expected| {
        let shown = shown(&open(status));
        assert_eq!(
            (shown.is_open(), shown.failed()),
            (true, expected),
            "{status:?}"
        );
    };
    check(None, false);
    check(Some(200), false);
    check(Some(500), true);
}
