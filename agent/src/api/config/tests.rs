//! Where settings come from, and what is refused.

use std::{fs, path::PathBuf, time::Duration};

use super::{Authorize, Config, Endpoint, Given, Kubernetes, settings};

/// A file of this test's own, gone with the value.
struct File(PathBuf);

impl File {
    fn new(text: &str) -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("sockeye-config-{}-{}.yaml", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::write(&path, text).unwrap();
        Self(path)
    }

    fn path(&self) -> String {
        self.0.to_str().unwrap().to_owned()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

fn flags(given: &[(&str, &str)]) -> Given {
    Given(given.iter().map(|(name, text)| ((*name).to_owned(), vec![(*text).to_owned()])).collect())
}

fn load(given: &[(&str, &str)], environment: &[(&str, &str)]) -> Result<Config, String> {
    Config::load(&flags(given), &pairs(environment)).map_err(|error| error.to_string())
}

fn refused(given: &[(&str, &str)]) -> String {
    let line = load(given, &[]).expect_err("it is wrong");
    assert!(!line.contains('\n'), "one line: {line}");
    line
}

fn from_file(text: &str) -> Result<Config, String> {
    let file = File::new(text);
    load(&[("config", &file.path())], &[]).map_err(|line| {
        assert!(!line.contains('\n'), "one line: {line}");
        line.replace(&file.path(), "agent.yaml")
    })
}

#[test]
fn without_any_word_everything_has_its_default() {
    let config = load(&[], &[]).unwrap();
    assert_eq!(config.node_name, None);
    assert_eq!(config.kubernetes, None);
    assert_eq!(config.listen, None);
    assert_eq!(config.admin, Some("127.0.0.1:4251".parse().unwrap()));
    assert_eq!(config.authorize, Authorize::Tokens);
    assert_eq!(config.limits.handshake_time, Duration::from_secs(10));
    assert_eq!(config.buffer_bytes, 4 << 20);
    assert_eq!(config.history_bytes, 4 << 20);
}

#[test]
fn a_flag_goes_before_a_variable_and_a_variable_before_the_file() {
    let file = File::new("buffer-size: 8MiB\nhistory-size: off\nlog-level: debug\n");
    let path = file.path();
    let environment = [("SOCKEYE_CONFIG", path.as_str()), ("SOCKEYE_BUFFER_SIZE", "16MiB")];
    let config = load(&[], &environment).unwrap();
    assert_eq!((config.buffer_bytes, config.history_bytes), (16 << 20, 0));
    let config = load(&[("buffer-size", "32MiB")], &environment).unwrap();
    assert_eq!(config.buffer_bytes, 32 << 20);
}

#[test]
fn a_file_may_say_it_as_yaml_does() {
    let config = from_file(
        "# what the chart writes\nlisten:\n  - unix:/run/sockeye/agent.sock\n  - 127.0.0.1:4250\nqueue-size: 1000\n\
         token-auth: false\nadmin-listen: \":9000\"\nnode-name:\n",
    )
    .unwrap();
    assert_eq!(
        config.listen,
        Some(vec![
            Endpoint::Unix("/run/sockeye/agent.sock".into()),
            Endpoint::Tcp("127.0.0.1:4250".parse().unwrap())
        ])
    );
    assert_eq!(config.queue_events, 1000);
    assert_eq!(config.admin, Some("[::]:9000".parse().unwrap()));
    assert_eq!(config.node_name, None);
    assert!(from_file("").is_ok());
    assert!(from_file("---\n# nothing\n").is_ok());
}

#[test]
fn an_unknown_name_is_refused_with_the_nearest() {
    assert_eq!(
        from_file("listen: auto\nnode_name: n1\n").unwrap_err(),
        "agent.yaml:2: no setting \"node_name\"; did you mean node-name?"
    );
    assert_eq!(from_file("zzz: 1\n").unwrap_err(), "agent.yaml:1: no setting \"zzz\"");
    assert_eq!(
        load(&[], &[("SOCKEYE_NODENAME", "n1")]).unwrap_err(),
        "the environment: no setting \"SOCKEYE_NODENAME\"; did you mean SOCKEYE_NODE_NAME?"
    );
}

#[test]
fn variables_that_kubernetes_sets_for_a_service_called_sockeye_are_none_of_ours() {
    let environment = [
        ("SOCKEYE_SERVICE_HOST", "10.0.0.1"),
        ("SOCKEYE_PORT", "tcp://10.0.0.1:4250"),
        ("SOCKEYE_PORT_4250_TCP_ADDR", "10.0.0.1"),
        ("SOCKEYE_COLLECTOR_SERVICE_PORT_GRPC", "4250"),
        ("SOCKEYE_COLLECTOR_PORT", "tcp://10.0.0.2:4250"),
    ];
    load(&[], &environment).unwrap();
}

#[test]
fn a_file_that_is_none_is_one_line_with_its_name() {
    assert_eq!(
        refused(&[("config", "/nonexistent/a.yaml")]),
        "/nonexistent/a.yaml: no such file or directory"
    );
    let line = from_file("listen: [unix:/a\n").unwrap_err();
    assert!(line.starts_with("agent.yaml: not a list of settings in YAML: "), "{line}");
    let line = from_file("- listen\n").unwrap_err();
    assert!(line.starts_with("agent.yaml: not a list of settings in YAML: "), "{line}");
    let line = from_file("log-level: info\nlog-level: debug\n").unwrap_err();
    assert!(line.contains("log-level") && line.contains("2"), "{line}");
    assert_eq!(from_file("log-level: [info]\n").unwrap_err(), "agent.yaml:1: log-level: takes one value");
    assert_eq!(from_file("listen: {a: b}\n").unwrap_err(), "agent.yaml:1: listen: takes a list of values");
}

#[test]
fn a_bad_value_says_where_it_stands_and_what_would_be_right() {
    assert_eq!(
        refused(&[("listen", "1.2.3.4")]),
        "--listen: \"1.2.3.4\" is no address; write 127.0.0.1:4250, [::1]:4250 or unix:PATH"
    );
    assert_eq!(
        refused(&[("listen", "node:4250")]),
        "--listen: \"node:4250\": names are not looked up here; write the address, as in 127.0.0.1:4250"
    );
    assert_eq!(
        refused(&[("listen", "unix:agent.sock")]),
        "--listen: \"unix:agent.sock\" needs an absolute path: unix:/run/sockeye/agent.sock"
    );
    assert_eq!(
        refused(&[("listen", "127.0.0.1:70000")]),
        "--listen: \"127.0.0.1:70000\": ports are 0 to 65535"
    );
    assert_eq!(
        load(&[], &[("SOCKEYE_STOP_TIMEOUT", "soon")]).unwrap_err(),
        "SOCKEYE_STOP_TIMEOUT: \"soon\" is not a duration; write it as 500ms, 10s, 5m or 1h30m"
    );
    assert_eq!(
        from_file("a: 1\n".replace("a: 1", "max-connections: 0").as_str()).unwrap_err(),
        "agent.yaml:1: max-connections: \"0\" is not a number from 1 to 100000"
    );
    assert_eq!(
        refused(&[("node-name", "Node_1")]),
        "--node-name: \"Node_1\" is no node's name: lower-case letters, digits, - and ., at most 253, as `kubectl \
         get nodes` shows it"
    );
    assert_eq!(
        refused(&[("max-message-size", "1TiB")]),
        "--max-message-size: \"1TiB\" is not a size; write it as 65536, 512KiB or 4MiB"
    );
    assert_eq!(
        refused(&[("max-message-size", "1GiB")]),
        "--max-message-size: 1GiB is out of bounds: 1KiB to 64MiB"
    );
    assert_eq!(refused(&[("token-auth", "maybe")]), "--token-auth: \"maybe\" is neither true nor false");
    assert_eq!(refused(&[("kubernetes", "maybe")]), "--kubernetes: no \"maybe\"; there are auto, on, off");
    assert_eq!(
        refused(&[("log-level", "a\nb")]),
        "--log-level: no \"a\\nb\"; there are error, warn, info, debug"
    );
    assert_eq!(
        refused(&[("kubeconfig", "/nonexistent")]),
        "--kubeconfig: /nonexistent: no such file or directory"
    );
}

#[test]
fn an_address_on_the_network_needs_tls_and_a_way_to_tell_callers_apart() {
    let line = refused(&[("listen", "0.0.0.0:4250")]);
    assert!(
        line.starts_with("listen: 0.0.0.0:4250 can be reached from the network, which needs tls-"),
        "{line}"
    );
    let line = refused(&[("listen", "[::ffff:127.0.0.1]:4250")]);
    assert!(line.contains("can be reached from the network"), "{line}");
    let tls = [("listen", "0.0.0.0:4250"), ("tls-cert-file", "/c"), ("tls-key-file", "/k")];
    assert_eq!(
        refused(&tls),
        "tls-cert-file alone tells no callers apart; give tls-client-ca-file for mutual TLS, or token-auth"
    );
    let mutual = [tls.as_slice(), &[("tls-client-ca-file", "/ca")]].concat();
    let config = load(&mutual, &[]).unwrap();
    assert_eq!(config.tls.unwrap().client_ca, Some("/ca".into()));
    let token = [tls.as_slice(), &[("token-auth", "true")]].concat();
    assert_eq!(
        refused(&token),
        "token-auth needs the API server, which reviews tokens: it excludes kubernetes: off"
    );
    let pod = [("KUBERNETES_SERVICE_HOST", "10.0.0.1"), ("SOCKEYE_NODE_NAME", "n1")];
    assert_eq!(load(&token, &pod).unwrap().token_audiences, Some(vec!["sockeye".to_owned()]));
}

#[test]
fn what_does_not_go_together_is_said_in_one_sentence() {
    assert_eq!(refused(&[("tls-cert-file", "/c")]), "tls-cert-file needs tls-key-file");
    assert_eq!(refused(&[("tls-key-file", "/c")]), "tls-key-file needs tls-cert-file");
    assert_eq!(
        refused(&[("tls-client-ca-file", "/c")]),
        "tls-client-ca-file needs tls-cert-file and tls-key-file"
    );
    let line = refused(&[("tls-cert-file", "/c"), ("tls-key-file", "/k")]);
    assert!(line.starts_with("tls-cert-file has no effect"), "{line}");
    let line = refused(&[("token-auth", "true")]);
    assert!(line.starts_with("token-auth has no effect"), "{line}");
    assert_eq!(refused(&[("listen", "127.0.0.1:1,127.0.0.1:1")]), "listen names 127.0.0.1:1 twice");
    assert_eq!(
        refused(&[("listen", "127.0.0.1:4251")]),
        "listen and admin-listen name the same address; give the admin port one of its own"
    );
    assert_eq!(
        refused(&[("kubernetes", "off"), ("kubeconfig", "/dev/null")]),
        "kubernetes: off and kubeconfig exclude each other"
    );
    assert_eq!(refused(&[("kubernetes", "on")]), "kubernetes: on outside of a pod needs a kubeconfig");
    let line = refused(&[("kubeconfig", "/dev/null")]);
    assert!(line.starts_with("node-name is missing"), "{line}");
}

#[test]
fn in_a_pod_pods_are_watched_unless_that_is_off() {
    let pod = [("KUBERNETES_SERVICE_HOST", "10.0.0.1"), ("SOCKEYE_NODE_NAME", "n1")];
    assert_eq!(load(&[], &pod).unwrap().kubernetes, Some(Kubernetes::InCluster));
    assert_eq!(load(&[("kubernetes", "off")], &pod).unwrap().kubernetes, None);
    let config = load(&[("kubeconfig", "/dev/null")], &pod).unwrap();
    assert_eq!(config.kubernetes, Some(Kubernetes::Kubeconfig("/dev/null".into())));
}

#[test]
fn every_default_is_a_value_that_its_setting_takes() {
    // `load` parses each; a setting that nobody reads would be a name without meaning.
    let source = [include_str!("../config.rs")].concat();
    load(&[], &[]).unwrap();
    for setting in settings::SETTINGS {
        assert!(source.contains(&format!("\"{}\"", setting.name)), "nobody reads {}", setting.name);
        let given = [(setting.name, setting.default.unwrap_or("/"))];
        match load(&given, &[]) {
            Ok(_) => assert!(setting.default.is_some() || setting.name == "cluster-name", "{}", setting.name),
            Err(line) => assert!(setting.default.is_none(), "{}: {line}", setting.name),
        }
    }
}

#[test]
fn the_page_of_settings_has_each_with_its_default() {
    let page = include_str!("../../../../docs/agent.md");
    for setting in settings::SETTINGS {
        let row = format!(
            "| `{}` | {} | {} |",
            setting.name,
            setting.default.map_or_else(String::new, |text| format!("`{text}`")),
            setting.help
        );
        assert!(page.contains(&row), "docs/agent.md lacks\n{row}");
    }
}
