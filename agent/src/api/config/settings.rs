//! THE table of settings: one name each, the same as flag (`--node-name`), as variable (`SOCKEYE_NODE_NAME`) and as
//! key of the file (`node-name:`). Flags, help and docs/agent.md come from it or are compared with it.

/// A setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    /// What its value is, as help shows it.
    pub value: &'static str,
    /// Its value where none is given.
    pub default: Option<&'static str>,
    /// It takes several values.
    pub list: bool,
    /// The heading that it stands under.
    pub group: &'static str,
    /// What it does, in one line.
    pub help: &'static str,
}

impl Setting {
    /// The variable.
    pub fn variable(&self) -> String {
        format!("{PREFIX}{}", self.name.to_ascii_uppercase().replace('-', "_"))
    }
}

/// What every variable begins with.
pub const PREFIX: &str = "SOCKEYE_";

/// The name of the file's own flag and variable.
pub const FILE: &str = "config";

const fn one(
    group: &'static str,
    name: &'static str,
    value: &'static str,
    default: Option<&'static str>,
    help: &'static str,
) -> Setting {
    Setting { name, value, default, list: false, group, help }
}

const fn list(
    group: &'static str,
    name: &'static str,
    value: &'static str,
    default: &'static str,
    help: &'static str,
) -> Setting {
    Setting { name, value, default: Some(default), list: true, group, help }
}

const NODE: &str = "Node";
const SERVE: &str = "Serving";
const LIMITS: &str = "Limits";
const EVENTS: &str = "Events";
const LOG: &str = "Log";

/// All settings.
pub const SETTINGS: &[Setting] = &[
    one(NODE, "node-name", "NAME", None, "This node, as Kubernetes names it"),
    one(NODE, "cluster-name", "NAME", None, "The cluster's name, told with each identity"),
    one(NODE, "kubernetes", "WHEN", Some("auto"), "Name pods by the API server: on, off, or auto (in a pod)"),
    one(NODE, "kubeconfig", "FILE", None, "How to reach the API server from outside of a pod"),
    list(
        SERVE,
        "listen",
        "ADDRESS",
        "auto",
        "Serve gRPC at unix:PATH or HOST:PORT; auto = unix:/run/sockeye/agent.sock, and 127.0.0.1:4250 in a network \
         namespace of its own",
    ),
    one(
        SERVE,
        "admin-listen",
        "ADDRESS",
        Some("127.0.0.1:4251"),
        "Serve /healthz, /readyz and /metrics at HOST:PORT, or off",
    ),
    one(SERVE, "tls-cert-file", "FILE", None, "Certificate for addresses on the network, PEM"),
    one(SERVE, "tls-key-file", "FILE", None, "Its key, PEM"),
    one(SERVE, "tls-client-ca-file", "FILE", None, "CAs whose clients are let in (mutual TLS), PEM"),
    one(
        SERVE,
        "tls-reload-interval",
        "DURATION",
        Some("5s"),
        "How often these files are looked at for changes",
    ),
    one(
        SERVE,
        "token-auth",
        "BOOL",
        Some("false"),
        "Let clients in by a bearer token, which the API server reviews",
    ),
    list(SERVE, "token-audience", "AUDIENCE", "sockeye", "The audiences that a token must be for"),
    one(
        SERVE,
        "authorize",
        "WHOM",
        Some("tokens"),
        "Show only namespaces whose pods the caller may get: tokens (callers by token), or all (by certificate, too)",
    ),
    one(LIMITS, "max-connections", "N", Some("256"), "Connections at once"),
    one(
        LIMITS,
        "max-connections-per-address",
        "N",
        Some("32"),
        "Connections at once from one address of the network",
    ),
    one(LIMITS, "max-streams-per-connection", "N", Some("32"), "Calls at once on one connection"),
    one(LIMITS, "max-message-size", "SIZE", Some("1MiB"), "Size of a request"),
    one(LIMITS, "max-header-size", "SIZE", Some("16KiB"), "Size of a request's headers"),
    one(LIMITS, "max-handshakes", "N", Some("32"), "TLS handshakes at once"),
    one(LIMITS, "handshake-timeout", "DURATION", Some("10s"), "How long a TLS handshake may take"),
    one(LIMITS, "first-call-timeout", "DURATION", Some("15s"), "How long a connection may go without a call"),
    one(
        LIMITS,
        "keepalive-interval",
        "DURATION",
        Some("30s"),
        "How often a silent client is asked whether it lives",
    ),
    one(LIMITS, "keepalive-timeout", "DURATION", Some("20s"), "How long it may take to answer"),
    one(
        LIMITS,
        "stop-timeout",
        "DURATION",
        Some("10s"),
        "How long streams may take to end when the agent stops",
    ),
    one(EVENTS, "buffer-size", "SIZE", Some("4MiB"), "Size of the ring between kernel and agent"),
    one(EVENTS, "history-size", "SIZE", Some("4MiB"), "Memory for past events (--since, --last), or off"),
    one(
        EVENTS,
        "queue-size",
        "N",
        Some("8192"),
        "Events that wait for a subscriber before it loses its oldest",
    ),
    one(
        EVENTS,
        "metadata-wait",
        "DURATION",
        Some("500ms"),
        "How long an event waits for the name of its pod",
    ),
    one(EVENTS, "deleted-pod-memory", "DURATION", Some("60s"), "How long a deleted pod is known"),
    one(
        EVENTS,
        "detach-delay",
        "DURATION",
        Some("5s"),
        "How long programs stay attached after the last subscriber",
    ),
    one(LOG, "log-level", "LEVEL", Some("info"), "How much is logged: error, warn, info or debug"),
    one(LOG, "log-format", "FORMAT", Some("text"), "How it is logged: text or json"),
];

/// The setting of that name.
pub fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

/// `; did you mean ..?` for a name that is none.
pub fn nearest(name: &str) -> String {
    // As likely as clap takes it for a flag.
    const LIKE: f64 = 0.7;
    let likeness = |setting: &Setting| strsim::jaro(name, setting.name);
    SETTINGS
        .iter()
        .map(|setting| (likeness(setting), setting.name))
        .filter(|(likeness, _)| *likeness > LIKE)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, name)| format!("; did you mean {name}?"))
        .unwrap_or_default()
}
