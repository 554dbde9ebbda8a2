//! The certificate that the relay shows, from PEM files that can be read again while it runs.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, ServerConfig};

use super::TlsFiles;

/// A certificate and its key; connections that begin after a reload see the new one.
#[derive(Debug)]
pub struct Certificates {
    files: TlsFiles,
    provider: Arc<CryptoProvider>,
    current: ArcSwap<CertifiedKey>,
}

/// Why a certificate cannot be used. It never quotes the files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{} cannot be read: {reason}", file.display())]
    Unreadable { file: PathBuf, reason: io::Error },
    #[error("{} is not well-formed PEM", file.display())]
    NotPem { file: PathBuf },
    #[error("{} holds no certificate; it must begin with the server's own, then the chain", file.display())]
    NoCertificate { file: PathBuf },
    #[error("{} holds no private key (PKCS#8, PKCS#1 or SEC1, not encrypted)", file.display())]
    NoKey { file: PathBuf },
    #[error("the key in {} cannot be used: {reason}", file.display())]
    Unusable {
        file: PathBuf,
        reason: rustls::Error,
    },
    #[error("the key in {} does not belong to the certificate in {}", key.display(), cert.display())]
    Mismatch { cert: PathBuf, key: PathBuf },
}

impl Certificates {
    /// Reads the files.
    pub fn load(files: TlsFiles) -> Result<Arc<Self>, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let current = ArcSwap::from_pointee(read(&files, &provider)?);
        Ok(Arc::new(Self {
            files,
            provider,
            current,
        }))
    }

    /// Reads the files again; on an error the certificate stays the one it was.
    pub fn reload(&self) -> Result<(), TlsError> {
        let fresh = read(&self.files, &self.provider)?;
        self.current.store(Arc::new(fresh));
        Ok(())
    }

    /// A server's settings that show this certificate, over HTTP/2 and HTTP/1.1.
    pub(super) fn server_config(self: &Arc<Self>) -> Arc<ServerConfig> {
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .expect("ring speaks the default versions")
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Arc::new(config)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

fn read(files: &TlsFiles, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let chain = read_chain(&files.cert)?;
    let key = read_key(&files.key)?;
    CertifiedKey::from_der(chain, key, provider).map_err(|reason| match reason {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsError::Mismatch {
            cert: files.cert.clone(),
            key: files.key.clone(),
        },
        rustls::Error::InvalidCertificate(_) => TlsError::NotPem {
            file: files.cert.clone(),
        },
        reason => TlsError::Unusable {
            file: files.key.clone(),
            reason,
        },
    })
}

fn read_chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read_file(file)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.map_err(|_| TlsError::NotPem { file: file.into() })?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { file: file.into() });
    }
    Ok(chain)
}

fn read_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let pem = read_file(file)?;
    match PrivateKeyDer::pem_slice_iter(&pem).next() {
        Some(Ok(key)) => Ok(key),
        Some(Err(_)) => Err(TlsError::NotPem { file: file.into() }),
        None => Err(TlsError::NoKey { file: file.into() }),
    }
}

fn read_file(file: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(file).map_err(|reason| TlsError::Unreadable {
        file: file.into(),
        reason,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder {
        folder: tempfile::TempDir,
    }

    impl Folder {
        fn new() -> Self {
            Self {
                folder: tempfile::tempdir().unwrap(),
            }
        }

        fn write(&self, name: &str, text: &str) -> PathBuf {
            let path = self.folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        }

        fn files(&self, cert: &str, key: &str) -> TlsFiles {
            TlsFiles {
                cert: self.write("cert.pem", cert),
                key: self.write("key.pem", key),
            }
        }
    }

    fn pair() -> (String, String) {
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (pair.cert.pem(), pair.signing_key.serialize_pem())
    }

    #[test]
    fn each_fault_names_its_file_and_reason() {
        let folder = Folder::new();
        let (cert, key) = pair();
        let (_, other_key) = pair();
        let cut = cert.replace("-----END CERTIFICATE-----", "");
        let encrypted =
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let no_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let table = [
            ("", &*key, "cert.pem holds no certificate"),
            (&*cut, &*key, "cert.pem is not well-formed"),
            (no_der, &*key, "cert.pem is not well-formed"),
            (&*cert, "", "key.pem holds no private key"),
            (&*cert, encrypted, "key.pem holds no private key"),
            (&*cert, &*other_key, "does not belong to the certificate"),
        ];
        for (cert, key, expected) in table {
            let error = Certificates::load(folder.files(cert, key)).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
        let missing = TlsFiles {
            cert: folder.folder.path().join("nowhere.pem"),
            key: folder.folder.path().join("key.pem"),
        };
        let error = Certificates::load(missing).unwrap_err();
        assert!(error.to_string().contains("nowhere.pem cannot be read"));
    }

    #[test]
    fn a_bad_reload_keeps_the_certificate_it_had() {
        let folder = Folder::new();
        let (cert, key) = pair();
        let certificates = Certificates::load(folder.files(&cert, &key)).unwrap();
        let before = certificates.current.load().cert.clone();
        folder.write("cert.pem", "gone");
        assert!(certificates.reload().is_err());
        assert_eq!(certificates.current.load().cert, before);
        let (cert, key) = pair();
        folder.files(&cert, &key);
        certificates.reload().unwrap();
        assert_ne!(certificates.current.load().cert, before);
    }
}
