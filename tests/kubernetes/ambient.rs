//! The paths of an ambient mesh, as istio-cni and ztunnel make them in pods: each request is
//! emitted once by each application, with the right pods, however many sockets carried it in plain
//! text.
//!
//! The node's proxy is a small one of this test's with what matters here of the real one: its
//! sockets are in the pods' networks, in its own cgroup, marked 0x539; it keeps the source's
//! address towards the application; between pods it does not speak HTTP.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::thread;

use meshtap_tests::{Bench, Netns, Pair, Pod};
use serde_json::{Value, json};
use socket2::{Domain, SockRef, Socket, Type};

use crate::agent::{Agent, Place, until};
use crate::identity::{Cluster, bench};

const MARK: u32 = 0x539;
const OUTBOUND: u16 = 15001;
const PLAINTEXT: u16 = 15006;
const TUNNEL: u16 = 15008;
const APPLICATION: u16 = 8080;
const SERVICE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 96, 0, 10), 80);
const WEB: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 1), APPLICATION);
/// What an ambient mesh rewrites a kubelet's address to.
const PROBE: Ipv4Addr = Ipv4Addr::new(169, 254, 7, 127);

/// What istio-cni puts into an enrolled pod.
const RULES: [&str; 8] = [
    "-t nat -A OUTPUT -d 169.254.7.127/32 -p tcp -j ACCEPT",
    "-t nat -A OUTPUT -p tcp -m mark --mark 0x111/0xfff -j ACCEPT",
    "-t nat -A OUTPUT ! -d 127.0.0.1/32 -o lo -j ACCEPT",
    "-t nat -A OUTPUT ! -d 127.0.0.1/32 -p tcp -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15001",
    "-t nat -A PREROUTING -s 169.254.7.127/32 -p tcp -j ACCEPT",
    "-t nat -A PREROUTING ! -d 127.0.0.1/32 -p tcp ! --dport 15008 -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15006",
    "-t mangle -A PREROUTING -m mark --mark 0x539/0xfff -j CONNMARK --set-xmark 0x111/0xfff",
    "-t mangle -A OUTPUT -m connmark --mark 0x111/0xfff -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff",
];

/// Pods on one bridge.
struct Mesh {
    web: Place,
    front: Place,
    /// Not in the mesh.
    plain: Place,
    proxy: Pod,
    listening: Vec<Listening>,
}

/// A listener of the proxy and its thread; both end with it.
struct Listening {
    listener: TcpListener,
    thread: Option<thread::JoinHandle<()>>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        // Whoever accepts from it gets an error then.
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Mesh {
    fn new(bench: &Bench) -> Self {
        let node = &bench.netns;
        node.ip("link add br0 type bridge");
        node.ip("address add 10.77.0.254/24 dev br0");
        node.ip("address add 169.254.7.127/32 dev br0");
        node.ip("link set br0 up");
        let place = |number: u8, address: &'static str| Place {
            cgroup: bench.cgroup.pod(0xa0 + number),
            network: attach(node, number),
            address,
        };
        let mut mesh = Self {
            web: place(1, "10.77.0.1"),
            front: place(2, "10.77.0.2"),
            plain: place(3, "10.77.0.3"),
            proxy: bench.cgroup.pod(0xc9),
            listening: Vec::new(),
        };
        for pod in [&mesh.web, &mesh.front] {
            mesh.listening.extend(enrol(pod, &mesh.proxy));
        }
        mesh
    }

    /// One request from a place to an address, and its response by the application of another; who
    /// the application takes the client for.
    fn ask(&self, from: &Place, dialled: SocketAddrV4, to: &Place, target: &str) -> SocketAddr {
        let listener = listen(to);
        let client = from.inside(|| connect(dialled, None, None));
        exchange(client, &listener, target, "curl/8")
    }

    /// A request of a process of the node to `web`, past the proxy: a kubelet's, or any other's.
    fn ask_from_node(&self, target: &str, agent: &str) {
        let listener = listen(&self.web);
        let client = connect(WEB, Some(SocketAddrV4::new(PROBE, 0)), None);
        let seen = exchange(client, &listener, target, agent);
        assert_eq!(seen.ip(), PROBE);
    }

    /// A request of a pod that is not in the mesh, under any name.
    fn ask_as(&self, target: &str, agent: &str) {
        let listener = listen(&self.web);
        let client = self.plain.inside(|| connect(WEB, None, None));
        exchange(client, &listener, target, agent);
    }
}

/// Redirects a pod's traffic to the proxy, and has the proxy listen there.
fn enrol(pod: &Place, proxy: &Pod) -> [Listening; 3] {
    for rule in RULES {
        run(&pod.network, "iptables", rule);
    }
    pod.network
        .ip("rule add fwmark 0x111/0xfff pref 32764 lookup 100");
    pod.network.ip("route add local 0.0.0.0/0 dev lo table 100");
    proxy.inside(|| {
        pod.network.inside(|| {
            [
                serve(OUTBOUND, outbound),
                serve(PLAINTEXT, plaintext),
                serve(TUNNEL, tunnel),
            ]
        })
    })
}

fn listen(place: &Place) -> TcpListener {
    place.inside(|| TcpListener::bind(("0.0.0.0", APPLICATION)).expect("bind"))
}

fn exchange(client: TcpStream, listener: &TcpListener, target: &str, agent: &str) -> SocketAddr {
    let (server, seen) = listener.accept().expect("accept");
    let mut pair = Pair { client, server };
    pair.request(format!(
        "GET {target} HTTP/1.1\r\nhost: web\r\nuser-agent: {agent}\r\n\r\n"
    ));
    pair.respond("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    seen
}

/// A network joined to the bridge.
fn attach(node: &Netns, number: u8) -> Netns {
    let network = Netns::new();
    let own = [
        format!("10.78.{number}.1/30"),
        format!("fd78:{number}::1/64"),
    ];
    let pod = [format!("10.77.0.{number}/24"), format!("fd77::{number}/64")];
    node.join(
        &network,
        [&own[0], &own[1]].map(String::as_str),
        [&pod[0], &pod[1]].map(String::as_str),
    );
    node.ip("link set veth0 down");
    node.ip(&format!("link set veth0 name pod{number}"));
    node.ip(&format!("address flush dev pod{number}"));
    node.ip(&format!("link set pod{number} master br0 up"));
    network.ip("route add default via 10.77.0.254");
    network
}

fn run(network: &Netns, program: &str, words: &str) {
    let output = network.inside(|| {
        std::process::Command::new(program)
            .args(words.split(' '))
            .output()
    });
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {words}: {errors}");
}

fn socket(mark: Option<u32>) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    if let Some(mark) = mark {
        socket.set_mark(mark).expect("SO_MARK");
    }
    socket
}

fn connect(to: SocketAddrV4, from: Option<SocketAddrV4>, mark: Option<u32>) -> TcpStream {
    let socket = socket(mark);
    if let Some(from) = from {
        socket.set_ip_transparent_v4(true).expect("IP_TRANSPARENT");
        socket.bind(&from.into()).expect("bind");
    }
    socket
        .connect(&to.into())
        .unwrap_or_else(|error| panic!("{from:?} → {to}: {error}"));
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true).expect("TCP_NODELAY");
    stream
}

/// Listens in the thread's network and cgroup.
fn serve(port: u16, handle: fn(TcpStream)) -> Listening {
    let socket = socket(Some(MARK));
    socket.set_reuse_address(true).expect("SO_REUSEADDR");
    let address = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port);
    socket.bind(&address.into()).expect("bind");
    socket.listen(16).expect("listen");
    let listener = TcpListener::from(socket);
    let accepting = listener.try_clone().expect("clone");
    let thread = thread::spawn(move || {
        while let Ok((stream, _)) = accepting.accept() {
            thread::spawn(move || handle(stream));
        }
    });
    Listening {
        listener,
        thread: Some(thread),
    }
}

fn v4(address: SocketAddr) -> SocketAddrV4 {
    match address {
        SocketAddr::V4(address) => address,
        SocketAddr::V6(address) => panic!("{address}"),
    }
}

/// Where the client wanted to go, before the redirect.
fn dialled(client: &TcpStream) -> SocketAddrV4 {
    let original = SockRef::from(client).original_dst_v4();
    let original = original.expect("SO_ORIGINAL_DST");
    original.as_socket_ipv4().expect("an IPv4 address")
}

/// From the application: to the tunnel of a pod in the mesh, else as it is.
fn outbound(client: TcpStream) {
    let wanted = dialled(&client);
    let to = if wanted == SERVICE { WEB } else { wanted };
    let source = v4(client.peer_addr().expect("a peer"));
    if to.ip() == WEB.ip() {
        let mut upstream = connect(SocketAddrV4::new(*to.ip(), TUNNEL), None, Some(MARK));
        upstream
            .write_all(format!("\x16\x03{source} {to}\n").as_bytes())
            .expect("the tunnel's head");
        relay(client, upstream, 0x5a);
    } else {
        relay(client, connect(to, None, Some(MARK)), 0);
    }
}

/// From a pod that is not in the mesh: to the application, with the source's address.
fn plaintext(client: TcpStream) {
    let source = v4(client.peer_addr().expect("a peer"));
    let to = dialled(&client);
    let application = connect(to, Some(SocketAddrV4::new(*source.ip(), 0)), Some(MARK));
    relay(client, application, 0);
}

/// From another pod's proxy.
fn tunnel(mut client: TcpStream) {
    let mut head = Vec::new();
    let mut byte = [0];
    while client.read_exact(&mut byte).is_ok() && byte != *b"\n" {
        head.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&head[2..]).into_owned();
    let (source, to) = text.split_once(' ').expect("two addresses");
    let source: SocketAddrV4 = source.parse().expect("an address");
    let to = to.parse().expect("an address");
    let application = connect(to, Some(SocketAddrV4::new(*source.ip(), 0)), Some(MARK));
    relay(client, application, 0x5a);
}

/// Both ways; what is between proxies is not in plain text.
fn relay(a: TcpStream, b: TcpStream, key: u8) {
    let back = (b.try_clone().expect("clone"), a.try_clone().expect("clone"));
    let there = thread::spawn(move || copy(a, b, key));
    copy(back.0, back.1, key);
    let _ = there.join();
}

fn copy(mut from: TcpStream, mut to: TcpStream, key: u8) {
    let mut buffer = [0; 4096];
    while let Ok(count) = from.read(&mut buffer) {
        if count == 0 {
            break;
        }
        for byte in &mut buffer[..count] {
            *byte ^= key;
        }
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

fn describe(cluster: &Cluster<'_>, mesh: &Mesh) {
    let enrolled =
        || json!({"metadata": {"annotations": {"ambient.istio.io/redirection": "enabled"}}});
    let ztunnel =
        json!({"metadata": {"labels": {"app": "ztunnel"}}, "spec": {"hostNetwork": true}});
    let mut web = enrolled();
    let probe = json!({"httpGet": {"path": "/live", "port": APPLICATION}});
    web["spec"] = json!({"containers": [{"name": "app", "image": "none", "livenessProbe": probe}]});
    for (name, place, more) in [
        ("web", &mesh.web, web),
        ("front", &mesh.front, enrolled()),
        ("plain", &mesh.plain, json!({})),
    ] {
        cluster.pod(name, Some(&place.cgroup), place.address, more);
    }
    cluster.pod("ztunnel", Some(&mesh.proxy), "192.0.2.1", ztunnel);
    let service = json!({
        "metadata": {"name": "web"},
        "spec": {"clusterIP": SERVICE.ip().to_string(), "ports": [{"port": SERVICE.port()}]},
    });
    let services = "/api/v1/namespaces/shop/services";
    cluster.server.expect("POST", services, &service);
}

/// The spans of a target: that of the end that asks, and that of the one that responds.
#[track_caller]
fn both(agent: &Agent, target: &str) -> [Value; 2] {
    let spans = until(&format!("both ends say {target}"), || {
        let mut spans = agent.spans();
        spans.retain(|span| span["attributes"]["http.target"] == target);
        (spans.len() >= 2).then_some(spans)
    });
    assert_eq!(spans.len(), 2, "{target}: one from each end");
    ["client", "server"].map(|side| {
        let found = spans
            .iter()
            .find(|span| span["attributes"]["meshtap.side"] == side);
        found.unwrap_or_else(|| panic!("no {side} for {target}"))["attributes"].clone()
    })
}

#[test]
fn each_application_says_once() {
    bench(|bench, cluster| {
        let mesh = Mesh::new(bench);
        let kubeconfig = cluster.service_account();
        cluster.allow();
        describe(&cluster, &mesh);
        let settings = format!("kubeconfig: '{kubeconfig}', peers: cluster, spread: 0s");
        // Without the mark's help, so that the label alone must do, and with it.
        for (number, mark) in ["ignored_mark: null", "ignored_mark: 1337"]
            .iter()
            .enumerate()
        {
            let agent = Agent::start(
                bench,
                &settings,
                &format!("capture: {{side: both, {mark}}}\n"),
            );
            for watch in ["node_pods", "other_pods", "services"] {
                agent.await_watch(watch, "synced");
            }
            paths(&mesh, &agent, number);
            // Nothing beside them: neither the proxy's sockets nor the tunnel.
            let ledger = agent.finish();
            assert_eq!(ledger["kept"], 10 + 1 + 4, "{ledger}");
            assert_eq!(ledger["filtered"]["probe"], 2, "{ledger}");
        }
    });
}

fn paths(mesh: &Mesh, agent: &Agent, round: usize) {
    let plain = SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 3), APPLICATION);
    let front = SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 2), APPLICATION);
    for (name, from, dialled, to, source, destination) in [
        ("service", &mesh.front, SERVICE, &mesh.web, "front", "web"),
        ("pod", &mesh.front, WEB, &mesh.web, "front", "web"),
        ("leaving", &mesh.front, plain, &mesh.plain, "front", "plain"),
        ("entering", &mesh.plain, WEB, &mesh.web, "plain", "web"),
        ("itself", &mesh.front, front, &mesh.front, "front", "front"),
    ] {
        let target = format!("/{name}-{round}");
        let seen = mesh.ask(from, dialled, to, &target);
        assert_eq!(
            seen.ip().to_string(),
            from.address,
            "{name}: the source is kept"
        );
        let [client, server] = both(agent, &target);
        assert_eq!(client["k8s.pod.name"], source, "{name}");
        assert_eq!(server["k8s.pod.name"], destination, "{name}");
        assert_eq!(server["k8s.src.pod.name"], source, "{name}");
        if dialled == SERVICE {
            assert_eq!(client["k8s.dst.service.name"], destination, "{name}");
        } else {
            assert_eq!(client["k8s.dst.pod.name"], destination, "{name}");
        }
        let id = |pod: &str| match pod {
            "plain" => Value::Null,
            _ => json!("spiffe://cluster.local/ns/shop/sa/web"),
        };
        assert_eq!(server["k8s.src.spiffe.id"], id(source), "{name}");
        assert_eq!(server["k8s.dst.spiffe.id"], id(destination), "{name}");
    }
    // Probes: from the node, and called so or declared.
    mesh.ask_from_node("/probe", "kube-probe/1.34");
    mesh.ask_from_node("/live", "curl/8");
    // A process of the node that is no kubelet, and pods that pretend.
    let target = format!("/host-{round}");
    mesh.ask_from_node(&target, "curl/8");
    assert!(agent.emitted(&target)["k8s.src.pod.name"].is_null());
    for (target, name) in [("/pretended", "kube-probe/1.34"), ("/live", "curl/8")] {
        mesh.ask_as(target, name);
        let [_, server] = both(agent, target);
        assert_eq!(server["k8s.src.pod.name"], "plain", "{target}");
    }
}
