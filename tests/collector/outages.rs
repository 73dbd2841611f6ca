//! A collector that fails while the application is under load: spans are dropped at most, each
//! counted once, and the application does not notice.

use std::net::TcpListener;
use std::process::Command;

use meshtap_tests::{ECHO, HTTP_PORT, Nginx, figure, live};
use serde_json::Value;

use crate::fake::{Fake, Reply, names_of};
use crate::live::{GRPC, HTTP, export, until, until_within};
use crate::real::{self, Collector, Security, spans};
use crate::service::{Service, total};

/// Most that an outage of the collector may change the 99th percentile of the application's
/// latency, by the median of several outages: other work on the machine changes a single one by
/// more.
const UNCHANGED: f64 = 1.5;

/// What wrk saw: requests a second and the 99th percentile of latency in microseconds.
fn load(seconds: u32) -> (f64, f64) {
    let output = Command::new("wrk")
        .args(["-t", "1", "-c", "8", "--latency", "-d"])
        .arg(format!("{seconds}s"))
        .arg(format!("http://127.0.0.1:{HTTP_PORT}/echo?id=load"))
        .output()
        .expect("wrk");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let number = |name: &str| {
        let line = text.lines().find(|line| line.trim().starts_with(name));
        line.and_then(|line| line.split_whitespace().nth(1))
            .unwrap_or_else(|| panic!("no {name} in {text}"))
            .to_owned()
    };
    let latency = number("99%");
    let micros = match latency.trim_end_matches(char::is_alphabetic).parse::<f64>() {
        Ok(value) if latency.ends_with("us") => value,
        Ok(value) if latency.ends_with("ms") => value * 1e3,
        Ok(value) => value * 1e6,
        Err(error) => panic!("{latency}: {error}"),
    };
    (number("Requests/sec:").parse().unwrap(), micros)
}

/// A collector that takes connections and never says anything, then goes away and comes back.
#[test]
fn a_hanging_collector_costs_spans_and_nothing_else() {
    if !real::available() {
        return;
    }
    live(|bench| {
        let pod = bench.cgroup.pod(0xa1);
        let _nginx = pod.inside(|| Nginx::start(bench, ECHO));
        let (alone, p99_alone) = load(5);
        let hanging = TcpListener::bind(("127.0.0.1", HTTP)).unwrap();
        let more = ", timeout: 2s, queue: {bytes: 4MiB}, retry: {initial: 100ms, max: 1s}";
        let mut config = export(bench, Security::Plain, "http/protobuf", more);
        config = config.replace("shutdown_timeout: 60s", "shutdown_timeout: 30s");
        let service = Service::start(bench, &pod, "server", &config);
        let (hung, p99_hung) = load(10);
        let dropped = service.metric(
            "meshtap_items_dropped_total{exporter=\"otlp\",item=\"span\",reason=\"queue_full\"}",
        );
        assert!(dropped > 0.0, "the load fills 4 MiB");
        let memory = service.metric("process_resident_memory_bytes");
        drop(hanging);
        let folder = bench.scratch.folder("collector");
        let collector = Collector::listen(&folder, Security::Plain, GRPC, HTTP).unwrap();
        until(|| {
            service.metric("meshtap_items_exported_total{exporter=\"otlp\",item=\"span\"}") > 0.0
        });
        let (working, p99_working) = load(5);
        let ledger = service.finish();
        let exported = ledger["exporters"]["otlp"]["exported"].as_u64().unwrap();
        let mut arrived = 0;
        spans(&collector.finish(), |_| arrived += 1);
        // What hung may have arrived without an reply: never fewer than were counted.
        assert!(arrived >= exported, "{arrived} {ledger}");
        figure(&format!(
            "nginx alone {alone:.0} req/s, p99 {p99_alone:.0} µs; collector hanging {hung:.0} req/s, p99 {p99_hung:.0} µs; working \
             {working:.0} req/s, p99 {p99_working:.0} µs; p99 hanging/working {:.2}; agent {:.0} MiB; {ledger}",
            p99_hung / p99_working,
            memory / f64::from(1 << 20),
        ));
    });
}

/// In real time, under full load: nobody listens for a minute.
#[test]
fn a_collector_that_is_away_for_a_minute() {
    if !real::available() {
        return;
    }
    live(|bench| {
        let pod = bench.cgroup.pod(0xa1);
        let _nginx = pod.inside(|| Nginx::start(bench, ECHO));
        let more = ", queue: {bytes: 16MiB}";
        let service = Service::start(
            bench,
            &pod,
            "server",
            &export(bench, Security::Plain, "grpc", more),
        );
        let (away, p99_away) = load(60);
        let memory = service.metric("process_resident_memory_bytes");
        let folder = bench.scratch.folder("collector");
        let collector = Collector::listen(&folder, Security::Plain, GRPC, HTTP).unwrap();
        until(|| {
            service.metric("meshtap_items_exported_total{exporter=\"otlp\",item=\"span\"}") > 0.0
        });
        let (working, p99_working) = load(10);
        let ledger = service.finish();
        let sent = &ledger["exporters"]["otlp"];
        let count = |key: &str| sent[key].as_u64().unwrap();
        assert!(
            sent["dropped"]["queue_full"].as_u64().unwrap() > 0,
            "a minute of load fills 16 MiB: {ledger}"
        );
        assert_eq!(
            count("accepted"),
            count("exported") + total(&sent["dropped"]),
            "{ledger}"
        );
        let mut arrived = 0;
        spans(&collector.finish(), |span| {
            assert_eq!(span.text("http.response.body"), "load");
            arrived += 1;
        });
        assert_eq!(arrived, count("exported"), "{ledger}");
        figure(&format!(
            "collector away {away:.0} req/s, p99 {p99_away:.0} µs; working {working:.0} req/s, p99 {p99_working:.0} µs; p99 away/working \
             {:.2}; agent {:.0} MiB; {ledger}",
            p99_away / p99_working,
            memory / f64::from(1 << 20),
        ));
        assert!(
            p99_away <= UNCHANGED * p99_working,
            "{p99_away} {p99_working}"
        );
    });
}

/// Every outage in its turn, each between two times in which the collector works.
#[test]
fn every_error_under_load() {
    let outages = [
        ("503 with Retry-After", Reply::Http(503, Some("1"))),
        ("429 with Retry-After", Reply::Http(429, Some("1"))),
        ("400", Reply::Http(400, None)),
        ("partial success", Reply::Reject(1)),
        ("closing mid-request", Reply::CloseEarly),
        ("closing before the reply", Reply::CloseLate),
        ("hanging", Reply::Hang),
    ];
    live(|bench| {
        let pod = bench.cgroup.pod(0xa1);
        let _nginx = pod.inside(|| Nginx::start(bench, ECHO));
        let address = ([127, 0, 0, 1], HTTP).into();
        let fake = Fake::listen(address, Vec::new(), Reply::Take);
        // A part of the traces, so that what this process keeps of them fits its memory; the agent
        // reads them all.
        let more = ", timeout: 1s, batch: {spans: 20, age: 100ms}, retry: {initial: 50ms, max: 200ms, give_up: 60s}";
        let config = format!(
            "{}policy: {{sampling_ratio: 0.02}}\n",
            export(bench, Security::Plain, "http/protobuf", more)
        );
        let service = Service::start(bench, &pod, "server", &config);
        let mut ratios = Vec::new();
        let mut found = Vec::new();
        for (name, reply) in outages {
            fake.reply(Reply::Take);
            let (_, before) = load(2);
            fake.reply(reply);
            let (_, during) = load(2);
            ratios.push(during / before);
            found.push(format!("{name} {:.2}", during / before));
        }
        fake.reply(Reply::Take);
        let ledger = service.finish();
        let sent = &ledger["exporters"]["otlp"];
        let count = |key: &str| sent[key].as_u64().unwrap();
        let dropped = |key: &str| sent["dropped"][key].as_u64().unwrap();
        assert_eq!(
            count("accepted"),
            count("exported") + count("rejected") + total(&sent["dropped"]),
            "{ledger}"
        );
        assert!(
            count("rejected") > 0 && dropped("permanent_error") > 0,
            "{ledger}"
        );
        assert!(count("failures") > 0, "{ledger}");
        let rest = ["queue_full", "retries_exhausted", "shutdown"];
        assert_eq!(
            rest.map(dropped),
            [0; 3],
            "what can be tried again was: {ledger}"
        );
        let taken = fake.received().into_iter().filter(|request| request.taken);
        let arrived: usize = taken.map(|request| names_of(&request.request).len()).sum();
        assert_eq!(
            arrived as u64,
            count("exported") + count("rejected"),
            "{ledger}"
        );
        ratios.sort_by(f64::total_cmp);
        let median = ratios[ratios.len() / 2];
        figure(&format!(
            "p99 during/before: {}; median {median:.2}",
            found.join(", ")
        ));
        assert!(median <= UNCHANGED, "{ratios:?}");
    });
}

/// Over its processor budget the agent exports no bodies, and the BPF program stops copying them;
/// below it they come back.
#[test]
fn over_its_budget_bodies_stay_in_the_kernel() {
    const SIZE: usize = 300_000;
    if !real::available() {
        return;
    }
    live(|bench| {
        let pod = bench.cgroup.pod(0xa1);
        let nginx = pod.inside(|| Nginx::start(bench, ECHO));
        std::fs::write(nginx.root().join("big"), vec![b'x'; SIZE]).unwrap();
        let folder = bench.scratch.folder("collector");
        let collector = Collector::listen(&folder, Security::Plain, GRPC, HTTP).unwrap();
        let config = format!(
            "{}limits: {{body: 1MiB}}\nbudget: {{cpu: 0.08, memory: null, sampling_ratio: 1.0}}\n",
            export(bench, Security::Plain, "grpc", "")
        );
        let service = Service::start(bench, &pod, "server", &config);
        let mut client = meshtap_tests::Connection::open(([127, 0, 0, 1], HTTP_PORT));
        let omitted = "meshtap_kernel_drop_bytes_total{reason=\"budget\"}";
        let mut download = |name: &str| {
            let kept = service.metric("meshtap_exchanges_kept_total");
            let before = service.metric(omitted);
            assert_eq!(client.get(&format!("/big?{name}")).body.len(), SIZE);
            until(|| service.metric("meshtap_exchanges_kept_total") > kept);
            service.metric(omitted) - before
        };
        assert_eq!(download("full"), 0.0, "all of it is copied");
        let mut busy = Command::new("wrk");
        busy.args(["-t", "1", "-c", "4", "-d", "600s"]);
        busy.arg(format!("http://127.0.0.1:{HTTP_PORT}/echo?id=load"));
        let load = meshtap_tests::Daemon::start(bench, &mut busy);
        until(|| service.log().contains("less is captured"));
        drop(load);
        // The data thread follows within a tenth of a second; until then a body may be copied.
        until(|| download("reduced") > SIZE as f64 * 0.9);
        // Two steps of half a minute. Metrics are not asked for: that is work, too.
        until_within(180, || service.log().contains("everything is captured"));
        // The data thread follows, and is asked about each of them.
        for _ in 0..20 {
            download("again");
        }
        let ledger = service.finish();
        assert_eq!(total(&ledger["partial"]), 0, "{ledger}");
        let mut seen = [0, 0, 0];
        spans(&collector.finish(), |span| {
            let target = span.text("http.target");
            let Some(name) = target.strip_prefix("/big?") else {
                return;
            };
            assert_eq!(
                span.attribute("http.response.body.size"),
                Some(Value::from(SIZE))
            );
            let whole = span.text("http.response.body").len() == SIZE;
            let omitted = span.text("meshtap.response.body.omitted") == "overload";
            // On the way back the first bodies may be those that the kernel still cut: the data
            // thread follows.
            assert!(whole != omitted || name == "again", "{target}");
            match name {
                "full" if whole => seen[0] += 1,
                "reduced" if omitted => seen[1] += 1,
                "again" if whole => seen[2] += 1,
                _ => {}
            }
        });
        assert!(seen.iter().all(|times| *times > 0), "{seen:?}");
    });
}
