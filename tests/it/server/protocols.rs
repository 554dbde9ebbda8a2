//! HTTP/1.1, HTTP/2 and TLS on one port.

use std::path::Path;

use http_body_util::BodyExt as _;
use mojito_relay::http::TlsFiles;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;

#[tokio::test]
async fn one_port_speaks_http1_and_http2() {
    let relay = Setup::default().start().await;
    let mut http1 = relay.connect().await;
    for _ in 0..3 {
        let answer = get(&mut http1, "/hello").await;
        assert_eq!((answer.status, &*answer.body), (200, "hello"));
    }
    let mut http2 = relay.connect_http2().await;
    let answer = http2
        .send_request(http2_request("/peer", ""))
        .await
        .unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "127.0.0.1 false");
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let relay = Setup::default().start().await;
    let mut http1 = relay.connect().await;
    send(&mut http1, "HEAD /hello HTTP/1.1\r\nhost: relay\r\n\r\n").await;
    send(
        &mut http1,
        "GET /hello HTTP/1.1\r\nhost: relay\r\nconnection: close\r\n\r\n",
    )
    .await;
    let both = String::from_utf8(read_rest(&mut http1).await).unwrap();
    assert_eq!(both.matches("content-length: 5").count(), 2, "{both}");
    assert_eq!(both.matches("hello").count(), 1, "{both}");

    let mut http2 = relay.connect_http2().await;
    let request = Request::head("http://relay/hello").body(Full::default());
    let answer = http2.send_request(request.unwrap()).await.unwrap();
    assert_eq!(answer.headers()["content-length"], "5");
    assert!(
        answer
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .is_empty()
    );
}

#[tokio::test]
async fn alpn_chooses_the_protocol_and_a_reload_changes_the_certificate() {
    let folder = tempfile::tempdir().unwrap();
    write_pair(folder.path());
    let certificates = Certificates::load(files(folder.path())).unwrap();
    let setup = Setup {
        certificates: Some(certificates.clone()),
        ..Setup::default()
    };
    let relay = setup.start().await;

    let http2 = connect_tls(&relay, folder.path(), "h2").await.unwrap();
    assert_eq!(http2.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut http2 = relay.http2_over(http2).await;
    let answer = http2
        .send_request(http2_request("/peer", ""))
        .await
        .unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "127.0.0.1 true");

    let http1 = connect_tls(&relay, folder.path(), "http/1.1").await;
    let mut http1 = http1.unwrap();
    assert_eq!(get(&mut http1, "/hello").await.body, "hello");

    write_pair(folder.path());
    assert!(connect_tls(&relay, folder.path(), "h2").await.is_err());
    certificates.reload().unwrap();
    assert!(connect_tls(&relay, folder.path(), "h2").await.is_ok());
    assert_eq!(get(&mut http1, "/hello").await.status, 200);
}

#[tokio::test]
async fn a_head_over_32_kib_gets_431() {
    let relay = Setup::default().start().await;
    let fill = "a".repeat(40 * 1024);
    let mut http1 = relay.connect().await;
    send(&mut http1, &post("/read", &format!("x-fill: {fill}"))).await;
    let answer = read_answer(&mut http1).await;
    assert_eq!(answer.status, 431);
    assert!(read_rest(&mut http1).await.is_empty());

    let mut http2 = relay.connect_http2().await;
    let mut request = http2_request("/read", "");
    request
        .headers_mut()
        .insert("x-fill", fill.parse().unwrap());
    let refused = http2.send_request(request).await;
    assert_eq!(refused.unwrap().status(), 431);
}

#[tokio::test]
async fn a_peer_that_only_resets_its_streams_is_cut_off() {
    let relay = Setup::default().start().await;
    let mut http2 = relay.connect_http2().await;
    loop {
        if http2.ready().await.is_err() {
            break;
        }
        let mut answer = Box::pin(http2.send_request(http2_request("/gate", "")));
        // Sent, seen by the relay, and then given up.
        tokio::select! {
            _ = answer.as_mut() => break,
            told = relay.told() => assert!(matches!(told, Told::Entered | Told::Dropped)),
        }
    }
    let mut another = relay.connect().await;
    assert_eq!(get(&mut another, "/hello").await.status, 200);
}

fn write_pair(folder: &Path) {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("cert.pem"), pair.cert.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), pair.signing_key.serialize_pem()).unwrap();
}

pub(super) fn files(folder: &Path) -> TlsFiles {
    TlsFiles {
        cert: folder.join("cert.pem"),
        key: folder.join("key.pem"),
    }
}

/// A TLS connection that trusts only the certificate that is in the folder now.
async fn connect_tls(relay: &Relay, folder: &Path, alpn: &str) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(folder.join("cert.pem")).unwrap();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    let stream = relay.connect().await;
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}
