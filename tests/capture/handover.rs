//! An agent takes over from the one that runs, under load: every request is emitted once.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use meshtap_tests::{
    Bench, Connection, Daemon, ECHO, HTTP_PORT, Nginx, SetOnDrop, binary, figure, live, until,
};
use serde_json::Value;

const CLIENTS: usize = 3;
/// Clients that send a request every few milliseconds: there is one in flight whenever an agent
/// takes over.
const PAUSE: Duration = Duration::from_millis(2);

/// Starts an agent that serves metrics at this port.
fn start(bench: &Bench, port: u16) -> Daemon {
    start_with(bench, port, "")
}

/// The same, with more lines of the configuration.
fn start_with(bench: &Bench, port: u16, more: &str) -> Daemon {
    let folder = bench.scratch.path().join("handover");
    let config = bench.scratch.write(
        &format!("meshtap-{port}.yaml"),
        format!(
            "telemetry: {{listen: '127.0.0.1:{port}'}}\nexport: {{stdout: true}}\n\
             capture: {{side: server, cgroup: '{}'}}\nkubernetes: {{mode: 'off'}}\n\
             handover: {{folder: '{}'}}\n{more}",
            bench.cgroup.path().display(),
            folder.display(),
        ),
    );
    let mut command = Command::new(binary().expect("a meshtap binary"));
    command.args(["run", "--config"]).arg(config);
    Daemon::start(bench, &mut command)
}

/// Waits until an agent emits.
fn await_ready(port: u16) {
    until("the agent is ready", || {
        let response = Connection::open(([127, 0, 0, 1], port)).get("/readyz");
        response.status == 200
    });
}

/// As [`start`], until it emits.
fn agent(bench: &Bench, port: u16) -> Daemon {
    let agent = start(bench, port).listening(port);
    await_ready(port);
    agent
}

/// Has clients send requests while something is done; their targets.
fn loaded<T>(act: impl FnOnce() -> T) -> (Vec<String>, T) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let done = &done;
        let _done = SetOnDrop(done);
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| scope.spawn(move || load(client, done)))
            .collect();
        let result = act();
        done.store(true, Ordering::Relaxed);
        let targets = clients
            .into_iter()
            .flat_map(|client| client.join().expect("a client"));
        (targets.collect(), result)
    })
}

/// Sends requests, most of them over one connection, until there are enough; their targets.
fn load(client: usize, done: &AtomicBool) -> Vec<String> {
    let address = ([127, 0, 0, 1], HTTP_PORT);
    let mut kept = Connection::open(address);
    let mut targets = Vec::new();
    while !done.load(Ordering::Relaxed) {
        let target = format!("/echo?id={client}-{}", targets.len());
        let response = if targets.len() % 5 == 0 {
            Connection::open(address).get(&target)
        } else {
            kept.get(&target)
        };
        assert_eq!(response.status, 200, "{target}");
        targets.push(target);
        thread::sleep(PAUSE);
    }
    targets
}

/// How often each target of the load was emitted by these agents.
fn emitted(agents: &[&Daemon]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for agent in agents {
        let log = agent.log();
        let spans = log.lines().filter(|line| line.starts_with("{\"trace_id\""));
        for line in spans {
            let span: Value = serde_json::from_str(line).expect("JSON");
            let target = span["attributes"]["http.target"]
                .as_str()
                .expect("a target");
            if target.starts_with("/echo") {
                *counts.entry(target.to_owned()).or_default() += 1;
            }
        }
    }
    counts
}

/// The agent at this port is alive, and says that it does not capture.
#[track_caller]
fn stands_by(port: u16) {
    let page = |path| Connection::open(([127, 0, 0, 1], port)).get(path);
    let response = page("/readyz");
    let detail: Value = serde_json::from_slice(&response.body).expect("JSON");
    assert_eq!(response.status, 503, "{detail}");
    assert_eq!(detail["capturing"], false, "{detail}");
    assert_eq!(detail["standing_by"], true, "{detail}");
    assert_eq!(page("/healthz").status, 200);
}

fn await_log(agent: &Daemon, text: &str) {
    until(text, || agent.log().contains(text));
}

/// Each of the targets was emitted once, and each agent has emitted some.
#[track_caller]
fn check(targets: &[String], agents: &[&Daemon]) {
    let counts = emitted(agents);
    let missing = targets
        .iter()
        .filter(|target| !counts.contains_key(*target));
    let missing: Vec<_> = missing.collect();
    assert!(missing.is_empty(), "not emitted: {missing:?}");
    for target in targets {
        assert_eq!(counts.get(target), Some(&1), "{target}");
    }
    assert_eq!(counts.len(), targets.len());
    for agent in agents {
        assert!(!emitted(&[agent]).is_empty(), "each has emitted some");
        assert!(agent.log().contains("\"imbalance\":0"));
    }
}

#[test]
fn every_request_is_emitted_once() {
    live(|bench| {
        let _nginx = Nginx::start(bench, ECHO);
        let mut first = agent(bench, 9464);
        let (targets, (mut second, mut third)) = loaded(|| {
            let second = agent(bench, 9465);
            await_log(&first, "standing by");
            stands_by(9464);
            let third = agent(bench, 9466);
            await_log(&second, "standing by");
            (second, third)
        });
        // One that stands by ends as it is asked to, or by itself once it is alone: with an error,
        // for whoever keeps it running is to start it again.
        first.terminate();
        assert!(first.wait().success());
        third.terminate();
        assert!(third.wait().success());
        assert_eq!(second.wait().code(), Some(1));
        assert!(
            second
                .log()
                .contains("that took over from this one has ended")
        );
        check(&targets, &[&first, &second, &third]);
        figure(&format!(
            "{} requests over two hand-overs, each emitted once",
            targets.len()
        ));
    });
}

/// The old agent is asked to end before the new one is started, by somebody who does not wait for
/// its end. Both have one configuration, and one port.
#[test]
fn a_restart_that_overlaps_misses_nothing() {
    const PORT: u16 = 9464;
    live(|bench| {
        let _nginx = Nginx::start(bench, ECHO);
        let mut first = agent(bench, PORT);
        let (targets, mut second) = loaded(|| {
            first.terminate();
            let second = start(bench, PORT);
            await_log(&second, "took over from the agent that ran");
            assert!(first.wait().success());
            let second = second.listening(PORT);
            await_ready(PORT);
            second
        });
        second.terminate();
        assert!(second.wait().success());
        check(&targets, &[&first, &second]);
        figure(&format!(
            "{} requests over a restart, each emitted once",
            targets.len()
        ));
    });
}

/// The nice values of a process's threads: the 19th field of `stat`, and the name stands in
/// brackets (proc_pid_stat(5)).
fn nice_values(pid: u32) -> Vec<i32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("threads");
    let stats = threads.filter_map(|thread| {
        // A thread may have ended since.
        std::fs::read_to_string(thread.expect("a thread").path().join("stat")).ok()
    });
    let nice = |stat: String| {
        let (_, fields) = stat.rsplit_once(") ").expect("a name");
        let nice = fields.split(' ').nth(16).expect("19 fields");
        nice.parse::<i32>().expect("a number")
    };
    stats.map(nice).collect()
}

/// What reads and what works gives way to other processes as far as `budget.nice` says; the thread
/// of signals need not.
#[test]
fn a_service_gives_way() {
    live(|bench| {
        let more = "budget: {nice: 5}\n";
        let agent = start_with(bench, 9464, more).listening(9464);
        await_ready(9464);
        let values = nice_values(agent.pid());
        let own = nice_values(std::process::id())[0];
        let lowered = values.iter().filter(|nice| **nice == own.max(5)).count();
        assert!(lowered >= 4 && lowered + 1 >= values.len(), "{values:?}");
    });
}
