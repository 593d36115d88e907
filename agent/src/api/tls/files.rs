//! The files of TLS: what is in them, and whether they changed.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _};

use super::{Certificate, TlsError};
use crate::api::config::TlsFiles;

/// What the files hold.
pub(super) struct Material {
    /// Never empty.
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) client_ca: Option<RootCertStore>,
}

pub(super) fn read(files: &TlsFiles) -> Result<Material, TlsError> {
    let chain = certificates(&files.cert)?;
    let key = key(&files.key)?;
    let client_ca = files.client_ca.as_deref().map(roots).transpose()?;
    Ok(Material { chain, key, client_ca })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = bytes(path)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(path, pem_problem(&error)))?;
    if chain.is_empty() {
        return Err(wrong(path, "has no certificate in PEM (-----BEGIN CERTIFICATE-----)".to_owned()));
    }
    Ok(chain)
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = bytes(path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        pem::Error::NoItemsFound if text.windows(9).any(|part| part == b"ENCRYPTED") => {
            wrong(path, "its key is encrypted; give one without a passphrase".to_owned())
        }
        pem::Error::NoItemsFound => {
            wrong(path, "has no private key in PEM (PKCS#8, PKCS#1 or SEC1)".to_owned())
        }
        other => wrong(path, pem_problem(&other)),
    })
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for (index, certificate) in certificates(path)?.into_iter().enumerate() {
        let fine = Certificate::of(&certificate)
            .and_then(|_| roots.add(certificate).map_err(|error| error.to_string()));
        fine.map_err(|problem| wrong(path, format!("certificate {}: {problem}", index + 1)))?;
    }
    Ok(roots)
}

fn bytes(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|error| {
        let text = error.to_string();
        wrong(path, text.split(" (os error").next().unwrap_or(&text).to_ascii_lowercase())
    })
}

fn wrong(path: &Path, problem: String) -> TlsError {
    TlsError { path: path.to_owned(), problem }
}

fn pem_problem(error: &pem::Error) -> String {
    format!("is not PEM: {error}")
}

/// What changes when a file does: also when a symlink on its way points elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature(Vec<Option<FileSignature>>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct FileSignature {
    /// Device, inode and size.
    file: [u64; 3],
    /// Of its content and of the file itself, in seconds and nanoseconds.
    times: [i64; 4],
}

impl Signature {
    /// Of these files now.
    pub(super) fn of(files: &TlsFiles) -> Self {
        let one = |path: &PathBuf| {
            let file = fs::metadata(path).ok()?;
            Some(FileSignature {
                file: [file.dev(), file.ino(), file.size()],
                times: [file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()],
            })
        };
        Self(
            [Some(&files.cert), Some(&files.key), files.client_ca.as_ref()]
                .into_iter()
                .flatten()
                .map(one)
                .collect(),
        )
    }
}
