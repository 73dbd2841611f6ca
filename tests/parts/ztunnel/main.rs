//! Stands for ztunnel: HBONE (CONNECT in HTTP/2 in TLS 1.3), with the same library.
//!
//! ```text
//! ztunnel outbound LISTEN HBONE TARGET FOLDER [anonymous]
//! ztunnel inbound LISTEN FOLDER
//! ```
//!
//! `outbound` opens a tunnel to TARGET, through one connection to HBONE, for whoever connects;
//! `inbound` ends tunnels and connects to where they lead. FOLDER has `ca.pem`, `cert.pem` and
//! `key.pem`. An anonymous end shows no certificate.

use std::error::Error;
use std::future::poll_fn;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use h2::{RecvStream, SendStream, client, server};
use http::{Method, Request, Response};
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

type Failed = Box<dyn Error + Send + Sync>;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["inbound", listen, folder] => inbound(listen, Path::new(folder)).await,
        ["outbound", listen, hbone, target, folder, ref rest @ ..] => {
            let config = client_config(Path::new(folder), rest == ["anonymous"])?;
            outbound(listen, hbone, target, config).await
        }
        _ => Err("see the source".into()),
    }
}

/// As ztunnel marks its sockets; those that are accepted have the mark of their listener.
fn marked<S: AsFd>(socket: S) -> Result<S, Failed> {
    SockRef::from(&socket).set_mark(1337)?;
    Ok(socket)
}

struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    roots: Arc<RootCertStore>,
}

fn identity(folder: &Path) -> Result<Identity, Failed> {
    let chain = CertificateDer::pem_file_iter(folder.join("cert.pem"))?;
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(folder.join("ca.pem"))? {
        roots.add(root?)?;
    }
    Ok(Identity {
        chain: chain.collect::<Result<_, _>>()?,
        key: PrivateKeyDer::from_pem_file(folder.join("key.pem"))?,
        roots: Arc::new(roots),
    })
}

fn client_config(folder: &Path, anonymous: bool) -> Result<ClientConfig, Failed> {
    let Identity { chain, key, roots } = identity(folder)?;
    let builder =
        ClientConfig::builder_with_protocol_versions(&[&TLS13]).with_root_certificates(roots);
    let mut config = match anonymous {
        true => builder.with_no_client_auth(),
        false => builder.with_client_auth_cert(chain, key)?,
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

async fn inbound(listen: &str, folder: &Path) -> Result<(), Failed> {
    let Identity { chain, key, roots } = identity(folder)?;
    let verifier = WebPkiClientVerifier::builder(roots)
        .allow_unauthenticated()
        .build()?;
    let mut config = ServerConfig::builder_with_protocol_versions(&[&TLS13])
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = marked(TcpListener::bind(listen).await?)?;
    loop {
        let (tcp, _) = listener.accept().await?;
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let mut connection = server::handshake(acceptor.accept(tcp).await?).await?;
            while let Some(request) = connection.accept().await {
                let (request, respond) = request?;
                tokio::spawn(end_tunnel(request, respond));
            }
            Ok::<(), Failed>(())
        });
    }
}

async fn end_tunnel(
    request: Request<RecvStream>,
    mut respond: server::SendResponse<Bytes>,
) -> Result<(), Failed> {
    let target = request.uri().authority().ok_or("no authority")?.to_string();
    let tcp = marked(TcpStream::connect(target).await?)?;
    let send = respond.send_response(Response::new(()), false)?;
    relay(tcp, request.into_body(), send);
    Ok(())
}

async fn outbound(
    listen: &str,
    hbone: &str,
    target: &str,
    config: ClientConfig,
) -> Result<(), Failed> {
    let listener = marked(TcpListener::bind(listen).await?)?;
    let connector = TlsConnector::from(Arc::new(config));
    let mut sender: Option<client::SendRequest<Bytes>> = None;
    loop {
        let (tcp, _) = listener.accept().await?;
        let known = match sender.take() {
            Some(known) => known.ready().await.ok(),
            None => None,
        };
        let mut ready = match known {
            Some(ready) => ready,
            None => connect(&connector, hbone).await?.ready().await?,
        };
        let request = Request::builder()
            .method(Method::CONNECT)
            .uri(target)
            .header("baggage", "k8s.namespace.name=shop,k8s.deployment.name=web")
            .body(())?;
        let (response, send) = ready.send_request(request, false)?;
        sender = Some(ready);
        tokio::spawn(async move {
            let body = response.await?.into_body();
            relay(tcp, body, send);
            Ok::<(), Failed>(())
        });
    }
}

async fn connect(
    connector: &TlsConnector,
    hbone: &str,
) -> Result<client::SendRequest<Bytes>, Failed> {
    let name = ServerName::try_from("localhost")?;
    let tls = connector
        .connect(name, marked(TcpStream::connect(hbone).await?)?)
        .await?;
    let (sender, connection) = client::handshake(tls).await?;
    tokio::spawn(connection);
    Ok(sender)
}

fn relay(tcp: TcpStream, body: RecvStream, send: SendStream<Bytes>) {
    let (read, write) = tcp.into_split();
    tokio::spawn(out_of_tunnel(body, write));
    tokio::spawn(into_tunnel(read, send));
}

async fn out_of_tunnel(mut body: RecvStream, mut tcp: OwnedWriteHalf) -> Result<(), Failed> {
    while let Some(bytes) = body.data().await {
        let bytes = bytes?;
        tcp.write_all(&bytes).await?;
        body.flow_control().release_capacity(bytes.len())?;
    }
    Ok(tcp.shutdown().await?)
}

async fn into_tunnel(mut tcp: OwnedReadHalf, mut send: SendStream<Bytes>) -> Result<(), Failed> {
    let mut buffer = vec![0; 32 * 1024];
    loop {
        let count = tcp.read(&mut buffer).await?;
        let mut left = Bytes::copy_from_slice(&buffer[..count]);
        if left.is_empty() {
            return Ok(send.send_data(left, true)?);
        }
        while !left.is_empty() {
            send.reserve_capacity(left.len());
            let room = poll_fn(|cx| send.poll_capacity(cx))
                .await
                .ok_or("closed")??;
            send.send_data(left.split_to(room.min(left.len())), false)?;
        }
    }
}
