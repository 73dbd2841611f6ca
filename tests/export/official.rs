//! OpenTelemetry's own Python package as the reader of payloads.

use std::io::Write as _;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meshtap_tests::skip;
use serde_json::{Value as Json, json};

use crate::fake::Received;

/// Every span in these requests, or nothing, and the test says that it is skipped, where the
/// package is not there.
pub(crate) fn decode(received: &[Received]) -> Option<Vec<Json>> {
    let Some(python) = std::env::var_os("MESHTAP_PYTHON") else {
        skip("there is no Python with opentelemetry-proto: run `cargo xtask test`");
        return None;
    };
    let payloads: Vec<_> = received
        .iter()
        .map(|request| {
            json!({
                "kind": request.headers["content-type"].to_str().unwrap(),
                "payload": STANDARD.encode(&request.payload),
            })
        })
        .collect();
    let mut child = Command::new(python)
        .args(["-c", include_str!("decode.py")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python");
    let mut stdin = child.stdin.take().expect("a pipe");
    let writer = std::thread::spawn(move || {
        // A decoder that ends early says why; that the pipe broke is known.
        let _ = stdin.write_all(Json::from(payloads).to_string().as_bytes());
    });
    let output = child.wait_with_output().expect("python");
    writer.join().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    Some(serde_json::from_slice(&output.stdout).expect("JSON"))
}
