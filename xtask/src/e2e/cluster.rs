//! One node with all of Kubernetes on it, from nothing, and away again. What is chosen for the parts is in
//! `files`; what remains of a run that did not clean up, in `leftovers`.

use std::{
    fmt, fs,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use super::{
    daemon::Daemons,
    files,
    kubectl::{Kubectl, wait_for},
    leftovers,
    parts::Parts,
    pki,
};
use crate::process;

/// Where the API server listens.
pub const API_PORT: u16 = 6443;
/// The node's name.
pub const NODE: &str = "node1";

/// All that it keeps.
const STATE: &str = "/var/lib/sockeye-e2e";
const ETCD: &str = "http://127.0.0.1:2379";
/// containerd's socket, in it.
const SOCKET: &str = "run/containerd.sock";
/// The daemons, in the order in which they start.
const DAEMONS: [&str; 8] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    VIEW,
    "containerd",
    "kubelet",
    "kube-proxy",
];
/// The process that keeps a mount namespace alive whose /sys/fs/cgroup is cgroup v2 alone.
const VIEW: &str = "cgroup-view";

/// How the node's cgroups look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Cgroups {
    /// As this machine has them; on a hybrid one containers see the machine's paths
    Host,
    /// Only version 2, as on current machines: each container has a cgroup namespace of its own
    V2,
}

impl fmt::Display for Cgroups {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Host => "host",
            Self::V2 => "v2",
        })
    }
}

impl Cgroups {
    /// Whether this machine has version 2 alone: then both are the same.
    pub fn machine_is_v2() -> bool {
        Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
    }
}

/// The cluster, up or not.
pub struct Cluster {
    state: PathBuf,
    daemons: Daemons,
    parts: Parts,
}

impl Cluster {
    /// In its folder.
    pub fn new(parts: Parts) -> Self {
        let state = PathBuf::from(STATE);
        Self { daemons: Daemons::new(&state), state, parts }
    }

    /// How its cgroups look, if it is up.
    pub fn is_up(&self) -> Option<Cgroups> {
        let up = DAEMONS.iter().all(|name| *name == VIEW || self.daemons.running(name).is_some());
        let v2 = self.daemons.running(VIEW).is_some();
        (up && self.ready_file().exists()).then_some(if v2 { Cgroups::V2 } else { Cgroups::Host })
    }

    /// Brings it up from nothing; what an earlier one left is cleaned away first.
    pub fn up(&self, cgroups: Cgroups) -> Result<()> {
        let start = Instant::now();
        down()?;
        if let Some(other) = leftovers::another_kubelet() {
            bail!("this machine runs another kubelet (process {other}): one node is enough");
        }
        let node = node_address()?;
        fs::create_dir_all(&self.state).with_context(|| format!("cannot make {}", self.state.display()))?;
        leftovers::note(&self.state)?;
        pki::write(&self.pki(), node)?;
        files::write(&self.state, cgroups)?;
        self.control_plane(node)?;
        self.node(node, cgroups)?;
        let kubectl = self.kubectl();
        kubectl.apply("kube-system", &files::dns())?;
        kubectl.rollout("kube-system", "deployment/coredns")?;
        fs::write(self.ready_file(), "")?;
        eprintln!("cluster: up after {:.0} s (cgroups: {cgroups})", start.elapsed().as_secs_f64());
        Ok(())
    }

    /// A line for each daemon, then what runs in the cluster.
    pub fn status(&self) -> Result<()> {
        for name in DAEMONS {
            match self.daemons.running(name) {
                Some(process) => {
                    println!("{name:24}  pid {:7}  {:4} MiB", process.pid, process.resident_kib() >> 10);
                }
                None => println!("{name:24}  down"),
            }
        }
        if self.is_up().is_some() {
            print!("{}", self.kubectl().output(["get", "nodes,pods", "-A", "-o", "wide"])?);
            println!(
                "\nKUBECONFIG={}  kubectl: {}",
                self.kubeconfig().display(),
                self.parts.kubectl().display()
            );
        }
        Ok(())
    }

    /// Its kubectl, as its administrator.
    pub fn kubectl(&self) -> Kubectl {
        Kubectl::new(self.parts.kubectl(), self.kubeconfig())
    }

    /// The administrator's.
    pub fn kubeconfig(&self) -> PathBuf {
        self.pki().join("admin.kubeconfig")
    }

    /// Makes an image of an archive known to the node.
    pub fn import(&self, archive: &Path) -> Result<String> {
        let mut command = Command::new("ctr");
        command.arg("-a").arg(self.socket()).args(["-n", "k8s.io", "images", "import", "--digests=false"]);
        process::output(command.arg(archive))
    }

    /// The process of a container, by the container's id.
    pub fn container_process(&self, id: &str) -> Result<i32> {
        let mut command = Command::new("ctr");
        command.arg("-a").arg(self.socket()).args(["-n", "k8s.io", "tasks", "list"]);
        let text = process::output(&mut command)?;
        let line = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let pid = line
            .into_iter()
            .find(|words| words.first() == Some(&id))
            .and_then(|words| words.get(1)?.parse().ok());
        pid.with_context(|| format!("no task of container `{id}` runs"))
    }

    /// Has the next pod get an address that is free now.
    pub fn give_address_next(&self, address: &str) -> Result<()> {
        let address: Ipv4Addr = address.parse().context("no IPv4 address")?;
        let before = Ipv4Addr::from_bits(address.to_bits() - 1);
        let folder = self.state.join("ipam").join(leftovers::NETWORK);
        wait_for("the address to be free", Duration::from_secs(30), || {
            Ok((!folder.join(address.to_string()).exists()).then_some(()))
        })?;
        fs::write(folder.join("last_reserved_ip.0"), before.to_string())
            .context("cannot choose the next address")
    }

    /// Ends the API server at once; the rest of the cluster runs on.
    pub fn stop_api_server(&self) {
        self.daemons.kill("kube-apiserver");
    }

    /// Starts it again.
    pub fn start_api_server(&self) -> Result<()> {
        self.api_server(node_address()?)
    }

    fn control_plane(&self, node: IpAddr) -> Result<()> {
        let mut etcd = Command::new("etcd");
        etcd.args(["--name=e2e", "--unsafe-no-fsync", "--logger=zap", "--log-level=warn"])
            .arg(format!("--data-dir={}", self.state.join("etcd").display()))
            .args([format!("--listen-client-urls={ETCD}"), format!("--advertise-client-urls={ETCD}")])
            .args([
                "--listen-peer-urls=http://127.0.0.1:2380",
                "--initial-advertise-peer-urls=http://127.0.0.1:2380",
            ])
            .arg("--initial-cluster=e2e=http://127.0.0.1:2380");
        self.daemons.start("etcd", &mut etcd)?;
        self.daemons.wait("etcd", Duration::from_secs(30), || listens(2379))?;
        self.api_server(node)?;
        for (name, config, arguments) in [
            ("kube-controller-manager", "controllers", &files::CONTROLLERS[..]),
            ("kube-scheduler", "scheduler", &files::SCHEDULER[..]),
        ] {
            let config = self.pki().join(config).with_extension("kubeconfig");
            let mut command = self.kube(name);
            for option in ["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"] {
                command.arg(format!("--{option}={}", config.display()));
            }
            command.args(self.with_pki(arguments));
            self.daemons.start(name, &mut command)?;
        }
        Ok(())
    }

    fn api_server(&self, node: IpAddr) -> Result<()> {
        let mut command = self.kube("kube-apiserver");
        command
            .args([format!("--etcd-servers={ETCD}"), format!("--advertise-address={node}")])
            .args([format!("--secure-port={API_PORT}")])
            .args(self.with_pki(&files::API_SERVER));
        self.daemons.start("kube-apiserver", &mut command)?;
        let kubectl = self.kubectl();
        // Not before the port is open: each try is a program.
        self.daemons.wait("kube-apiserver", Duration::from_secs(120), || {
            listens(API_PORT) && kubectl.output(["get", "--raw", "/readyz"]).is_ok()
        })
    }

    fn node(&self, node: IpAddr, cgroups: Cgroups) -> Result<()> {
        process::run(Command::new("mount").arg("--bind").args([&self.state, &self.state]))?;
        process::run(Command::new("mount").arg("--make-rshared").arg(&self.state))?;
        fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("cannot let the node forward packets")?;
        let inside = self.view(cgroups)?;
        let mut containerd = inside("containerd".as_ref());
        containerd.arg("--config").arg(self.state.join("containerd.toml"));
        self.daemons.start("containerd", &mut containerd)?;
        let version = || {
            let mut ctr = Command::new("ctr");
            process::output(ctr.arg("-a").arg(self.socket()).args(["--timeout=2s", "version"])).is_ok()
        };
        self.daemons.wait("containerd", Duration::from_secs(60), || self.socket().exists() && version())?;
        for image in &self.parts.images {
            self.import(image)?;
        }
        let mut kubelet = inside(&self.parts.kube());
        kubelet
            .args(["kubelet", "--v=2"])
            .arg(format!("--config={}", self.state.join("kubelet.yaml").display()))
            .arg(format!("--kubeconfig={}", self.pki().join("kubelet.kubeconfig").display()))
            .arg(format!("--root-dir={}", self.state.join("kubelet").display()))
            .args([format!("--hostname-override={NODE}"), format!("--node-ip={node}")]);
        self.daemons.start("kubelet", &mut kubelet)?;
        let mut proxy = self.kube("kube-proxy");
        proxy.arg(format!("--config={}", self.state.join("proxy.yaml").display()));
        self.daemons.start("kube-proxy", &mut proxy)?;
        let kubectl = self.kubectl();
        let path = r#"jsonpath={.status.conditions[?(@.type=="Ready")].status}"#;
        let ready = || kubectl.output(["get", "node", NODE, "-o", path]).is_ok_and(|text| text == "True");
        self.daemons.wait("kubelet", Duration::from_secs(120), ready)?;
        let account = || kubectl.output(["-n", "default", "get", "serviceaccount", "default"]).is_ok();
        self.daemons.wait("kube-controller-manager", Duration::from_secs(60), account)
    }

    /// How to start a program that sees the cgroups as wanted.
    fn view(&self, cgroups: Cgroups) -> Result<impl Fn(&Path) -> Command + use<>> {
        let mut process = None;
        if cgroups == Cgroups::V2 {
            let ready = self.state.join("cgroup-view.ready");
            let script = "umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && \
                          mount --make-rshared / && : > \"$0\" && exec sleep infinity";
            let mut unshare = Command::new("unshare");
            unshare.args(["--mount", "--propagation", "private", "sh", "-c", script]).arg(&ready);
            process = Some(self.daemons.start(VIEW, &mut unshare)?);
            self.daemons.wait(VIEW, Duration::from_secs(10), || ready.exists())?;
        }
        Ok(move |program: &Path| match process {
            None => Command::new(program),
            Some(process) => {
                let mut command = Command::new("nsenter");
                command.args(["-t", &process.pid.to_string(), "--mount", "--wd=/", "--"]).arg(program);
                command
            }
        })
    }

    fn kube(&self, component: &str) -> Command {
        let mut command = Command::new(self.parts.kube());
        command.arg(component);
        command
    }

    /// `--option=PKI/file` with the folder's path.
    fn with_pki<'a>(&self, arguments: &'a [&str]) -> impl Iterator<Item = String> + use<'a> {
        let pki = self.pki().display().to_string();
        arguments.iter().map(move |argument| argument.replace("PKI", &pki))
    }

    fn pki(&self) -> PathBuf {
        self.state.join("pki")
    }

    fn socket(&self) -> PathBuf {
        self.state.join(SOCKET)
    }

    fn ready_file(&self) -> PathBuf {
        self.state.join("ready")
    }
}

/// Takes away everything that [`Cluster::up`] made, whatever state it is in. It needs no part of the cluster.
pub fn down() -> Result<()> {
    let state = Path::new(STATE);
    if !state.exists() {
        return Ok(());
    }
    let daemons = Daemons::new(state);
    for name in ["kubelet", "kube-proxy", "kube-scheduler", "kube-controller-manager"] {
        daemons.kill(name);
    }
    leftovers::containers(&state.join(SOCKET));
    for name in ["containerd", "kube-apiserver", "etcd", VIEW] {
        daemons.kill(name);
    }
    leftovers::daemons(state);
    leftovers::network();
    leftovers::cgroups();
    leftovers::sysctls(state);
    leftovers::mounts(state)?;
    leftovers::folders(state);
    fs::remove_dir_all(state).with_context(|| format!("cannot remove {}", state.display()))
}

fn listens(port: u16) -> bool {
    std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// The machine's first address that is neither its own loopback nor ours.
fn node_address() -> Result<IpAddr> {
    let text =
        process::output(Command::new("ip").args(["-4", "-oneline", "address", "show", "scope", "global"]))?;
    let address = first_address(&text).context("this machine has no IPv4 address but its loopback's")?;
    ensure!(!address.is_loopback());
    Ok(address)
}

/// `2: eth0    inet 192.0.2.2/24 brd …`
fn first_address(text: &str) -> Option<IpAddr> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let link = words.next()?;
        let address = words.skip_while(|&word| word != "inet").nth(1)?;
        if link == leftovers::BRIDGE { None } else { address.split('/').next()?.parse().ok() }
    })
}

#[cfg(test)]
mod tests {
    use super::first_address;

    #[test]
    fn the_nodes_address_is_not_the_bridge_of_an_earlier_cluster() {
        let text = "9: cni0    inet 10.244.0.1/24 scope global cni0\n2: eth0    inet 192.0.2.2/24 brd 192.0.2.255 scope global eth0\n";
        assert_eq!(first_address(text).unwrap().to_string(), "192.0.2.2");
        assert_eq!(first_address("9: cni0    inet 10.244.0.1/24 scope global cni0\n"), None);
        assert_eq!(first_address(""), None);
    }
}
