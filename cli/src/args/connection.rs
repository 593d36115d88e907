//! Where the client's verbs connect to: a server by address, the agent of this machine, or a cluster's agents.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::{UsageError, value};

/// The agent's socket on a node.
pub const LOCAL_SOCKET: &str = "/run/sockeye/agent.sock";
/// The API's port on the loopback of an agent's pod.
pub const API_PORT: u16 = 4250;
/// Names a server where `--server` does not.
pub const SERVER_VARIABLE: &str = "SOCKEYE_SERVER";

/// Options of all verbs that ask a server.
#[derive(Args, Clone, Debug)]
pub struct ConnectionArgs {
    /// The server: unix:///path or host:port (else $SOCKEYE_SERVER, else this machine's agent, else the cluster's)
    #[arg(long, value_name = "ADDRESS", help_heading = CONNECTION)]
    pub server: Option<String>,
    /// Connect to the cluster's agents through the API server, although there is one on this machine
    #[arg(short = 'P', long, help_heading = CONNECTION)]
    pub port_forward: bool,
    /// The port that the agents' API has on their pods' loopback (the chart's api.port)
    #[arg(long, value_name = "PORT", default_value_t = API_PORT, value_parser = value::one_port)]
    #[arg(allow_hyphen_values = true, help_heading = CONNECTION)]
    pub port_forward_port: u16,
    /// The context of the kubeconfig
    #[arg(long, value_name = "NAME", help_heading = CONNECTION)]
    pub context: Option<String>,
    /// The kubeconfig (else $KUBECONFIG, else ~/.kube/config)
    #[arg(long, value_name = "PATH", help_heading = CONNECTION)]
    pub kubeconfig: Option<PathBuf>,
    /// The namespace that Sockeye is installed in (else wherever its pods are)
    #[arg(long, value_name = "NAMESPACE", help_heading = CONNECTION)]
    pub sockeye_namespace: Option<String>,
    /// Certificates of those who may sign the server's, PEM; with it the connection is TLS
    #[arg(long, value_name = "PATH", help_heading = CONNECTION)]
    pub tls_ca: Option<PathBuf>,
    /// The client's certificate, PEM
    #[arg(long, value_name = "PATH", help_heading = CONNECTION)]
    pub tls_cert: Option<PathBuf>,
    /// The client's key, PEM
    #[arg(long, value_name = "PATH", help_heading = CONNECTION)]
    pub tls_key: Option<PathBuf>,
    /// The name that the server's certificate must have (else the host of --server)
    #[arg(long, value_name = "NAME", help_heading = CONNECTION)]
    pub tls_server_name: Option<String>,
    /// A file with a bearer token, read again at each connection
    #[arg(long, value_name = "PATH", help_heading = CONNECTION)]
    pub token_file: Option<PathBuf>,
    /// How long a connection may take to come about
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = value::duration)]
    #[arg(allow_hyphen_values = true, help_heading = CONNECTION)]
    pub timeout: Duration,
}

const CONNECTION: &str = "Connection";

/// Where to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// One server.
    Server(Address),
    /// The agents of a cluster.
    Cluster,
}

/// A server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A socket of this machine.
    Unix(PathBuf),
    /// A host.
    Tcp {
        /// Name or address, without brackets.
        host: String,
        /// Port.
        port: u16,
    },
}

/// What is asked of the machine: whatever is not on the command line.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// `$SOCKEYE_SERVER`, where it is set and not empty.
    pub server: Option<String>,
    /// The program runs as a plugin of kubectl.
    pub is_kubectl: bool,
    /// There is an agent's socket on this machine.
    pub has_local_socket: bool,
}

impl Surroundings {
    /// Those of this process.
    pub fn here() -> Self {
        Self {
            server: std::env::var(SERVER_VARIABLE).ok().filter(|server| !server.is_empty()),
            is_kubectl: super::is_kubectl(),
            has_local_socket: cfg!(unix) && std::path::Path::new(LOCAL_SOCKET).exists(),
        }
    }
}

impl ConnectionArgs {
    /// Where to connect to, and whether the options fit together.
    pub fn target(&self, surroundings: &Surroundings) -> Result<Target, UsageError> {
        let wants_cluster = [
            (self.port_forward, "-P/--port-forward"),
            (self.context.is_some(), "--context"),
            (self.kubeconfig.is_some(), "--kubeconfig"),
            (self.sockeye_namespace.is_some(), "--sockeye-namespace"),
        ];
        let wants_cluster = wants_cluster.into_iter().find_map(|(given, name)| given.then_some(name));
        let target = match (&self.server, wants_cluster, &surroundings.server) {
            (Some(_), Some(other), _) => return Err(UsageError::Exclusive { one: "--server", other }),
            (Some(server), None, _) => Target::Server(address(server, "--server")?),
            (None, Some(_), _) => Target::Cluster,
            (None, None, Some(server)) => Target::Server(address(server, SERVER_VARIABLE)?),
            (None, None, None) if surroundings.is_kubectl || !surroundings.has_local_socket => {
                Target::Cluster
            }
            (None, None, None) => Target::Server(Address::Unix(LOCAL_SOCKET.into())),
        };
        self.check_tls(&target)?;
        Ok(target)
    }

    /// Whether the connection is TLS.
    pub fn is_tls(&self) -> bool {
        self.tls_ca.is_some()
    }

    fn check_tls(&self, target: &Target) -> Result<(), UsageError> {
        let needs_ca = [
            (self.tls_cert.is_some(), "--tls-cert"),
            (self.tls_key.is_some(), "--tls-key"),
            (self.tls_server_name.is_some(), "--tls-server-name"),
        ];
        for (given, one) in needs_ca {
            if given && self.tls_ca.is_none() {
                return Err(UsageError::Needs { one, other: "--tls-ca" });
            }
        }
        match (&self.tls_cert, &self.tls_key) {
            (Some(_), None) => return Err(UsageError::Needs { one: "--tls-cert", other: "--tls-key" }),
            (None, Some(_)) => return Err(UsageError::Needs { one: "--tls-key", other: "--tls-cert" }),
            _ => {}
        }
        match target {
            // The way is the API server's own TLS; the end of it is the pod's loopback.
            Target::Cluster if self.is_tls() => Err(UsageError::Needs { one: "--tls-ca", other: "--server" }),
            Target::Server(Address::Unix(_)) if self.is_tls() => {
                Err(UsageError::Exclusive { one: "--tls-ca", other: "a unix socket" })
            }
            Target::Server(Address::Tcp { host, .. })
                if self.token_file.is_some() && !self.is_tls() && !is_loopback(host) =>
            {
                // Whoever listens on the way would have the token.
                Err(UsageError::Needs {
                    one: "--token-file",
                    other: "--tls-ca (the token would go in the clear)",
                })
            }
            _ => Ok(()),
        }
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// `unix:///path`, `host:port`, `10.0.0.1:port`, `[::1]:port`.
fn address(text: &str, option: &'static str) -> Result<Address, UsageError> {
    let wrong = || UsageError::Value {
        option,
        reason: format!("\"{text}\" is no server; write it as unix:///path, host:port or [::1]:port"),
    };
    if let Some(path) = text.strip_prefix("unix:") {
        // unix:///path, and unix:path as gRPC has it.
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() {
            return Err(wrong());
        }
        if !cfg!(unix) {
            return Err(UsageError::Value { option, reason: "there are no unix sockets here".to_owned() });
        }
        return Ok(Address::Unix(path.into()));
    }
    if text.contains("://") || text.contains('/') {
        return Err(wrong());
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port: u16 = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
    let host = match host.strip_prefix('[').map(|host| host.strip_suffix(']')) {
        Some(inner) => inner.filter(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok()).ok_or_else(wrong)?,
        None if host.is_empty() || host.contains(':') => return Err(wrong()),
        None => host,
    };
    Ok(Address::Tcp { host: host.to_owned(), port })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{Address, ConnectionArgs, LOCAL_SOCKET, Surroundings, Target};

    #[derive(Parser)]
    struct Words {
        #[command(flatten)]
        connection: ConnectionArgs,
    }

    fn target(words: &str, surroundings: &Surroundings) -> Result<Target, String> {
        let words = std::iter::once("sockeye").chain(words.split_whitespace());
        let words = Words::try_parse_from(words).unwrap();
        words.connection.target(surroundings).map_err(|error| error.to_string())
    }

    fn server(words: &str) -> Result<Target, String> {
        target(words, &Surroundings::default())
    }

    fn tcp(host: &str, port: u16) -> Result<Target, String> {
        Ok(Target::Server(Address::Tcp { host: host.to_owned(), port }))
    }

    #[test]
    fn a_server_is_a_path_or_a_host_with_a_port() {
        assert_eq!(
            server("--server unix:///run/s.sock"),
            Ok(Target::Server(Address::Unix("/run/s.sock".into())))
        );
        assert_eq!(server("--server db:4242"), tcp("db", 4242));
        assert_eq!(server("--server 10.0.0.1:4242"), tcp("10.0.0.1", 4242));
        assert_eq!(server("--server [::1]:4242"), tcp("::1", 4242));
        for wrong in
            ["db", "db:0", "db:x", ":1", "http://db:1", "::1:4242", "[db]:1", "unix://", "/run/s.sock"]
        {
            let said = server(&format!("--server {wrong}")).unwrap_err();
            assert_eq!(
                said,
                format!(
                    "--server: \"{wrong}\" is no server; write it as unix:///path, host:port or [::1]:port"
                )
            );
        }
    }

    #[test]
    fn without_a_server_it_is_the_variable_then_this_machine_then_the_cluster() {
        let on_a_node = Surroundings { has_local_socket: true, ..Surroundings::default() };
        let local = Ok(Target::Server(Address::Unix(LOCAL_SOCKET.into())));
        assert_eq!(target("", &on_a_node), local);
        assert_eq!(target("", &Surroundings::default()), Ok(Target::Cluster));
        assert_eq!(target("-P", &on_a_node), Ok(Target::Cluster));
        assert_eq!(target("--context prod", &on_a_node), Ok(Target::Cluster));
        let plugin = Surroundings { is_kubectl: true, ..on_a_node.clone() };
        assert_eq!(target("", &plugin), Ok(Target::Cluster));
        let told = Surroundings { server: Some("db:1".to_owned()), ..on_a_node };
        assert_eq!(target("", &told), tcp("db", 1));
        assert_eq!(target("--server db:2", &told), tcp("db", 2));
        assert_eq!(target("--kubeconfig k", &told), Ok(Target::Cluster));
        let wrong = Surroundings { server: Some("db".to_owned()), ..Surroundings::default() };
        assert!(target("", &wrong).unwrap_err().starts_with("SOCKEYE_SERVER: \"db\" is no server"));
    }

    #[test]
    fn what_does_not_fit_together_is_said() {
        assert_eq!(
            server("--server a:1 -P").unwrap_err(),
            "--server and -P/--port-forward exclude each other"
        );
        assert_eq!(
            server("--server a:1 --context x").unwrap_err(),
            "--server and --context exclude each other"
        );
        assert_eq!(server("--server a:1 --tls-cert c").unwrap_err(), "--tls-cert needs --tls-ca");
        assert_eq!(server("--server a:1 --tls-ca a --tls-cert c").unwrap_err(), "--tls-cert needs --tls-key");
        assert_eq!(server("--server a:1 --tls-ca a --tls-key c").unwrap_err(), "--tls-key needs --tls-cert");
        assert_eq!(
            server("--server unix:///x --tls-ca a").unwrap_err(),
            "--tls-ca and a unix socket exclude each other"
        );
        assert_eq!(
            server("--server a:1 --token-file t").unwrap_err(),
            "--token-file needs --tls-ca (the token would go in the clear)"
        );
        assert_eq!(server("--server 127.0.0.1:1 --token-file t"), tcp("127.0.0.1", 1));
        assert_eq!(server("--server a:1 --tls-ca c --token-file t"), tcp("a", 1));
    }
}
