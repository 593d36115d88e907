//! The chart writes the agent's configuration: every rendering of it (charts/sockeye/tests/golden, which `cargo xtask
//! chart` compares with helm's) is read by the agent's own parser, and the chart's defaults are the agent's.

#![expect(clippy::unwrap_used, reason = "a test of its own, whose helpers are no tests by name")]

use std::{collections::BTreeSet, fs, path::PathBuf};

use agent::api::config::{Config, Endpoint, Given, settings::SETTINGS};
use serde_json::Value;

/// Settings that the chart makes from other values.
const OF_THE_CHART: [&str; 11] = [
    "node-name",
    "kubernetes",
    "kubeconfig",
    "listen",
    "admin-listen",
    "tls-cert-file",
    "tls-key-file",
    "tls-client-ca-file",
    "token-auth",
    "token-audience",
    "authorize",
];

fn chart() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../charts/sockeye")
}

/// Names and configurations in the golden renderings.
fn renderings() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(chart().join("tests/golden")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        let configs = objects.iter().filter_map(|object| object.pointer("/data/agent.yaml")?.as_str());
        let configs: Vec<&str> = configs.collect();
        assert_eq!(configs.len(), 1, "{}", path.display());
        found.push((path.file_stem().unwrap().to_str().unwrap().to_owned(), configs[0].to_owned()));
    }
    assert!(found.len() >= 5, "{}", found.len());
    found
}

fn load(name: &str, text: &str) -> Config {
    let path = std::env::temp_dir().join(format!("sockeye-chart-{}-{name}.yaml", std::process::id()));
    fs::write(&path, text).unwrap();
    let flags = Given(vec![("config".to_owned(), vec![path.to_str().unwrap().to_owned()])]);
    let pod = [("KUBERNETES_SERVICE_HOST", "10.96.0.1"), ("SOCKEYE_NODE_NAME", "node1")];
    let pod = pod.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let config = Config::load(&flags, &pod);
    let _ = fs::remove_file(&path);
    config.unwrap_or_else(|error| panic!("{name}: {error}\n{text}"))
}

#[test]
fn the_agent_takes_every_configuration_that_the_chart_writes() {
    for (name, text) in renderings() {
        let config = load(&name, &text);
        let listen = config.listen.unwrap();
        let network = listen.iter().any(Endpoint::on_network);
        assert!(listen.contains(&Endpoint::Unix("/run/sockeye/agent.sock".into())), "{name}: {listen:?}");
        assert!(!network || config.tls.is_some(), "{name}: on the network without TLS");
        assert_eq!(
            network,
            name.contains("tls") || ["token", "host-network"].contains(&name.as_str()),
            "{name}"
        );
        assert!(config.admin.is_some(), "{name}: no probes could be answered");
        // Without a token there is no API server to ask.
        assert_eq!(config.kubernetes.is_some(), name != "bare", "{name}");
    }
}

#[test]
fn big_numbers_of_the_chart_stay_whole() {
    let (_, text) = renderings().into_iter().find(|(name, _)| name == "all").unwrap();
    let config = load("all-numbers", &text);
    assert_eq!((config.buffer_bytes, config.queue_events), (16 << 20, 1 << 20));
    assert_eq!((config.history_bytes, config.cluster_name.as_deref()), (0, Some("7")));
}

#[test]
fn the_chart_has_every_setting_with_the_agents_default() {
    let values: Value =
        serde_saphyr::from_str(&fs::read_to_string(chart().join("values.yaml")).unwrap()).unwrap();
    let config = values["config"].as_object().unwrap();
    let known: BTreeSet<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
    for setting in SETTINGS {
        let Some(value) = config.get(setting.name) else {
            assert!(OF_THE_CHART.contains(&setting.name), "the chart lacks {}", setting.name);
            continue;
        };
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        assert_eq!(text, setting.default.unwrap_or_default(), "{}", setting.name);
        assert!(!OF_THE_CHART.contains(&setting.name), "{} is the chart's own", setting.name);
    }
    for name in config.keys() {
        assert!(known.contains(name.as_str()), "the agent has no {name}");
    }
}
