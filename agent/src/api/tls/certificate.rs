//! What a certificate says about whose it is. rustls has verified it before anybody acts on that.

use std::time::SystemTime;

use rustls_pki_types::CertificateDer;
use x509_cert::{
    der::{Decode as _, asn1::ObjectIdentifier},
    ext::pkix::{
        SubjectAltName,
        name::{DirectoryString, GeneralName},
    },
    name::Name,
};

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");

/// Whose a certificate is, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The subject as RFC 4514 writes it.
    pub subject: String,
    /// CN: the user, as for the API server.
    pub common_name: Option<String>,
    /// O: the groups.
    pub organizations: Vec<String>,
    /// DNS names, URIs and mail addresses.
    pub alternative_names: Vec<String>,
    /// Not valid before.
    pub not_before: SystemTime,
    /// Not valid after.
    pub not_after: SystemTime,
}

impl Certificate {
    /// Reads it.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, String> {
        let parsed = x509_cert::Certificate::from_der(certificate)
            .map_err(|error| format!("holds a certificate that cannot be read: {error}"))?;
        let certificate = parsed.tbs_certificate();
        let names = certificate
            .get_extension::<SubjectAltName>()
            .map_err(|error| format!("holds a certificate with unreadable alternative names: {error}"))?;
        let names = names.map(|(_, names)| names.0).unwrap_or_default();
        let validity = certificate.validity();
        Ok(Self {
            subject: certificate.subject().to_string(),
            common_name: attributes(certificate.subject(), COMMON_NAME).next(),
            organizations: attributes(certificate.subject(), ORGANIZATION).collect(),
            alternative_names: names.iter().filter_map(alternative).collect(),
            not_before: validity.not_before.to_system_time(),
            not_after: validity.not_after.to_system_time(),
        })
    }

    /// How the caller is called: CN, else its first alternative name, else the whole subject.
    pub fn user(&self) -> &str {
        self.common_name
            .as_deref()
            .or(self.alternative_names.first().map(String::as_str))
            .unwrap_or(&self.subject)
    }

    /// Whether it is valid now; else why not.
    pub(super) fn check_time(&self, now: SystemTime) -> Result<(), String> {
        if now > self.not_after {
            return Err(format!("its certificate expired at {}", written(self.not_after)));
        }
        if now < self.not_before {
            return Err(format!("its certificate is not valid before {}", written(self.not_before)));
        }
        Ok(())
    }
}

fn written(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time)
        .map_or_else(|_| "a time that has no name".to_owned(), |time| time.to_string())
}

fn attributes(name: &Name, kind: ObjectIdentifier) -> impl Iterator<Item = String> {
    let values = name.iter().filter(move |attribute| attribute.oid == kind);
    values.filter_map(|attribute| DirectoryString::try_from(&attribute.value).ok()).map(String::from)
}

fn alternative(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(text)
        | GeneralName::UniformResourceIdentifier(text)
        | GeneralName::Rfc822Name(text) => Some(text.to_string()),
        _ => None,
    }
}
