//! An authority, and certificates that it signed for a collector and for its client (openssl).

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::real::run;

/// Makes `ca.pem`, `server.{pem,key}` and `client.{pem,key}` in `folder`.
pub(crate) fn make(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let openssl = |arguments: &str| {
        run(Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(folder));
    };
    let curve = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc";
    openssl(&format!(
        "req -x509 {curve} -keyout ca.key -out ca.pem -days 2 -subj /CN=authority -addext basicConstraints=critical,CA:TRUE"
    ));
    fs::write(
        folder.join("names"),
        "subjectAltName=DNS:localhost,IP:127.0.0.1\n",
    )
    .unwrap();
    for name in ["server", "client"] {
        openssl(&format!(
            "req {curve} -keyout {name}.key -out {name}.csr -subj /CN={name}"
        ));
        openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out {name}.pem"
        ));
    }
}
