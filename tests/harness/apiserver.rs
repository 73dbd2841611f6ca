//! A real Kubernetes API server with its etcd, on loopback, and no cluster behind it: what is a
//! pod, and where it runs, is what a test says.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use meshtap_parts::{etcd, kubernetes::Component};
use serde_json::{Value, json};

use crate::{Bench, Daemon, curl, skip};

/// Ports in the bench's own network.
const PORT: u16 = 6443;
const ETCD: u16 = 2379;
const ETCD_PEERS: u16 = 2380;
/// It starts in two seconds; a busy machine may need more.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Who may do everything.
const ADMIN: &str = "admin-of-the-test";

/// The program, when it could be built; else the test says that it is skipped. Call it before a
/// test enters a network of its own, from where nothing can be fetched.
///
/// # Panics
/// When it does not build.
#[must_use]
pub fn built(program: anyhow::Result<Option<PathBuf>>) -> Option<PathBuf> {
    let program = program.unwrap_or_else(|error| panic!("{error:#}"));
    if program.is_none() {
        skip(meshtap_parts::NO_TOOLCHAIN);
    }
    program
}

/// A running API server. Killed when dropped, with all that it knows.
#[derive(Debug)]
pub struct ApiServer<'a> {
    bench: &'a Bench,
    folder: PathBuf,
    server: Option<Daemon>,
    etcd: Daemon,
}

/// What it responded.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// Body; null when it is not JSON.
    pub body: Value,
}

impl<'a> ApiServer<'a> {
    /// Its programs are there; built when they are not, which takes minutes, once. When they cannot
    /// be built, the test says that it is skipped. Call it before a test enters a network of its
    /// own.
    #[must_use]
    pub fn available() -> bool {
        built(etcd::program()).is_some() && built(Component::ApiServer.program()).is_some()
    }

    /// Starts one, empty, in the bench's network; when this returns, it is ready.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(bench: &'a Bench) -> Self {
        let folder = bench.scratch.folder("apiserver");
        let tokens = format!("{ADMIN},admin,admin,system:masters\n");
        bench.scratch.write("apiserver/tokens.csv", tokens);
        let key = "ecparam -name prime256v1 -genkey -noout -out";
        let made = Command::new("openssl")
            .args(key.split(' '))
            .arg(folder.join("tokens.key"))
            .output()
            .expect("openssl");
        assert!(made.status.success(), "{made:?}");
        let etcd = start_etcd(bench, &folder);
        let mut server = Self {
            bench,
            folder,
            server: None,
            etcd,
        };
        server.restart();
        server
    }

    /// Where clients find it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{PORT}")
    }

    /// The certificates that its own is proven by.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.folder.join("apiserver.crt")
    }

    /// The token that may do everything.
    #[must_use]
    pub fn admin(&self) -> &'static str {
        ADMIN
    }

    /// A token of a service account, as the kubelet would give it to a pod (TokenRequest).
    ///
    /// # Panics
    /// When there is no such service account.
    #[must_use]
    pub fn token(&self, namespace: &str, name: &str) -> String {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token");
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}});
        let reply = self.expect("POST", &path, &request);
        let token = reply["status"]["token"].as_str();
        token.expect("a token").to_owned()
    }

    /// A kubeconfig file for this token.
    pub fn kubeconfig(&self, token: &str) -> PathBuf {
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {"server": self.url(), "certificate-authority": self.authority()}}],
            "users": [{"name": "test", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "current-context": "test",
        });
        let name = (0..)
            .map(|n| format!("apiserver/kubeconfig-{n}.yaml"))
            .find(|name| !self.bench.scratch.path().join(name).exists())
            .expect("a free name");
        self.bench.scratch.write(&name, config.to_string())
    }

    /// Asks with the admin's token. Objects of a `PATCH` are merged into what is there.
    #[must_use]
    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        self.call_as(ADMIN, method, path, body)
    }

    /// Asks with this token.
    ///
    /// # Panics
    /// When nothing responds.
    #[must_use]
    pub fn call_as(&self, token: &str, method: &str, path: &str, body: Option<&Value>) -> Reply {
        let text = body.map(Value::to_string);
        let arguments = self.arguments(token, method, path, text.as_deref());
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        parse(&String::from_utf8_lossy(&curl(&arguments)))
    }

    /// Asks for something that must succeed, with the admin's token.
    ///
    /// # Panics
    /// When it is refused.
    #[track_caller]
    pub fn expect(&self, method: &str, path: &str, body: &Value) -> Value {
        let reply = self.call(method, path, Some(body));
        assert!(reply.status < 300, "{method} {path}: {reply:?}");
        reply.body
    }

    /// Posts many objects to one path, over one connection.
    ///
    /// # Panics
    /// When one is refused.
    #[track_caller]
    pub fn create(&self, path: &str, objects: &[Value]) {
        let mut config = String::new();
        for object in objects {
            let mut arguments = self.arguments(ADMIN, "POST", path, Some(&object.to_string()));
            arguments.extend(["--output", "/dev/null"].map(str::to_owned));
            config.push_str(&curl_config(&arguments));
        }
        let file = self.bench.scratch.write("apiserver/create.curl", config);
        let file = file.to_str().expect("a scratch path is text");
        let output = String::from_utf8_lossy(&curl(&["--config", file])).into_owned();
        let statuses: Vec<&str> = output.split_whitespace().collect();
        assert_eq!(statuses.len(), objects.len(), "{output}");
        assert!(statuses.iter().all(|status| *status == "201"), "{output}");
    }

    /// What curl needs for one request. The last line of what it prints is the status.
    fn arguments(&self, token: &str, method: &str, path: &str, body: Option<&str>) -> Vec<String> {
        let kind = if method == "PATCH" {
            "application/merge-patch+json"
        } else {
            "application/json"
        };
        let mut arguments = vec![
            "--cacert".to_owned(),
            self.authority().display().to_string(),
            "--header".to_owned(),
            format!("Authorization: Bearer {token}"),
            "--header".to_owned(),
            format!("Content-Type: {kind}"),
            "--request".to_owned(),
            method.to_owned(),
            "--write-out".to_owned(),
            "\n%{http_code}\n".to_owned(),
            "--url".to_owned(),
            format!("{}{path}", self.url()),
        ];
        if let Some(body) = body {
            arguments.extend(["--data-binary".to_owned(), body.to_owned()]);
        }
        arguments
    }

    /// Ends the server in good order; etcd stays, and with it everything that the server knew.
    ///
    /// # Panics
    /// When it does not end.
    pub fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.terminate();
            server.wait();
        }
    }

    /// Starts it again.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&mut self) {
        self.stop();
        let folder = self.folder.display();
        let arguments = format!(
            "--etcd-servers http://127.0.0.1:{ETCD} --secure-port {PORT} --bind-address 127.0.0.1 --advertise-address 192.0.2.1 \
             --endpoint-reconciler-type none --cert-dir {folder} --service-account-key-file {folder}/tokens.key \
             --service-account-signing-key-file {folder}/tokens.key --service-account-issuer https://kubernetes.default.svc \
             --token-auth-file {folder}/tokens.csv --authorization-mode RBAC --disable-admission-plugins ServiceAccount \
             --service-cluster-ip-range 10.96.0.0/16"
        );
        let program = built(Component::ApiServer.program()).expect("it was available");
        let mut command = Command::new(program);
        command.args(arguments.split_whitespace());
        self.server = Some(Daemon::start(self.bench, &mut command).listening(PORT));
        let deadline = Instant::now() + TIMEOUT;
        while !self.is_ready() {
            assert!(Instant::now() < deadline, "the API server is not ready");
        }
    }

    fn is_ready(&self) -> bool {
        let response = self.call("GET", "/readyz", None);
        // It has rules only once its own start has written them.
        response.status == 200
    }

    /// Makes etcd forget everything but the present: who asks for what came after an older version
    /// gets 410 Gone, once the server itself has forgotten it too ([`Self::restart`]). Returns the
    /// version that is left.
    ///
    /// # Panics
    /// When etcd refuses.
    pub fn compact(&self) -> u64 {
        let ask = |path: &str, body: &Value| -> Value {
            let url = format!("http://127.0.0.1:{ETCD}/v3/kv/{path}");
            let response = curl(&["--fail", "--data-binary", &body.to_string(), &url]);
            serde_json::from_slice(&response).expect("JSON")
        };
        // "Lw==" is "/": a key that is not there; only the head of the response matters.
        let now = ask("range", &json!({"key": "Lw=="}));
        let revision = now["header"]["revision"].as_str().expect("a revision");
        ask(
            "compaction",
            &json!({"revision": revision, "physical": true}),
        );
        revision.parse().expect("a number")
    }

    /// Process id of the server; of etcd.
    #[must_use]
    pub fn pids(&self) -> (Option<u32>, u32) {
        (self.server.as_ref().map(Daemon::pid), self.etcd.pid())
    }
}

fn start_etcd(bench: &Bench, folder: &Path) -> Daemon {
    let folder = folder.display();
    let arguments = format!(
        "--data-dir {folder}/etcd --unsafe-no-fsync --log-level error --name test \
         --listen-client-urls http://127.0.0.1:{ETCD} --advertise-client-urls http://127.0.0.1:{ETCD} \
         --listen-peer-urls http://127.0.0.1:{ETCD_PEERS} --initial-advertise-peer-urls http://127.0.0.1:{ETCD_PEERS} \
         --initial-cluster test=http://127.0.0.1:{ETCD_PEERS}"
    );
    let program = built(etcd::program()).expect("it was available");
    let mut command = Command::new(program);
    command.args(arguments.split_whitespace());
    Daemon::start(bench, &mut command).listening(ETCD)
}

/// A body, then a line with the status.
fn parse(output: &str) -> Reply {
    let (body, status) = output
        .trim_end()
        .rsplit_once('\n')
        .expect("a status after the body");
    Reply {
        status: status.parse().expect("a status"),
        body: serde_json::from_str(body).unwrap_or_default(),
    }
}

/// One request in curl's configuration format: quoted, with quotes and backslashes escaped; `next`
/// begins another one.
fn curl_config(arguments: &[String]) -> String {
    let mut config = "next\n".to_owned();
    for pair in arguments.chunks(2) {
        if let [name, value] = pair {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"");
            let value = value.replace('\n', "\\n");
            config.push_str(&format!("{} = \"{value}\"\n", name.trim_start_matches('-')));
        }
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_a_body_and_a_status() {
        let reply = parse("{\"a\":1}\n201\n");
        assert_eq!((reply.status, reply.body), (201, json!({"a": 1})));
        let reply = parse("ok\n200\n");
        assert_eq!((reply.status, reply.body), (200, Value::Null));
    }

    #[test]
    fn what_curl_reads_from_a_file_is_quoted() {
        let arguments = ["--data-binary", "{\"a\": \"\\\"\"}"].map(str::to_owned);
        assert_eq!(
            curl_config(&arguments),
            "next\ndata-binary = \"{\\\"a\\\": \\\"\\\\\\\"\\\"}\"\n"
        );
    }
}
