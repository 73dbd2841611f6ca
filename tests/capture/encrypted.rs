//! TLS is not HTTP: no exchange, and next to nothing is copied out of the kernel.

use std::fs;
use std::process::Command;

use meshtap_tests::{HTTP_PORT, Nginx, Random, Tap, curl, figure, live, url};

#[test]
fn a_tls_socket_is_left_alone() {
    live(|bench| {
        let folder = bench.scratch.path();
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-subj",
                "/CN=localhost",
            ])
            .args(["-keyout", "key.pem", "-out", "cert.pem"])
            .current_dir(folder)
            .output()
            .expect("openssl");
        assert!(made.status.success());
        let listen = format!("listen 8443 ssl; listen {HTTP_PORT};");
        let nginx = Nginx::start_http(
            bench,
            &format!(
                "server {{ {listen} ssl_certificate {0}/cert.pem; ssl_certificate_key {0}/key.pem; }}",
                folder.display()
            ),
        );
        let content = Random::new(7).bytes(8_000_000);
        fs::write(nginx.root().join("big"), &content).expect("a file");

        let tap = Tap::new(bench).start();
        let https = "https://127.0.0.1:8443/big";
        assert!(curl(&["-k", https]) == content);
        let _ = curl(&["-k", "-o", "/dev/null", https, "-o", "/dev/null", https]);
        // What is not encrypted is still seen.
        let _ = curl(&["-I", &url("127.0.0.1", "/big")]);
        let report = tap.finish();
        report.assert_nothing_lost();
        assert_eq!(report.only().method(), "HEAD");
        let copied = report.copied_bytes();
        figure(&format!(
            "{copied} bytes copied of 24 MB of TLS and one HEAD"
        ));
        assert!(copied < 4096, "{copied}");
    });
}
