//! From events to printed lines: live, recorded, and replayed.

use std::fs;
use std::io::{self, Read as _, pipe};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use meshtap_common::{
    DIRECTION_EGRESS, DIRECTION_INGRESS, EventHeader, FLAG_FIN, FLAG_START, KIND_SEGMENT,
};

use super::lookup::Lookup;
use super::output::{Format, Printer};
use super::pipeline::{Ended, Pipeline, Time};
use super::queue::{Queue, WhenFull};
use super::stop::Stop;
use crate::capture::record::{
    Meta, Owners, ProcessRecorder, RawSource, Reader, Recorder, RecordingSource,
};
use crate::capture::{Command, Polled, Source};
use crate::clock::{WallClock, monotonic};
use crate::engine::{Engine, Limits};
use crate::flow::SocketId;
use crate::policy;
use crate::process::Process;
use crate::redact::{self, Gate, Secret};
use crate::tap::{Delivery, Detail, Filter};

/// Connections in a script. One request each, of which the last is without a response.
const CONNECTIONS: u8 = 20;

/// A capture that gives one connection's events per poll, then asks for the end.
struct Script {
    polls: u8,
    stop: Stop,
}

impl RawSource for Script {
    fn poll_raw(
        &mut self,
        _timeout: Duration,
        handle: &mut dyn FnMut(&EventHeader, &[u8]),
    ) -> io::Result<Polled> {
        let id = self.polls;
        if id == CONNECTIONS {
            self.stop.ask();
            return Ok(Polled::More);
        }
        self.polls += 1;
        let request = format!(
            "POST /{id}?token=secret{id} HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi"
        );
        let response =
            format!("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nSet-Cookie: s={id}\r\n\r\n{id:03}");
        event(handle, (id, 1), DIRECTION_INGRESS, FLAG_START, &request);
        if id + 1 < CONNECTIONS {
            event(
                handle,
                // It acknowledges the request.
                (id, 1 + u32::try_from(request.len()).expect("short")),
                DIRECTION_EGRESS,
                FLAG_START | FLAG_FIN,
                &response,
            );
        }
        Ok(Polled::More)
    }

    fn command_raw(&mut self, _commands: &[Command]) {}
}

fn event(
    handle: &mut dyn FnMut(&EventHeader, &[u8]),
    (id, ack): (u8, u32),
    direction: u8,
    flags: u16,
    payload: &str,
) {
    let address = |last| Ipv4Addr::new(10, 0, 0, last).to_ipv6_mapped().octets();
    let len = u32::try_from(payload.len()).expect("short");
    let header = EventHeader {
        time_ns: monotonic(),
        cookie: 1000 + u64::from(id),
        cgroup_id: 1,
        seq: 1,
        ack,
        expected: 1,
        wire_len: len,
        captured_len: len,
        kind: KIND_SEGMENT,
        direction,
        flags,
        local_port: 80,
        remote_port: 40_000 + u16::from(id),
        urgent: 0,
        local_addr: address(1),
        remote_addr: address(2),
    };
    handle(&header, payload.as_bytes());
}

const META: Meta = Meta {
    offset: 1_700_000_000_000_000_000,
    started: 0,
    max_body: 65_536,
    ring_bytes: 1 << 16,
    key: [7; 16],
};

/// Runs a source to its end; what was printed, and what is left.
fn print<S: Source>(
    source: S,
    time: Time,
    stop: Stop,
    lookup: Lookup,
) -> (String, Delivery, Ended<S>) {
    let queue = Queue::default();
    let config = redact::Config {
        key: Some(Secret::new("a key for no more than tests".to_owned())),
        ..redact::Config::everything()
    };
    let (mut reader, writer) = pipe().expect("a pipe");
    let printer = Printer {
        out: writer,
        format: Format::Json,
        detail: Detail::Bodies,
        filter: Filter::default(),
        gate: Gate::new(&policy::Config::everything(), &config).expect("a configuration"),
        har: None,
        lookup,
        own: std::sync::Arc::new(()),
        clock: WallClock {
            offset: META.offset,
        },
        count: None,
        stop: stop.clone(),
        exporting: None,
        feed: None,
    };
    let pipeline = Pipeline {
        source,
        engine: Engine::new(Limits::default()),
        queue: &queue,
        when_full: WhenFull::Wait,
        time,
        stop,
        deadline: None,
        announcer: None,
        observer: None,
    };
    thread::scope(|scope| {
        let output = scope.spawn(|| printer.run(&queue));
        let text = scope.spawn(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).map(|_| text)
        });
        let ended = pipeline.run();
        let (delivery, result) = output.join().expect("no panic");
        result.expect("written");
        let text = text.join().expect("no panic").expect("UTF-8");
        (text, delivery, ended)
    })
}

/// Records the script to a file; the path, what the live run printed.
fn record(file: &str, name: impl FnOnce(&mut ProcessRecorder)) -> (PathBuf, String) {
    let path = std::env::temp_dir().join(format!("meshtap-app-{file}-{}", std::process::id()));
    let recorder =
        Recorder::start(fs::File::create(&path).expect("a file"), &META, |_| ()).expect("a thread");
    let mut processes = recorder.processes();
    name(&mut processes);
    drop(processes);
    let stop = Stop::default();
    let script = Script {
        polls: 0,
        stop: stop.clone(),
    };
    let source = RecordingSource::new(script, recorder);
    let (text, delivery, ended) = print(source, Time::Machine, stop, Lookup::None);
    assert_eq!(delivery.shown, u64::from(CONNECTIONS));
    assert_eq!(ended.engine.ledger().imbalance(), 0);
    assert_eq!(ended.engine.ledger().emitted(), delivery.total());
    let (_, recorder) = ended.source.into_parts();
    recorder.finish(ended.at).1.expect("written");
    (path, text)
}

#[test]
fn a_replay_prints_the_same_bytes() {
    let (path, live) = record("same", |_| ());
    let source = Reader::open(&path).expect("a recording");
    let lookup = Lookup::Recorded(Owners::open(&path).expect("a recording"));
    let (replayed, delivery, ended) = print(source, Time::Source, Stop::default(), lookup);
    fs::remove_file(&path).expect("removed");
    ended.error.expect("read to its end");
    assert_eq!(live, replayed);
    assert_eq!(delivery.shown, u64::from(CONNECTIONS));
    assert_eq!(live.matches("\"partial\":\"shutdown\"").count(), 1);
    assert!(!live.contains("secret"), "{live}");
}

#[test]
fn a_cut_recording_prints_what_was_good() {
    let (path, live) = record("cut", |_| ());
    let bytes = fs::read(&path).expect("the file");
    fs::write(&path, &bytes[..bytes.len() - 300]).expect("written");
    let source = Reader::open(&path).expect("a recording");
    let (replayed, _, ended) = print(source, Time::Source, Stop::default(), Lookup::None);
    fs::remove_file(&path).expect("removed");
    let message = ended.error.expect_err("it is cut").to_string();
    assert!(message.contains("without its end mark"), "{message}");
    let good: Vec<_> = replayed.lines().collect();
    assert!(good.len() >= usize::from(CONNECTIONS) - 3, "{replayed}");
    let complete = good.iter().filter(|line| !line.contains("\"partial\""));
    assert!(complete.clone().count() > 0);
    for line in complete {
        assert!(live.contains(line), "{line}");
    }
}

#[test]
fn a_replay_knows_the_processes() {
    let process = Process {
        pid: 42,
        name: "nginx".into(),
    };
    let (path, live) = record("process", |names| names.name(3, SocketId(1003), &process));
    let source = Reader::open(&path).expect("a recording");
    let lookup = Lookup::Recorded(Owners::open(&path).expect("a recording"));
    let (replayed, ..) = print(source, Time::Source, Stop::default(), lookup);
    fs::remove_file(&path).expect("removed");
    let named = r#""process":{"pid":42,"name":"nginx"},"#;
    assert_eq!(replayed.matches(named).count(), 1);
    assert_eq!(replayed.replace(named, ""), live);
}
