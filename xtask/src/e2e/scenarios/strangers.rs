//! Who reaches the API on the pod's network and may not use it, sees nothing.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};

use super::{
    Bed, Namespace,
    release::RELEASE,
    stream::{Stream, pod},
};
use crate::{process, workspace};

/// Where the chart has the API on the pod's network.
const PORT: u16 = 4252;
const STATUS: &str = "sockeye.v1.ObserverService/GetServerStatus";
const OBSERVE: &str = "sockeye.v1.ObserverService/Observe";

const BY_CERTIFICATE: &str = "api: {podNetwork: {enabled: true}}\ntls: {enabled: true}\n";
const BY_TOKEN: &str = "api: {podNetwork: {enabled: true}}\ntls: {enabled: true, requireClientCert: false}\n\
                        auth: {token: {enabled: true}}\n";

/// Mutual TLS: the certificate of the release's CA and no other.
pub fn certificates(bed: &Bed<'_>, _: &Namespace) -> Result<()> {
    let files = Files::new()?;
    bed.release.with(BY_CERTIFICATE)?;
    let address = format!("{}:{PORT}", bed.release.address()?);
    let ca = files.of_secret(bed, "sockeye-client-tls", "ca.crt")?;
    let certificate = files.of_secret(bed, "sockeye-client-tls", "tls.crt")?;
    let key = files.of_secret(bed, "sockeye-client-tls", "tls.key")?;
    let call = |options: &[&str]| call(bed, options, &address, STATUS, &json!({}));
    let name = ["-servername", "sockeye.sockeye.svc"];
    let told = call(&[&["-cacert", &ca, "-cert", &certificate, "-key", &key], &name[..]].concat())?;
    ensure!(told.contains("nodeName"), "with the right certificate: {told}");

    // One that says it is the same client, by another CA.
    let own = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, "sockeye-client");
    let wrong = files.save("wrong.crt", params.self_signed(&own)?.pem().as_bytes())?;
    let wrong_key = files.save("wrong.key", own.serialize_pem().as_bytes())?;
    for (who, options) in [
        (
            "a client with another CA's certificate",
            &["-cacert", &ca, "-cert", &wrong, "-key", &wrong_key][..],
        ),
        ("a client without a certificate", &["-cacert", &ca]),
        ("a client without TLS", &["-plaintext"]),
    ] {
        let name = if options[0] == "-plaintext" { &[][..] } else { &name };
        let Err(error) = call(&[options, name].concat()) else { bail!("{who} is let in") };
        let error = format!("{error:#}");
        println!("{who}: {}", error.lines().last().unwrap_or_default());
        ensure!(!error.contains("nodeName"), "{who}: {error}");
    }
    // And a client that was told of another CA does not take this server for the right one.
    let error = call(&[&["-cacert", &wrong, "-cert", &certificate, "-key", &key], &name[..]].concat());
    ensure!(error.is_err(), "a server with an unknown certificate is believed");
    Ok(())
}

/// Tokens: of an account that may get the pods of one namespace.
pub fn tokens(bed: &Bed<'_>, namespace: &Namespace) -> Result<()> {
    let files = Files::new()?;
    bed.release.with(BY_TOKEN)?;
    let address = format!("{}:{PORT}", bed.release.address()?);
    let ca = files.of_secret(bed, "sockeye-server-tls", "ca.crt")?;
    namespace.pair()?;
    for account in ["reader", "stranger"] {
        namespace.output(&["create", "serviceaccount", account])?;
    }
    namespace.output(&["create", "role", "reader", "--verb=get", "--resource=pods"])?;
    let account = format!("--serviceaccount={}:reader", namespace.name);
    namespace.output(&["create", "rolebinding", "reader", "--role=reader", &account])?;
    let token = |account: &str, audience: &str| {
        let token = namespace.output(&["create", "token", account, "--audience", audience])?;
        Ok::<_, anyhow::Error>(format!("authorization: Bearer {}", token.trim()))
    };
    let tls = ["-cacert", &ca, "-servername", "sockeye.sockeye.svc"];
    let request = json!({ "allow": [{ "namespaces": [namespace.name] }], "follow": true });
    for (who, header) in [
        ("nobody", String::new()),
        ("a token that is none", "authorization: Bearer nonsense".to_owned()),
        ("a token for another audience", token("reader", "https://kubernetes.default.svc.cluster.local")?),
    ] {
        let header: &[&str] = if header.is_empty() { &[] } else { &["-H", &header] };
        let options = [&tls[..], header, &["-max-time", "5"]].concat();
        refused(who, "Unauthenticated", call(bed, &options, &address, OBSERVE, &request))?;
    }

    let token = |account: &str| token(account, "sockeye");
    let mut command = Command::new(&bed.grpcurl);
    command.args(tls).args(["-H", &token("reader")?, "-d", &request.to_string(), &address, OBSERVE]);
    let reader = Stream::start(command, None)?;
    reader.wait("events for who may see them", Duration::from_secs(30), |events| {
        events.iter().any(|event| pod(event) == "client").then_some(())
    })?;
    // Whoever asks for more than it may get is told so instead of getting less than it asked for.
    for (who, account, request, named) in [
        ("a reader who asks for all", "reader", json!({ "follow": true }), "all namespaces"),
        (
            "a reader who asks for another namespace, too",
            "reader",
            json!({ "allow": [{ "namespaces": [namespace.name, "kube-system"] }], "follow": true }),
            "kube-system",
        ),
        ("an account without rights", "stranger", request, &*namespace.name),
    ] {
        let header = token(account)?;
        let options = [&tls[..], &["-H", &header, "-max-time", "5"]].concat();
        let answer = call(bed, &options, &address, OBSERVE, &request);
        let message = refused(who, "PermissionDenied", answer)?;
        ensure!(message.contains(named), "{who}: {message}");
    }
    Ok(())
}

fn call(bed: &Bed<'_>, options: &[&str], address: &str, method: &str, request: &Value) -> Result<String> {
    let mut command = Command::new(&bed.grpcurl);
    command.args(["-connect-timeout", "5"]).args(options).args(["-d", &request.to_string(), address, method]);
    process::output(&mut command)
}

/// The server's words to somebody whom it must refuse.
fn refused(who: &str, code: &str, answer: Result<String>) -> Result<String> {
    let Err(error) = answer else { bail!("{who} is let in") };
    let error = format!("{error:#}");
    ensure!(error.contains(code), "{who}: {error}");
    // grpcurl has two ways to say it. Before it stands the call, with the request's own words.
    let message = ["desc = ", "Message: "].into_iter().find_map(|mark| Some(error.rsplit_once(mark)?.1));
    let message = message.with_context(|| format!("{who}: no message in {error}"))?.trim();
    println!("{who}: {message}");
    Ok(message.to_owned())
}

/// A folder for certificates.
struct Files(PathBuf);

impl Files {
    fn new() -> Result<Self> {
        let folder = workspace::target().join("e2e-strangers");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Self(folder))
    }

    fn save(&self, name: &str, bytes: &[u8]) -> Result<String> {
        let path = self.0.join(name);
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path.display().to_string())
    }

    fn of_secret(&self, bed: &Bed<'_>, secret: &str, key: &str) -> Result<String> {
        let template = format!("go-template={{{{index .data \"{key}\" | base64decode}}}}");
        let text = bed.kubectl.output(["-n", RELEASE, "get", "secret", secret, "-o", &template])?;
        self.save(&format!("{secret}-{key}"), text.as_bytes())
    }
}
