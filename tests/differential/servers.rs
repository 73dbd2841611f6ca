//! The servers, each as its users start it; every request gets 200 when the server accepts it at
//! all.

use std::path::PathBuf;
use std::process::Command;

use meshtap_tests::{Apache, Bench, Daemon, ENVOY_PORT, Envoy, HTTP_PORT, Nginx, PythonServer};

/// A running server, with what it needs.
pub struct Server {
    pub port: u16,
    _parts: Vec<Daemon>,
}

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Nginx,
    Apache,
    Python,
    Node,
    Go,
    Java,
    Envoy,
}

pub const KINDS: &[Kind] = &[
    Kind::Nginx,
    Kind::Apache,
    Kind::Python,
    Kind::Node,
    Kind::Go,
    Kind::Java,
    Kind::Envoy,
];

const NODE: &str = "
const server = require('http').createServer((request, response) => {
    request.on('data', () => {}).on('end', () => response.end('ok'));
});
server.listen(Number(process.argv[2]), '127.0.0.1');
";

const JAVA: &str = "
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.util.concurrent.Executors;

public class Server {
    public static void main(String[] arguments) throws Exception {
        int port = Integer.parseInt(arguments[0]);
        HttpServer server = HttpServer.create(new InetSocketAddress(\"127.0.0.1\", port), 0);
        server.setExecutor(Executors.newCachedThreadPool());
        server.createContext(\"/\", exchange -> {
            exchange.getRequestBody().readAllBytes();
            exchange.sendResponseHeaders(200, 2);
            exchange.getResponseBody().write(\"ok\".getBytes());
            exchange.close();
        });
        server.start();
    }
}
";

impl Kind {
    /// Starts it; says what is missing otherwise.
    pub fn start(self, bench: &Bench) -> Result<Server, String> {
        let port = HTTP_PORT;
        let of = |part: Daemon| Server {
            port,
            _parts: vec![part],
        };
        match self {
            Self::Nginx => Ok(of(nginx(bench))),
            Self::Apache => {
                let server = Apache::start(bench);
                files(server.root());
                Ok(of(server.daemon))
            }
            Self::Python => {
                let server = PythonServer::start(bench, "127.0.0.1", "HTTP/1.1");
                files(server.root());
                Ok(of(server.daemon))
            }
            Self::Node => {
                let script = bench.scratch.write("server.js", NODE);
                let mut command = Command::new(program("node")?);
                command.arg(script).arg(port.to_string());
                Ok(of(Daemon::start(bench, &mut command).listening(port)))
            }
            Self::Go => {
                let program =
                    meshtap_parts::plain::program().map_err(|error| format!("{error:#}"))?;
                let mut command = Command::new(program.ok_or(meshtap_parts::NO_TOOLCHAIN)?);
                command.arg(port.to_string());
                Ok(of(Daemon::start(bench, &mut command).listening(port)))
            }
            Self::Java => {
                let source = bench.scratch.write("Server.java", JAVA);
                let mut command = Command::new(program("java")?);
                command.arg(source).arg(port.to_string());
                Ok(of(Daemon::start(bench, &mut command).listening(port)))
            }
            Self::Envoy => {
                let upstream = nginx(bench);
                let proxy = Envoy::start(bench, "127.0.0.1");
                Ok(Server {
                    port: ENVOY_PORT,
                    _parts: vec![proxy.daemon, upstream],
                })
            }
        }
    }
}

fn nginx(bench: &Bench) -> Daemon {
    Nginx::start(bench, "location / { return 200 ok; }").daemon
}

/// What a server of files has.
fn files(root: &std::path::Path) {
    for name in ["ok", "after"] {
        std::fs::write(root.join(name), "ok").expect("a file to serve");
    }
}

fn program(name: &str) -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.exists());
    found.ok_or_else(|| format!("{name} is not installed"))
}
