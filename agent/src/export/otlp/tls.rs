//! TLS to a collector.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::config::{Protocol, TlsConfig};

/// The settings of TLS: whom to trust, what to present, and the protocol inside.
///
/// # Errors
/// Names the file that cannot be used.
pub(super) fn client(
    files: &TlsConfig,
    protocol: Protocol,
) -> Result<Arc<rustls::ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS: {error}"))?
        .with_root_certificates(roots(files.ca.as_deref())?);
    let mut config = match (&files.certificate, &files.key) {
        (Some(certificate), Some(key)) => {
            let chain = certificates("tls.certificate", certificate)?;
            builder
                .with_client_auth_cert(chain, private_key(key)?)
                .map_err(|error| format!("tls.certificate: {error}"))?
        }
        (None, None) => builder.with_no_client_auth(),
        (Some(_), None) => {
            return Err("tls.key: a client certificate needs its private key".to_owned());
        }
        (None, Some(_)) => {
            return Err("tls.certificate: a private key needs its client certificate".to_owned());
        }
    };
    let application = match protocol {
        Protocol::Grpc => "h2",
        Protocol::HttpProtobuf | Protocol::HttpJson => "http/1.1",
    };
    config.alpn_protocols = vec![application.into()];
    Ok(Arc::new(config))
}

/// Whether the files that are named can be used, where nothing needs them.
///
/// # Errors
/// Names the file that cannot be.
pub(super) fn check(files: &TlsConfig) -> Result<(), String> {
    let named = [
        ("tls.ca", &files.ca),
        ("tls.certificate", &files.certificate),
    ];
    for (name, file) in named {
        if let Some(file) = file {
            certificates(name, file)?;
        }
    }
    (files.key.as_deref().map(private_key).transpose()).map(|_| ())
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_file(file)
        .map_err(|error| format!("tls.key: {}: {error}", file.display()))
}

fn certificates(name: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong = |error| format!("{name}: {}: {error}", file.display());
    let found: Vec<_> = CertificateDer::pem_file_iter(file)
        .map_err(wrong)?
        .collect::<Result<_, _>>()
        .map_err(wrong)?;
    if found.is_empty() {
        return Err(format!("{name}: {}: no certificate in it", file.display()));
    }
    Ok(found)
}

fn roots(ca: Option<&Path>) -> Result<rustls::RootCertStore, String> {
    let mut store = rustls::RootCertStore::empty();
    match ca {
        Some(file) => {
            for certificate in certificates("tls.ca", file)? {
                store
                    .add(certificate)
                    .map_err(|error| format!("tls.ca: {}: {error}", file.display()))?;
            }
        }
        None => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if store.is_empty() {
                return Err(
                    "this system has no certificate authorities; name a file with `tls.ca`"
                        .to_owned(),
                );
            }
        }
    }
    Ok(store)
}
