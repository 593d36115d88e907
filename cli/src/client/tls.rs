//! The certificates of the command line as a TLS client. What is wrong with a file is said in one line.

use std::{path::Path, sync::Arc};

use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer, ServerName,
    pem::{self, PemObject as _},
};
use tokio_rustls::TlsConnector;

use super::ClientError;
use crate::args::ConnectionArgs;

/// A TLS client, and the name that the server must have.
#[derive(Clone)]
pub struct Tls {
    /// Shakes hands.
    pub connector: TlsConnector,
    /// The server's name.
    pub name: ServerName<'static>,
}

impl Tls {
    /// TLS as the options want it; nothing where they want none. `host` is the server's.
    pub fn of(args: &ConnectionArgs, host: &str) -> Result<Option<Self>, ClientError> {
        let Some(ca) = &args.tls_ca else { return Ok(None) };
        let mut roots = RootCertStore::empty();
        for certificate in certificates("--tls-ca", ca)? {
            roots.add(certificate).map_err(|error| wrong("--tls-ca", ca, &error))?;
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| ClientError::Named(format!("TLS: {error}")))?
            .with_root_certificates(roots);
        let mut config = match (&args.tls_cert, &args.tls_key) {
            (Some(cert), Some(key)) => {
                let chain = certificates("--tls-cert", cert)?;
                let key_der = PrivateKeyDer::from_pem_file(key)
                    .map_err(|error| unreadable("--tls-key", key, &error))?;
                builder
                    .with_client_auth_cert(chain, key_der)
                    .map_err(|error| wrong("--tls-cert", cert, &error))?
            }
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        let (option, name) =
            args.tls_server_name.as_deref().map_or(("--server", host), |name| ("--tls-server-name", name));
        let name = ServerName::try_from(name.to_owned()).map_err(|_| {
            ClientError::Named(format!("{option}: \"{name}\" is no name that a certificate can have"))
        })?;
        Ok(Some(Self { connector: TlsConnector::from(Arc::new(config)), name }))
    }
}

fn certificates(option: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = read.map_err(|error| unreadable(option, path, &error))?;
    if certificates.is_empty() {
        return Err(unreadable(option, path, &pem::Error::NoItemsFound));
    }
    Ok(certificates)
}

fn unreadable(option: &str, path: &Path, error: &pem::Error) -> ClientError {
    let reason = match error {
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound if option == "--tls-key" => "there is no private key (PEM) in it".to_owned(),
        pem::Error::NoItemsFound => "there is no certificate (PEM) in it".to_owned(),
        other => format!("it is not PEM: {other}"),
    };
    ClientError::Named(format!("{option}: {}: {reason}", path.display()))
}

fn wrong(option: &str, path: &Path, error: &rustls::Error) -> ClientError {
    ClientError::Named(format!("{option}: {}: {error}", path.display()))
}
