use super::super::shown::tests::{open, shown};
use super::*;
use crate::tap::sample;

fn stats() -> Stats {
    let mut stats = Stats::default();
    let mut exchange = sample::exchange();
    for _ in 0..9 {
        stats.add(&shown(&exchange));
    }
    exchange.response.as_mut().expect("one").head.status = 503;
    stats.add(&shown(&exchange));
    stats.add(&shown(&open(None)));
    stats
}

#[test]
fn for_a_person() {
    let stats = stats();
    assert_eq!(
        text(&stats, By::Route, 2.5),
        "METHOD ROUTE  SERVER     COUNT  RATE  FAIL    P50    P95    P99 BYTES\n\
         POST /cart  shop:8080       10   4.0   10% 1.50ms 1.50ms 1.50ms   240\n\
         all                         10   4.0   10% 1.50ms 1.50ms 1.50ms   240\n\
         open at the end, and not counted: 1 exchange\n"
    );
}

#[test]
fn for_a_script() {
    let stats = stats();
    let text = json(&stats, By::Status, 2.5);
    let document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(document["by"], "status");
    assert_eq!(document["total"]["count"], 10);
    assert_eq!(document["rows"][0]["status"], "201");
    assert_eq!(document["rows"][0]["count"], 9);
    assert_eq!(document["rows"][1]["status"], "503");
    assert_eq!(document["rows"][1]["failed_share"], 1.0);
    assert!(document["rows"][0].get("server").is_none());
    assert_eq!(document["overflow"], 0);
    assert_eq!(document["open"], 1);
    assert_eq!(document["rate_seconds"], 2.5);
    assert_eq!(document["total"]["rate"], 4.0);
}
