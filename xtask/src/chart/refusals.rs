//! Values that must not be taken: each with a sentence that says which they are and what would be right.

use anyhow::{Result, bail};

use super::helm::Helm;

/// TLS on the pods' addresses, as most cases need it.
const TLS: &str = "tls.enabled=true,api.podNetwork.enabled=true";

/// What is set, and what helm must say about it.
const CASES: &[(&[&str], &str)] = &[
    // Nobody knows them.
    (&["image.tga=1"], "at '/image': additional properties 'tga' not allowed"),
    (&["podNetwork=true"], "additional properties 'podNetwork' not allowed"),
    (&["config.log-levle=debug"], "at '/config': additional properties 'log-levle' not allowed"),
    (&["networkPolicy.metricsFrom={a}"], "additional properties 'metricsFrom' not allowed"),
    // Nobody can mean them.
    (&["api.port=70000"], "at '/api/port': maximum: got 70,000, want 65,535"),
    (
        &["config.log-level=loud"],
        "at '/config/log-level': value must be one of 'error', 'warn', 'info', 'debug'",
    ),
    (&["config.stop-timeout=soon"], "at '/config/stop-timeout': 'soon' does not match pattern"),
    (&["config.buffer-size=big"], "at '/config/buffer-size'"),
    (&["image.digest=latest"], "at '/image/digest': 'latest' does not match pattern"),
    (&["image.pullPolicy=Sometimes"], "at '/image/pullPolicy': value must be one of"),
    (&["listenAddress=localhost"], "at '/listenAddress': 'localhost' does not match pattern"),
    (&["tls.auto.method=cronJob"], "at '/tls/auto/method': value must be one of 'helm', 'certmanager'"),
    (&["auth.authorize=nobody"], "at '/auth/authorize': value must be one of 'tokens', 'all'"),
    (&["extraCapabilities={sys_admin}"], "at '/extraCapabilities/0': 'sys_admin' does not match pattern"),
    (&["podMonitor.interval=often"], "at '/podMonitor/interval': 'often' does not match pattern"),
    // The network sees what it must not.
    (&["api.podNetwork.enabled=true"], "api.podNetwork.enabled needs tls.enabled: without TLS everybody"),
    (
        &[TLS, "tls.requireClientCert=false"],
        "needs callers that prove who they are: set tls.requireClientCert or auth.token.enabled",
    ),
    (&["hostNetwork=true"], "hostNetwork leaves the API on its unix socket alone"),
    // They have no effect, though whoever sets them expects one.
    (&["tls.enabled=true"], "tls.enabled has no effect without api.podNetwork.enabled"),
    (&["auth.token.enabled=true"], "auth.token.enabled has no effect without api.podNetwork.enabled"),
    (&["auth.authorize=all"], "auth.authorize: all has no effect without api.podNetwork.enabled"),
    (
        &[TLS, "hostNetwork=true", "networkPolicy.enabled=true"],
        "networkPolicy.enabled has no effect with hostNetwork",
    ),
    (
        &[TLS, "tls.auto.certManagerIssuerRef.name=ca"],
        "tls.auto.certManagerIssuerRef.name has no effect with tls.auto.method: helm",
    ),
    (
        &[TLS, "tls.server.existingSecret=s", "tls.server.extraDnsNames={a.b}"],
        "tls.server.extraDnsNames and extraIpAddresses have no effect with tls.server.existingSecret",
    ),
    (
        &["securityContext.capabilities.add={BPF}", "extraCapabilities={SYS_RESOURCE}"],
        "securityContext.capabilities replaces the agent's capabilities, so extraCapabilities has no effect",
    ),
    // Something is missing.
    (&[TLS, "tls.auto.enabled=false"], "tls.enabled needs a certificate: set tls.server.existingSecret"),
    (&[TLS, "tls.auto.method=certmanager"], "certmanager needs tls.auto.certManagerIssuerRef.name"),
    (
        &[TLS, "auth.token.enabled=true", "serviceAccount.automount=false"],
        "auth.token.enabled needs serviceAccount.automount",
    ),
    (
        &["serviceAccount.create=false"],
        "would give the agent's rights to the namespace's default ServiceAccount; set serviceAccount.name",
    ),
    // Only one of two is possible.
    (
        &[TLS, "tls.server.existingSecret=s", "tls.auto.method=certmanager"],
        "tls.server.existingSecret and tls.auto.method: certmanager exclude each other",
    ),
    (&["api.port=4251"], "api.port and admin.port are the same"),
    (&[TLS, "api.podNetwork.port=4250"], "api.podNetwork.port and api.port are the same"),
    (&[TLS, "api.podNetwork.port=4251"], "api.podNetwork.port and admin.port are the same"),
    (
        &["podMonitor.enabled=true", "serviceMonitor.enabled=true"],
        "podMonitor.enabled and serviceMonitor.enabled exclude each other: every agent would be scraped twice",
    ),
    (
        &["podMonitor.enabled=true", "prometheusScrapeAnnotations.enabled=true"],
        "exclude each other: every agent would be scraped twice",
    ),
    // Kubernetes or the kernel would refuse them later.
    (
        &["securityContext.privileged=true"],
        "securityContext.privileged needs securityContext.allowPrivilegeEscalation",
    ),
    (&["securityContext.runAsUser=1000"], "a container gets its capabilities as root only"),
    (&["securityContext.runAsNonRoot=true"], "a container gets its capabilities as root only"),
    (
        &["commonLabels.app\\.kubernetes\\.io/name=x"],
        "commonLabels cannot set app.kubernetes.io/name: the chart sets it",
    ),
    (
        &["podLabels.app\\.kubernetes\\.io/component=x"],
        "podLabels cannot set app.kubernetes.io/component: the chart sets it",
    ),
    (
        &["prometheusRule.enabled=true,prometheusRule.disabled={Nothing}"],
        "prometheusRule.disabled: no alert Nothing",
    ),
];

/// Runs helm with each.
pub fn check(helm: &Helm) -> Result<()> {
    let mut wrong = Vec::new();
    for (sets, sentence) in CASES {
        let given = sets.join(" ");
        match helm.refusal(sets)? {
            None => wrong.push(format!("{given} is taken")),
            Some(text) if !text.contains(sentence) => {
                let said = text.split_whitespace().collect::<Vec<_>>().join(" ");
                wrong.push(format!("{given} is refused without \"{sentence}\": {said}"));
            }
            Some(_) => {}
        }
    }
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::CASES;
    use crate::chart::folder;
    use std::fs;

    /// A sentence that nobody provokes may be wrong.
    #[test]
    fn every_contradiction_of_the_chart_has_a_case() {
        let text = fs::read_to_string(folder().join("templates/_validate.tpl")).unwrap();
        let sentences: Vec<&str> = text
            .lines()
            .filter_map(|line| line.split_once("fail \"")?.1.split_once('"').map(|(sentence, _)| sentence))
            .collect();
        assert!(sentences.len() > 20, "{}", sentences.len());
        for sentence in sentences {
            let provoked = CASES.iter().any(|(_, expected)| sentence.contains(expected));
            assert!(provoked, "no case for: {sentence}");
        }
    }
}
