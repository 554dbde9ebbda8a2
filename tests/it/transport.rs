//! The real network: certificates, proxies, limits, and words for why no answer came.

#![expect(
    clippy::disallowed_methods,
    reason = "a server of a test ends with its runtime"
)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use mojito_relay::model::Secret;
use mojito_relay::transport::{
    Answer, Connection, Failure, FailureKind, NetworkTransport, Outgoing, Proxy, RESPONSE_BYTES,
    Transport as _,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A server that reads the head of one request after the other and answers with bytes as given.
async fn server(answer: &'static str) -> (SocketAddr, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heads = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let head = read_head(&mut socket).await;
        socket.write_all(answer.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        let _peer_may_reset = socket.read_to_end(&mut rest).await;
        vec![head]
    });
    (address, heads)
}

async fn read_head(socket: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        let mut byte = [0];
        if socket.read(&mut byte).await.unwrap_or(0) == 0 {
            break;
        }
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

async fn get(url: String, connection: Connection, timeout: Duration) -> Result<Answer, Failure> {
    let request = Outgoing {
        method: Method::GET,
        url: url.parse().unwrap(),
        headers: HeaderMap::new(),
        body: Bytes::new(),
        timeout,
        connection: Arc::new(connection),
    };
    NetworkTransport::default().send(request).await
}

async fn plain(address: SocketAddr) -> Result<Answer, Failure> {
    get(
        format!("http://{address}/"),
        Connection::default(),
        Duration::from_secs(10),
    )
    .await
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let (address, heads) = server(
        "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    let answer = plain(address).await.unwrap();
    assert_eq!(answer.status, 302);
    assert_eq!(heads.await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_response_is_read_up_to_its_limit_and_no_further() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let endless = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        read_head(&mut socket).await;
        socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        while socket.write_all(&[b'x'; 4096]).await.is_ok() {}
    });
    let answer = plain(address).await.unwrap();
    assert_eq!(
        (answer.body.len(), answer.complete),
        (RESPONSE_BYTES, false)
    );
    endless.await.unwrap();
}

#[tokio::test]
async fn a_body_that_breaks_off_still_has_its_status() {
    let (address, _heads) = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            read_head(&mut socket).await;
            socket
                .write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 100\r\n\r\nonly")
                .await
                .unwrap();
        });
        (address, heads)
    };
    let answer = plain(address).await.unwrap();
    assert_eq!(
        (answer.status.as_u16(), &answer.body[..], answer.complete),
        (201, &b"only"[..], false)
    );
}

#[tokio::test]
async fn why_no_answer_came_is_told_without_the_url() {
    let (silent, _keep) = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        (listener.local_addr().unwrap(), listener)
    };
    let url = format!("http://{silent}/secret-path");
    let slow = get(url, Connection::default(), Duration::from_millis(100))
        .await
        .unwrap_err();
    assert_eq!(
        (slow.kind, slow.message.as_str()),
        (FailureKind::Timeout, "no answer within 100ms")
    );

    let gone = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let refused = plain(gone).await.unwrap_err();
    assert_eq!(refused.kind, FailureKind::Connect);
    assert!(
        refused.message.contains("refused") && !refused.message.contains("http"),
        "{}",
        refused.message
    );

    let unknown = get(
        "http://nowhere.invalid/".to_owned(),
        Connection::default(),
        Duration::from_secs(10),
    )
    .await;
    assert_eq!(unknown.unwrap_err().kind, FailureKind::Connect);

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let resets = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        read_head(&mut socket).await;
    });
    let broken = plain(address).await.unwrap_err();
    assert_eq!(broken.kind, FailureKind::Broken, "{broken:?}");
    resets.await.unwrap();
}

#[tokio::test]
async fn a_proxy_is_used_where_one_is_named() {
    let (address, heads) = server(OK).await;
    let connection = Connection {
        proxy: Proxy::Url(Secret::new(&format!("http://{address}"))),
        ..Connection::default()
    };
    let answer = get(
        "http://ats.invalid/note".to_owned(),
        connection,
        Duration::from_secs(10),
    )
    .await
    .unwrap();
    assert_eq!(answer.status, 200);
    let head = heads.await.unwrap().remove(0);
    assert!(
        head.starts_with("GET http://ats.invalid/note HTTP/1.1"),
        "{head}"
    );
}

/// An authority, a server and a client that it vouches for, as PEM files.
pub struct Certificates {
    folder: TempDir,
    server: rustls::ServerConfig,
}

impl Certificates {
    pub fn make(client_wanted: bool) -> Self {
        let folder = TempDir::new().unwrap();
        let write =
            |name: &str, pem: String| std::fs::write(folder.path().join(name), pem).unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        write("ca.pem", authority.pem());
        let issue = |name: &str| {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            (params.signed_by(&key, &authority).unwrap(), key)
        };
        let (client, client_key) = issue("relay");
        write("client.pem", client.pem());
        write("client.key", client_key.serialize_pem());
        let (server, server_key) = issue("localhost");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots),
            provider.clone(),
        );
        let builder = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if client_wanted {
            builder.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(server_key.serialize_der()));
        let server = builder
            .with_single_cert(vec![server.der().clone()], key)
            .unwrap();
        Self { folder, server }
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub async fn serve(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(self.server.clone()));
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                answer_over_tls(&acceptor, socket).await;
            }
        });
        address
    }
}

async fn answer_over_tls(acceptor: &tokio_rustls::TlsAcceptor, socket: TcpStream) {
    let Ok(mut stream) = acceptor.accept(socket).await else {
        return;
    };
    read_head(&mut stream).await;
    let _client_may_be_gone = stream.write_all(OK.as_bytes()).await;
    let _client_may_be_gone = stream.shutdown().await;
}

#[tokio::test]
async fn an_authority_of_one_s_own_is_trusted_and_another_is_not() {
    let certificates = Certificates::make(false);
    let address = certificates.serve().await;
    let url = format!("https://localhost:{}/", address.port());
    let own = Connection {
        ca: Some(certificates.file("ca.pem")),
        ..Connection::default()
    };
    assert_eq!(
        get(url.clone(), own, Duration::from_secs(10))
            .await
            .unwrap()
            .status,
        200
    );
    let stranger = get(url, Connection::default(), Duration::from_secs(10))
        .await
        .unwrap_err();
    assert_eq!(stranger.kind, FailureKind::Tls, "{stranger:?}");
    assert!(
        stranger.message.contains("UnknownIssuer") || stranger.message.contains("certificate"),
        "{}",
        stranger.message
    );
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_one_is_named() {
    let certificates = Certificates::make(true);
    let address = certificates.serve().await;
    let url = format!("https://localhost:{}/", address.port());
    let known = Connection {
        ca: Some(certificates.file("ca.pem")),
        identity: Some((
            certificates.file("client.pem"),
            certificates.file("client.key"),
        )),
        ..Connection::default()
    };
    assert_eq!(
        get(url.clone(), known.clone(), Duration::from_secs(10))
            .await
            .unwrap()
            .status,
        200
    );
    let unknown = Connection {
        identity: None,
        ..known
    };
    assert!(get(url, unknown, Duration::from_secs(10)).await.is_err());
}

#[tokio::test]
async fn a_certificate_file_that_is_not_one_is_named() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, "no certificate").unwrap();
    let connection = Connection {
        ca: Some(file),
        ..Connection::default()
    };
    let failure = NetworkTransport::check(&connection).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Settings);
    assert!(failure.message.contains("ca.pem"), "{}", failure.message);
}

#[tokio::test]
async fn a_compressed_answer_stays_as_it_came_and_is_cut_like_any_other() {
    // The head of a gzip stream; what follows would be inflated a thousandfold by whoever does so.
    const HEAD: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff";
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let bomb = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let head = read_head(&mut socket).await;
        let answer = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n";
        socket.write_all(answer).await.unwrap();
        socket.write_all(HEAD).await.unwrap();
        while socket.write_all(&[0; 4096]).await.is_ok() {}
        head
    });
    let answer = plain(address).await.unwrap();
    assert_eq!(answer.body.len(), RESPONSE_BYTES);
    assert!(!answer.complete && answer.body.starts_with(HEAD));
    let head = bomb.await.unwrap().to_ascii_lowercase();
    assert!(!head.contains("accept-encoding"), "{head}");
}
