//! TLS for addresses on the network: made from files, and made again when they change. Connections that are there
//! keep what they began with; new ones get the new certificate and CA.
//!
//! The files are looked at every few seconds instead of watched by inotify: a Secret's files are symlinks into a folder
//! that Kubernetes swaps, a subPath mount and some file systems tell inotify nothing, and three `stat`s in five
//! seconds cost less than being wrong once.

mod certificate;
mod files;

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::SystemTime,
};

use rustls::{
    RootCertStore, ServerConfig,
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};
use thiserror::Error;
use tracing::{info, warn};

use super::{config::TlsFiles, metrics::ApiMetrics};
pub use certificate::Certificate;
use files::Material;
pub use files::Signature;

/// Files that make no TLS. Each says which file, and what is wrong with it.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{}: {problem}", path.display())]
pub struct TlsError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub problem: String,
}

/// What new connections get.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    /// Callers without a certificate are let in, and must bring a token.
    certificate_optional: bool,
    current: RwLock<Arc<ServerConfig>>,
    metrics: ApiMetrics,
}

impl Tls {
    /// Reads the files. Whatever is wrong with them is an error now.
    pub fn load(
        files: TlsFiles,
        tokens: bool,
        metrics: ApiMetrics,
    ) -> Result<(Arc<Self>, Signature), TlsError> {
        // Before the files are read: what changes meanwhile is read again.
        let signature = Signature::of(&files);
        let (config, expires) = server_config(&files, tokens, SystemTime::now())?;
        metrics.certificate_expires(expires);
        let current = RwLock::new(Arc::new(config));
        Ok((Arc::new(Self { files, certificate_optional: tokens, current, metrics }), signature))
    }

    /// What a new connection gets.
    pub fn config(&self) -> Arc<ServerConfig> {
        // A panic while it was replaced leaves the old one, which is as good.
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Follows the files for as long as it is polled.
    pub async fn follow(self: Arc<Self>, mut seen: Signature) {
        let mut look = tokio::time::interval(self.files.reload_interval);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        look.tick().await;
        loop {
            look.tick().await;
            let now = Signature::of(&self.files);
            if now != seen {
                seen = now;
                self.reload();
            }
        }
    }

    fn reload(&self) {
        match server_config(&self.files, self.certificate_optional, SystemTime::now()) {
            Ok((config, expires)) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
                self.metrics.tls_reloaded();
                self.metrics.certificate_expires(expires);
                info!(certificate = %self.files.cert.display(), "TLS files changed: new connections get the new ones");
            }
            Err(error) => {
                self.metrics.tls_reload_failed();
                warn!(%error, "TLS files changed and are wrong: the old ones stay");
            }
        }
    }
}

/// The server's side of TLS, and when its certificate expires.
fn server_config(
    files: &TlsFiles,
    tokens: bool,
    now: SystemTime,
) -> Result<(ServerConfig, SystemTime), TlsError> {
    let Material { chain, key, client_ca } = files::read(files)?;
    let wrong = |path: &PathBuf, problem: String| TlsError { path: path.clone(), problem };
    let leaf = Certificate::of(&chain[0]).map_err(|problem| wrong(&files.cert, problem))?;
    leaf.check_time(now).map_err(|problem| wrong(&files.cert, problem))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| wrong(&files.cert, error.to_string()))?;
    let builder = match (&files.client_ca, client_ca) {
        (Some(path), Some(roots)) => {
            let verifier =
                client_verifier(roots, tokens, provider).map_err(|problem| wrong(path, problem))?;
            builder.with_client_cert_verifier(verifier)
        }
        _ => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            wrong(&files.key, format!("is not the key of the certificate in {}", files.cert.display()))
        }
        other => wrong(&files.cert, other.to_string()),
    })?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    // A resumed session would skip the look at the caller's certificate; streams are long, so nothing is won.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok((config, leaf.not_after))
}

fn client_verifier(
    roots: RootCertStore,
    tokens: bool,
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = if tokens { builder.allow_unauthenticated() } else { builder };
    builder.build().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
