//! A Kubernetes API that has the same objects for ever: enough to name pods and services where the
//! subject is what becomes of the names. `identity` has the real one.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use meshtap_tests::Bench;
use serde_json::{Value, json};

/// The port it listens on, in the test's own network.
const PORT: u16 = 6443;

/// Runs until it is dropped.
pub(crate) struct FixedApi {
    /// The kubeconfig of one who may ask.
    pub(crate) kubeconfig: PathBuf,
    /// Every connection, and whether there are to be more.
    connections: Arc<Mutex<(bool, Vec<TcpStream>)>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for FixedApi {
    fn drop(&mut self) {
        let mut connections = self.connections.lock().expect("no panic in a server");
        connections.0 = true;
        for stream in connections.1.drain(..) {
            // Its other end may have closed it.
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(connections);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(("127.0.0.1", PORT));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Objects of one path, with the kind of their list.
pub(crate) type Kind = (&'static str, &'static str, Vec<Value>);

/// Starts it.
pub(crate) fn start(bench: &Bench, pods: Vec<Value>, services: Vec<Value>) -> FixedApi {
    start_with(bench, pods, services, Vec::new())
}

/// Starts it with objects of further kinds.
pub(crate) fn start_with(
    bench: &Bench,
    pods: Vec<Value>,
    services: Vec<Value>,
    more: Vec<Kind>,
) -> FixedApi {
    let namespaces = vec![json!({"metadata": {"name": "shop"}})];
    let mut objects = more;
    objects.extend([
        ("/api/v1/pods", "PodList", pods),
        ("/api/v1/services", "ServiceList", services),
        ("/api/v1/namespaces", "NamespaceList", namespaces),
    ]);
    let listener = TcpListener::bind(("127.0.0.1", PORT)).expect("bind");
    let connections = Arc::new(Mutex::new((false, Vec::new())));
    let shared = Arc::clone(&connections);
    let thread = std::thread::spawn(move || {
        std::thread::scope(|scope| {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut connections = shared.lock().expect("no panic in a server");
                if connections.0 {
                    return;
                }
                connections.1.push(stream.try_clone().expect("a socket"));
                let objects = &objects;
                scope.spawn(move || serve(stream, objects));
            }
        });
    });
    let server = format!("http://127.0.0.1:{PORT}");
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    });
    FixedApi {
        kubeconfig: bench.scratch.write("kubeconfig.json", config.to_string()),
        connections,
        thread: Some(thread),
    }
}

/// Responds to listings. A watch has a beginning and no events.
fn serve(stream: TcpStream, objects: &[Kind]) {
    let mut lines = BufReader::new(stream.try_clone().expect("a socket")).lines();
    let mut out = stream;
    while let Some(Ok(line)) = lines.next() {
        while let Some(Ok(field)) = lines.next() {
            if field.is_empty() {
                break;
            }
        }
        let target = line.split(' ').nth(1).unwrap_or_default();
        if target.contains("watch=true") {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
            if out.write_all(head.as_bytes()).is_err() {
                return;
            }
            continue;
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let found = objects.iter().find(|(name, ..)| *name == path);
        let (kind, items) = found.map_or(("Status", Vec::new()), |(_, kind, items)| {
            // `spec.nodeName!=node-a`: there is no other node.
            let is_elsewhere = query.contains("%21%3D") || query.contains("!%3D");
            (
                *kind,
                if is_elsewhere {
                    Vec::new()
                } else {
                    items.clone()
                },
            )
        });
        let body = json!({
            "apiVersion": "v1", "kind": kind, "metadata": {"resourceVersion": "1"}, "items": items,
        });
        let body = body.to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        if out.write_all(format!("{head}{body}").as_bytes()).is_err() {
            return;
        }
    }
}
