//! The certificates of the cluster, made anew each time it comes up, and the files by which its parts find the
//! API server.

use std::{fs, net::IpAddr, path::Path};

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};

use super::cluster::{API_PORT, NODE};

/// Names of the API server inside the cluster.
const API_NAMES: [&str; 7] = [
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "localhost",
    "127.0.0.1",
    "10.96.0.1",
];

/// Who gets a certificate, as file, user, group.
const CLIENTS: [(&str, &str, Option<&str>); 6] = [
    ("admin", "admin", Some("system:masters")),
    ("kubelet", "system:node:node1", Some("system:nodes")),
    ("controllers", "system:kube-controller-manager", None),
    ("scheduler", "system:kube-scheduler", None),
    ("proxy", "system:kube-proxy", None),
    ("apiserver-kubelet", "kube-apiserver-kubelet-client", Some("system:masters")),
];

/// Writes all of it into a folder.
pub fn write(folder: &Path, node: IpAddr) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let ca = authority(folder, "ca")?;
    let front = authority(folder, "front-proxy-ca")?;
    let node = node.to_string();
    let names =
        |names: &[&str]| names.iter().copied().chain([node.as_str()]).map(str::to_owned).collect::<Vec<_>>();
    issue(folder, &ca, "apiserver", "kube-apiserver", None, names(&API_NAMES))?;
    issue(folder, &ca, "kubelet-server", NODE, None, names(&[NODE, "localhost", "127.0.0.1"]))?;
    issue(folder, &front, "front-proxy-client", "front-proxy-client", None, Vec::new())?;
    for (file, user, group) in CLIENTS {
        issue(folder, &ca, file, user, group, Vec::new())?;
        kubeconfig(folder, file)?;
    }
    // What tokens of service accounts are signed with.
    let key = KeyPair::generate()?;
    save(folder, "sa.key", &key.serialize_pem())?;
    save(folder, "sa.pub", &key.public_key_pem())
}

fn authority(folder: &Path, name: &str) -> Result<Issuer<'static, KeyPair>> {
    let mut params = CertificateParams::default();
    params.distinguished_name = subject(name, None);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let key = KeyPair::generate()?;
    save(folder, &format!("{name}.crt"), &params.self_signed(&key)?.pem())?;
    save(folder, &format!("{name}.key"), &key.serialize_pem())?;
    Ok(Issuer::new(params, key))
}

fn issue(
    folder: &Path,
    by: &Issuer<'_, KeyPair>,
    file: &str,
    user: &str,
    group: Option<&str>,
    names: Vec<String>,
) -> Result<()> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = subject(user, group);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate()?;
    save(folder, &format!("{file}.crt"), &params.signed_by(&key, by)?.pem())?;
    save(folder, &format!("{file}.key"), &key.serialize_pem())
}

/// Kubernetes reads the user from the common name and groups from organisations.
fn subject(user: &str, group: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    if let Some(group) = group {
        name.push(DnType::OrganizationName, group);
    }
    name.push(DnType::CommonName, user);
    name
}

fn kubeconfig(folder: &Path, user: &str) -> Result<()> {
    let path = folder.display();
    let text = format!(
        r#"apiVersion: v1
kind: Config
clusters: [{{name: e2e, cluster: {{server: "https://127.0.0.1:{API_PORT}", certificate-authority: "{path}/ca.crt"}}}}]
users: [{{name: {user}, user: {{client-certificate: "{path}/{user}.crt", client-key: "{path}/{user}.key"}}}}]
contexts: [{{name: e2e, context: {{cluster: e2e, user: {user}}}}}]
current-context: e2e
"#
    );
    save(folder, &format!("{user}.kubeconfig"), &text)
}

fn save(folder: &Path, name: &str, text: &str) -> Result<()> {
    let path = folder.join(name);
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}
