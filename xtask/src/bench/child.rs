//! What runs in child processes: the load and the sockets that are only held. Both ends are on this machine.

use std::{
    fs,
    io::{Read as _, Write as _, stdin, stdout},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::{
    net::sockopt::set_socket_linger,
    process::{Resource, getrlimit, setrlimit},
    thread::{CpuSet, sched_setaffinity},
    time::{ClockId, clock_gettime},
};

/// Addresses that are connected to in turn, from 127.0.0.1 on: each has ports of its own, so that those in
/// TIME_WAIT never run out.
const DESTINATIONS: u32 = 200;

/// The CPU that the load runs on, both ends in one thread; what is measured is free to go elsewhere.
const CPU: usize = 0;

/// What xtask runs itself for, and what is measured apart from the others.
#[derive(clap::Subcommand)]
pub enum Role {
    /// The agent: its cost beside the engine's, its pipeline, its memory; writes docs/benchmarks/<date>-agent.md
    Agent(super::agent::Arguments),
    /// Events a second on one core from the ring's bytes to the client, without kernel and network
    Pipeline,
    /// Make connections, one after the other, and print what they cost
    #[command(hide = true)]
    Load {
        #[arg(long)]
        connections: u32,
        #[arg(long)]
        cgroup: Option<PathBuf>,
    },
    /// Hold connections until standard input ends
    #[command(hide = true)]
    Hold {
        #[arg(long)]
        sockets: u32,
    },
}

impl Role {
    pub fn run(&self) -> Result<ExitCode> {
        match self {
            Self::Agent(arguments) => return super::agent::run(arguments),
            Self::Pipeline => super::pipeline::run(),
            Self::Load { connections, cgroup } => generate(*connections, cgroup.as_deref()),
            Self::Hold { sockets } => keep(*sockets),
        }?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What connections cost the one who made them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    pub wall_us: f64,
    /// CPU time of the process, interrupts that it took included.
    pub cpu_us: f64,
}

/// Makes connections in a child process, which may be in a cgroup (of version 2, by its folder).
pub fn load(connections: u32, cgroup: Option<&Path>) -> Result<Load> {
    let mut child = own(&["load", "--connections", &connections.to_string()]);
    if let Some(cgroup) = cgroup {
        child.arg("--cgroup").arg(cgroup);
    }
    child.stdin(Stdio::null());
    let output = child.output().context("cannot start the load")?;
    if !output.status.success() {
        bail!("the load failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    parse(&String::from_utf8_lossy(&output.stdout))
        .context("the load printed something else than its two figures")
}

fn parse(text: &str) -> Option<Load> {
    let mut figures = text.split_whitespace().map(str::parse);
    let (wall_us, cpu_us) = (figures.next()?.ok()?, figures.next()?.ok()?);
    figures.next().is_none().then_some(Load { wall_us, cpu_us })
}

/// Connect, accept, one byte there, one back, close: the connecting side first.
fn generate(connections: u32, cgroup: Option<&Path>) -> Result<()> {
    if let Some(cgroup) = cgroup {
        // 0 is who writes.
        fs::write(cgroup.join("cgroup.procs"), "0")
            .with_context(|| format!("cannot go into the cgroup {}", cgroup.display()))?;
    }
    let mut cpus = CpuSet::new();
    cpus.set(CPU);
    sched_setaffinity(None, &cpus).context("cannot stay on one CPU")?;
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).context("cannot listen")?;
    let port = listener.local_addr().context("a listener without a port")?.port();
    let mut byte = [0];
    let cpu_before = cpu_time();
    let started = Instant::now();
    for connection in 0..connections {
        let mut client = TcpStream::connect((destination(connection), port)).context("cannot connect")?;
        let (mut server, _) = listener.accept().context("cannot accept")?;
        client.write_all(b"x").context("cannot send")?;
        server.read_exact(&mut byte).context("cannot receive")?;
        server.write_all(b"y").context("cannot answer")?;
        client.read_exact(&mut byte).context("cannot receive the answer")?;
        drop(client);
        drop(server);
    }
    let wall = started.elapsed();
    let cpu = cpu_time().saturating_sub(cpu_before);
    let each = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(connections);
    println!("{} {}", each(wall), each(cpu));
    Ok(())
}

fn destination(connection: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + connection % DESTINATIONS)
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// Sockets that are held by a child process, idle, until this is dropped.
pub struct Held(Child);

impl Held {
    /// Has a child hold this many sockets: half of them connected, half accepted.
    pub fn new(sockets: u32) -> Result<Self> {
        let mut command = own(&["hold", "--sockets", &sockets.to_string()]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the one who holds sockets")?;
        let mut stdout = child.stdout.take().context("it has no stdout")?;
        let held = Self(child);
        // Silence: it ended, and has said why on stderr.
        if !matches!(stdout.read(&mut [0]), Ok(1)) {
            bail!("cannot hold {sockets} sockets");
        }
        Ok(held)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // Nothing to do if that fails: it ends by itself, now or with this process.
        let _ = self.0.wait();
    }
}

fn keep(sockets: u32) -> Result<()> {
    let files = u64::from(sockets) + 64;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < files) {
        limit.current = Some(files);
        setrlimit(Resource::Nofile, limit).with_context(|| format!("cannot have {files} files open"))?;
    }
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).context("cannot listen")?;
    let port = listener.local_addr().context("a listener without a port")?.port();
    let mut held = Vec::new();
    for connection in 0..sockets / 2 {
        let client = TcpStream::connect((destination(connection), port)).context("cannot connect")?;
        // Closed by a reset: thousands in TIME_WAIT would be visited by the next measurement's snapshot.
        set_socket_linger(&client, Some(Duration::ZERO)).context("cannot set SO_LINGER")?;
        let (server, _) = listener.accept().context("cannot accept")?;
        held.push((client, server));
    }
    println!("held");
    // Until the parent is done, however it ends.
    let _ = stdin().read(&mut [0]);
    // The reset has to come from the connecting side, which is the one that lingers for no time.
    for (client, server) in held {
        drop(client);
        drop(server);
    }
    stdout().flush().context("cannot write")
}

/// This program in another role. Not by its path: a build may put another program there during a long run.
fn own(arguments: &[&str]) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg("bench").args(arguments);
    command
}

#[cfg(test)]
mod tests {
    use super::{Load, destination, parse};

    #[test]
    fn the_figures_of_a_load_are_read_back() {
        assert_eq!(parse("51.25 50.5\n"), Some(Load { wall_us: 51.25, cpu_us: 50.5 }));
        assert_eq!(parse("51.25\n"), None);
        assert_eq!(parse("51.25 50.5 1\n"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn destinations_go_round_in_the_loopback_network() {
        assert_eq!(destination(0).to_string(), "127.0.0.1");
        assert_eq!(destination(199).to_string(), "127.0.0.200");
        assert_eq!(destination(200).to_string(), "127.0.0.1");
    }
}
