//! What a server with TLS needs.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::command;

/// Makes `key.pem`, and `cert.pem`, which it has signed itself.
pub fn make(folder: &Path) -> Result<()> {
    let mut openssl = Command::new("openssl");
    openssl
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt"])
        .args([
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/CN=localhost",
        ])
        .args(["-days", "3650", "-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(folder);
    command::output(&mut openssl).map(drop)
}
