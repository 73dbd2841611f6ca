use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue as Any, KeyValue as Pair, any_value};
use prost::Message as _;

use super::*;
use crate::export::ItemKind;
use crate::export::otlp::{OtlpConfig, Signal};
use crate::export::queue::{DropPolicy, Popped, Queue};
use crate::policy::fixture;
use crate::redact::Config;
use crate::redact::fixture::sanitize;
use crate::signal::access_log::AccessLogSection;

fn settings(yaml: &str) -> Settings {
    let mut config: OtlpConfig = serde_saphyr::from_str(yaml).unwrap();
    (config.endpoint).get_or_insert_with(|| "http://localhost:4318".to_owned());
    Settings::of_signal(&config, Signal::Logs, "otlp", &|_| None).unwrap()
}

fn channel() -> Arc<Channel> {
    let queue = Queue::new(1 << 20, DropPolicy::Newest);
    Arc::new(Channel::new("x".to_owned(), ItemKind::LogRecord, queue))
}

fn resource(name: &str) -> Arc<Resource> {
    let attributes = vec![
        ("service.name".to_owned(), name.into()),
        ("n".to_owned(), ResourceValue::Int(7)),
    ];
    Arc::new(Resource { attributes })
}

fn exchange(status: u16) -> Sanitized {
    let response = format!("HTTP/1.1 {status} X\r\n\r\n");
    let exchange = fixture::exchange("GET /a?b=1 HTTP/1.1\r\nhost: h\r\n\r\n", response);
    sanitize(&Config::everything(), exchange)
}

/// Records with their resources, in the form `service/severity body`, sorted.
fn records(channel: &Channel) -> Vec<String> {
    let mut found = Vec::new();
    while let Popped::Item(batch) = channel.queue.try_pop() {
        let before = found.len();
        let request = ExportLogsServiceRequest::decode(&*batch.parts.concat()).unwrap();
        for group in request.resource_logs {
            let attributes = group.resource.unwrap().attributes;
            let service = text(&attributes, "service.name");
            assert_eq!(attributes.len(), 2, "{attributes:?}");
            for scope in group.scope_logs {
                let about = scope.scope.unwrap();
                assert_eq!(about.name, SCOPE);
                assert!(about.attributes.is_empty(), "{about:?}");
                for record in scope.log_records {
                    let body = shown(record.body.and_then(|body| body.value));
                    found.push(format!("{service}/{} {body}", record.severity_text));
                    assert_eq!((record.trace_id.len(), record.span_id.len()), (16, 8));
                    assert_eq!(text(&record.attributes, "url.path"), "/a");
                }
            }
        }
        assert_eq!(batch.items, (found.len() - before) as u64);
    }
    found.sort();
    found
}

fn text(attributes: &[Pair], key: &str) -> String {
    let pair = attributes.iter().find(|pair| pair.key == key);
    shown(
        pair.unwrap()
            .value
            .clone()
            .and_then(|value: Any| value.value),
    )
}

fn shown(value: Option<any_value::Value>) -> String {
    match value.unwrap() {
        any_value::Value::StringValue(text) => text,
        any_value::Value::IntValue(number) => number.to_string(),
        any_value::Value::KvlistValue(list) => {
            let pairs = list
                .values
                .into_iter()
                .map(|pair| (pair.key, shown(pair.value.and_then(|value| value.value))));
            format!("{:?}", pairs.collect::<BTreeMap<_, _>>())
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn check(section: &AccessLogSection, emitted: &[(&str, u16)], expected: &[&str]) {
    let channel = channel();
    let provider = provider(&settings("{}"), &channel);
    let rules = Arc::new(Rules::new(section).unwrap());
    let mut encoder = Encoder::new(&rules, &provider, &channel);
    for (service, status) in emitted {
        channel.accept(1);
        encoder.add(Input::Exchange(&exchange(*status), &resource(service)));
    }
    provider.shutdown().unwrap();
    assert_eq!(channel.filling(), 0);
    let totals = channel.totals();
    assert_eq!(totals.imbalance(), 0, "{totals:?}");
    let omitted = emitted.len() - expected.len();
    assert_eq!(
        (totals.exported, totals.waiting),
        (omitted as u64, expected.len() as u64)
    );
    assert_eq!(records(&channel), expected);
}

#[test]
fn each_record_has_the_resource_of_its_pod() {
    let section = AccessLogSection {
        text: Some("%RESPONSE_CODE%".to_owned()),
        filter: Some("response.code != 204".to_owned()),
        ..AccessLogSection::default()
    };
    check(&section, &[], &[]);
    check(
        &section,
        &[("a", 200), ("b", 404), ("a", 204), ("a", 503), ("b", 200)],
        &["a/ERROR 503", "a/INFO 200", "b/INFO 200", "b/WARN 404"],
    );
}

#[test]
fn members_are_a_map() {
    let members = [("code", "%RESPONSE_CODE%"), ("path", "%REQ(:PATH)%")];
    let members = members.map(|(name, text)| (name.to_owned(), text.to_owned()));
    let section = AccessLogSection {
        json: members.into(),
        ..AccessLogSection::default()
    };
    let expected = "a/INFO {\"code\": \"200\", \"path\": \"/a?b=1\"}";
    check(&section, &[("a", 200)], &[expected]);
}

#[test]
fn what_finds_no_room_is_counted() {
    let channel = channel();
    // The processor is given time that it does not have: records wait.
    let provider = provider(&settings("batch: {age: 1h, spans: 1000000}"), &channel);
    let rules = Arc::new(Rules::new(&AccessLogSection::default()).unwrap());
    let mut encoder = Encoder::new(&rules, &provider, &channel);
    let (sanitized, resource) = (exchange(200), resource("a"));
    channel.accept(WAITING as u64);
    for _ in 0..3 {
        channel.accept(1);
        encoder.add(Input::Exchange(&sanitized, &resource));
    }
    provider.shutdown().unwrap();
    let totals = channel.totals();
    assert_eq!((totals.dropped_total(), totals.imbalance()), (3, 0));
    assert_eq!(channel.filling(), WAITING as u64);
}
