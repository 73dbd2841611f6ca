//! ztunnel: what it decrypts and encrypts, by a program with the same libraries.
//!
//! ```text
//! curl ── OUTBOUND ( outbound ) ══ HBONE ( inbound ) ── HTTP_PORT ( nginx )
//! ```

use std::path::PathBuf;
use std::process::Command;

use meshtap::capture::tls::locate::{Role, locate};
use meshtap_tests::{
    Bench, Daemon, ECHO, Exchange, HTTP_PORT, Nginx, Pod, Report, Running, Tap, curl, live,
};

use crate::bench::at;

/// Where tunnels are opened for whoever connects.
pub const OUTBOUND: u16 = 15_001;
/// Where the server speaks HTTP/2.
pub const HTTP2_PORT: u16 = 8081;
/// Where tunnels end.
const HBONE: u16 = 15_008;

const CLIENT_ID: &str = "spiffe://cluster.local/ns/shop/sa/web";
const SERVER_ID: &str = "spiffe://cluster.local/ns/shop/sa/cart";

/// Folders with the certificates of both ends, by one authority.
fn identities(bench: &Bench) -> [PathBuf; 2] {
    let authority = bench.scratch.folder("authority");
    let openssl = |arguments: &[&str]| {
        let made = Command::new("openssl")
            .args(arguments)
            .current_dir(&authority)
            .output()
            .expect("openssl");
        assert!(made.status.success(), "{made:?}");
    };
    // Without the extensions that the machine's own configuration adds.
    let plain = bench
        .scratch
        .write("openssl.conf", "[req]\ndistinguished_name = dn\n[dn]\n");
    let plain = plain.to_str().expect("text").to_owned();
    let key = [
        "-config",
        &plain,
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
    ];
    openssl(
        &[
            &[
                "req", "-x509", "-subj", "/CN=mesh", "-keyout", "ca.key", "-out", "ca.pem",
            ][..],
            &["-addext", "basicConstraints=critical,CA:TRUE"],
            &key,
        ]
        .concat(),
    );
    [("client", CLIENT_ID), ("server", SERVER_ID)].map(|(name, id)| {
        let folder = bench.scratch.folder(name);
        let path = |file: &str| folder.join(file).to_str().expect("text").to_owned();
        let names = format!("subjectAltName=DNS:localhost,URI:{id}");
        let (key_file, certificate) = (path("key.pem"), path("cert.pem"));
        openssl(
            &[
                &[
                    "req", "-x509", "-CA", "ca.pem", "-CAkey", "ca.key", "-subj", "/O=x",
                ][..],
                &[
                    "-addext",
                    &names,
                    "-addext",
                    "basicConstraints=critical,CA:FALSE",
                ],
                &["-keyout", &key_file, "-out", &certificate],
                &key,
            ]
            .concat(),
        );
        std::fs::copy(authority.join("ca.pem"), folder.join("ca.pem")).expect("copied");
        folder
    })
}

/// Both proxies, in a pod of their own, and a server behind them.
pub struct Mesh {
    pub pod: Pod,
    client: PathBuf,
    program: PathBuf,
    _nginx: Nginx,
    _inbound: Daemon,
    outbound: Vec<Daemon>,
}

impl Mesh {
    pub fn start(bench: &Bench, anonymous: bool) -> Self {
        let program = meshtap_parts::ztunnel::program().expect("a program that builds");
        let [client, server] = identities(bench);
        let servers = format!(
            "server {{ listen {HTTP_PORT}; {ECHO} }}
             server {{ listen {HTTP2_PORT} http2; {ECHO} }}"
        );
        let nginx = Nginx::start_http(bench, &servers);
        let mut inbound = Command::new(&program);
        inbound
            .arg("inbound")
            .arg(format!("127.0.0.1:{HBONE}"))
            .arg(server);
        let pod = bench.cgroup.pod(0x7a);
        let inbound = pod.inside(|| Daemon::start(bench, &mut inbound).listening(HBONE));
        let mut mesh = Self {
            pod,
            client,
            program,
            _nginx: nginx,
            _inbound: inbound,
            outbound: Vec::new(),
        };
        mesh.outbound(bench, [OUTBOUND, HTTP_PORT], anonymous);
        mesh
    }

    /// Opens tunnels from this port to that one, in a session of its own.
    pub fn outbound(&mut self, bench: &Bench, [from, to]: [u16; 2], anonymous: bool) {
        let mut outbound = Command::new(&self.program);
        outbound
            .arg("outbound")
            .args([from, HBONE, to].map(|port| format!("127.0.0.1:{port}")))
            .arg(&self.client);
        if anonymous {
            outbound.arg("anonymous");
        }
        let start = || Daemon::start(bench, &mut outbound).listening(from);
        let outbound = self.pod.inside(start);
        self.outbound.push(outbound);
    }
}

/// `meshtap tap` that reads what the proxies decrypt and encrypt.
pub fn reading(tap: Tap, what: &str) -> Running {
    let running = tap.args(["--ztunnel", what]).start();
    running.says(&["TLS:", "reading", "/ztunnel (rustls over aws-lc"]);
    running
}

/// Sends these ids through the tunnel, each in a connection of its own.
pub fn send(ids: &[String]) {
    for id in ids {
        let url = format!("http://127.0.0.1:{OUTBOUND}/echo?id={id}");
        assert_eq!(curl(&[&url]), id.as_bytes());
    }
}

pub fn ids(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("id-{n}")).collect()
}

/// mTLS or not, and the other end.
pub fn proof(exchange: &Exchange) -> (Option<bool>, Option<&str>) {
    let of = |key: &str| exchange.at(key);
    (
        of("/mtls").and_then(|mtls| mtls.as_bool()),
        of("/peer_spiffe_id").and_then(|id| id.as_str()),
    )
}

/// The exchanges of applications say whether they came over mTLS, and with whom.
#[test]
fn identity_of_applications() {
    for (anonymous, side, port, expected) in [
        (false, "server", HTTP_PORT, (Some(true), Some(CLIENT_ID))),
        (true, "server", HTTP_PORT, (Some(false), None)),
        (false, "client", OUTBOUND, (Some(true), Some(SERVER_ID))),
        (true, "client", OUTBOUND, (Some(false), Some(SERVER_ID))),
    ] {
        live(|bench| {
            let _mesh = Mesh::start(bench, anonymous);
            let tap = reading(Tap::new(bench).args(["--side", side]), "identity");
            let ids = ids(20);
            send(&ids);
            tap.emitted_each(ids.iter().map(|id| format!("/echo?id={id}")));
            let report = tap.finish();
            report.assert_balanced();
            let own: Vec<_> = at(&report, port).collect();
            assert_eq!(own.len(), ids.len(), "{:#?}", report.lines);
            for exchange in own {
                assert_eq!(proof(exchange), expected, "{exchange:#?}");
                assert!(exchange.at("/tunnel").is_none());
            }
            assert!(at(&report, HBONE).next().is_none(), "{:#?}", report.lines);
        });
    }
}

/// Exchanges inside of tunnels at one side, without the CONNECT that opened them.
pub fn in_tunnels<'a>(report: &'a Report, side: &'a str) -> impl Iterator<Item = &'a Exchange> {
    let exchanges = report.exchanges.iter();
    exchanges.filter(move |exchange| exchange.side() == side && exchange.at("/tunnel").is_some())
}

/// What no socket of an application shows: the agent sees the proxies alone, and leaves their own
/// sockets alone.
#[test]
fn flows_of_tunnels() {
    live(|bench| {
        for (side, peer) in [("server", CLIENT_ID), ("client", SERVER_ID)] {
            // New proxies, so that the beginning of their session is seen.
            let mesh = Mesh::start(bench, false);
            let tap = Tap::on(bench, mesh.pod.path()).args(["--side", side, "--ignore-mark"]);
            let tap = reading(tap.arg("0x539/0xfff"), "flows");
            let ids = ids(20);
            send(&ids);
            tap.emitted(2 * ids.len());
            let report = tap.finish();
            report.assert_nothing_lost();
            let mut seen: Vec<_> = in_tunnels(&report, side)
                .map(|exchange| {
                    assert_eq!(exchange.status(), Some(200), "{exchange:#?}");
                    assert_eq!(proof(exchange), (Some(true), Some(peer)));
                    exchange.response().text().to_owned()
                })
                .collect();
            seen.sort_unstable_by_key(|id| (id.len(), id.clone()));
            assert_eq!(seen, ids, "{side}");
        }
    });
}

/// Where an application's socket shows an exchange, ztunnel's copy of it is not emitted.
#[test]
fn nothing_is_emitted_twice() {
    live(|bench| {
        for side in ["server", "client"] {
            let _mesh = Mesh::start(bench, false);
            let tap = Tap::new(bench).args(["--side", side, "--ignore-mark", "0x539/0xfff"]);
            let tap = reading(tap, "flows");
            let ids = ids(20);
            send(&ids);
            tap.emitted_each(ids.iter().map(|id| format!("/echo?id={id}")));
            let report = tap.finish();
            report.assert_balanced();
            let inner: Vec<_> = in_tunnels(&report, side).collect();
            assert!(inner.is_empty(), "{inner:#?}");
            let requests = report.exchanges.iter().filter(|e| e.method() == "GET");
            assert_eq!(requests.count(), ids.len(), "{side}: {:#?}", report.lines);
        }
    });
}

/// Many at a time: each has its own, and the proxies fail no request.
#[test]
fn many_at_a_time() {
    live(|bench| {
        let _mesh = Mesh::start(bench, false);
        let tap = reading(Tap::new(bench).server_side(), "identity");
        let ids: Vec<_> = (0..200).map(|n| format!("many-{n}")).collect();
        let targets = ids
            .iter()
            .map(|id| format!("http://127.0.0.1:{OUTBOUND}/echo?id={id}"));
        let list = bench
            .scratch
            .write("targets", targets.collect::<Vec<_>>().join("\n"));
        let output = Command::new("h2load")
            .args(["--h1", "--clients=16", "--requests=3200", "--input-file"])
            .arg(list)
            .output()
            .expect("h2load");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            text.contains("3200 succeeded, 0 failed, 0 errored"),
            "{text}"
        );
        tap.emitted(2 * 3200);
        let report = tap.finish();
        report.assert_balanced();
        let own: Vec<_> = at(&report, HTTP_PORT).collect();
        assert_eq!(own.len(), 3200);
        for exchange in own {
            let id = exchange.target().split_once("id=").expect("an id").1;
            assert_eq!(exchange.response().text(), id);
            assert_eq!(
                proof(exchange),
                (Some(true), Some(CLIENT_ID)),
                "{exchange:#?}"
            );
        }
    });
}

/// A program may hold several versions of aws-lc: all of each, or it is refused.
#[test]
fn several_versions_of_aws_lc() {
    live(|bench| {
        let check = |names: &[&str], expected: Result<usize, &str>| {
            let function = |name: &&str| format!("void aws_lc_{name}(void) {{}}\n");
            let functions: String = names.iter().map(function).collect();
            let source =
                format!("{functions}void rustls(void) {{}}\nint main(void) {{ return 0; }}\n");
            let source = bench.scratch.write("program.c", source);
            let program = bench.scratch.path().join("program");
            let mut cc = Command::new("cc");
            let made = cc.arg(source).arg("-o").arg(&program).status();
            assert!(made.expect("cc").success());
            let file = std::fs::File::open(program).expect("the program");
            let located = locate(&file);
            let found = located.map(|located| located.of(Role::AeadSeal).count());
            assert_eq!(
                found.map_err(|refusal| refusal.to_string()),
                expected.map_err(str::to_owned)
            );
        };
        let of = |version: &str| {
            ["open_gather", "seal", "zero"].map(|name| format!("{version}_EVP_AEAD_CTX_{name}"))
        };
        let all = [of("0_22_0"), of("0_47_0")].concat();
        let all: Vec<_> = all.iter().map(String::as_str).collect();
        check(&all, Ok(2));
        check(&all[..3], Ok(1));
        let refused = "the symbols of its TLS library are not clear (not all functions of aws-lc)";
        check(&all[..5], Err(refused));
        check(&all[..1], Err(refused));
    });
}
