//! How long a tool takes to start: until its first program is attached, until all is, until its first line.
//! And what sockets that are older than the tool add to that.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use super::{
    child::Held,
    lines::Lines,
    observe,
    plan::Plan,
    progress::Progress,
    running::Running,
    tool::{OUR_LIFE, Tool},
};

/// A tool that has written nothing by then never will.
const FIRST_LINE_WITHIN: Duration = Duration::from_secs(15);

/// Between two connections while a first line is waited for.
const CONNECT_EVERY: Duration = Duration::from_millis(1);

/// Starts of one kind in a row, within a group.
const IN_A_ROW: u32 = 3;

/// Milliseconds of all starts of one tool.
#[derive(Default)]
pub struct Starts {
    pub attached_ms: Vec<f64>,
    pub ready_ms: Vec<f64>,
    pub first_line_ms: Vec<f64>,
    /// CPU time until it was ready.
    pub cpu_ms: Vec<f64>,
}

/// All starts, by the tool's name.
pub fn measure(
    tools: &[Tool],
    plan: &Plan,
    random: &mut fastrand::Rng,
) -> Result<BTreeMap<&'static str, Starts>> {
    let mut starts: BTreeMap<&'static str, Starts> = BTreeMap::new();
    let mut order: Vec<&Tool> = tools.iter().collect();
    let mut progress = Progress::new("start", plan.starts * order.len() as u32);
    for _ in 0..plan.starts {
        random.shuffle(&mut order);
        for tool in &order {
            let starts = starts.entry(tool.name).or_default();
            progress.step(tool.name, || one(tool, starts))?;
        }
    }
    Ok(starts)
}

fn one(tool: &Tool, starts: &mut Starts) -> Result<()> {
    if tool.has_links() {
        let (running, start) = Running::measure(tool)?;
        starts.attached_ms.extend(start.attached.map(milliseconds));
        starts.ready_ms.extend(start.ready.map(milliseconds));
        starts.cpu_ms.push(observe::cpu_ns(running.id())? as f64 / 1e6);
        running.stop()?;
    }
    if tool.prints() {
        starts.first_line_ms.push(milliseconds(first_line(tool)?));
    }
    Ok(())
}

fn first_line(tool: &Tool) -> Result<Duration> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen")?;
    let address = listener.local_addr().context("a listener without a port")?;
    let word = address.port().to_string();
    let (mut lines, output) = Lines::new()?;
    let running = Running::spawn(tool, output)?;
    while running.started().elapsed() < FIRST_LINE_WITHIN {
        let client = TcpStream::connect(address).context("cannot connect")?;
        let (server, _) = listener.accept().context("cannot accept")?;
        drop(client);
        drop(server);
        if let Some(at) = lines.wait_for(&word, CONNECT_EVERY)? {
            // Killed with that: nobody reads the pipe any more, and a tool that is about to write cannot stop.
            return Ok(at - running.started());
        }
    }
    bail!("no line within {FIRST_LINE_WITHIN:?}")
}

/// Starts with and without older sockets.
pub struct Snapshot {
    pub sockets: u32,
    pub ours_ms: Pairs,
    pub ours_cpu_ms: Pairs,
    /// `ss -tinOH`, for comparison: what lists sockets with as much about them. Where it is installed.
    pub ss_cpu_ms: Option<Pairs>,
}

/// Samples without and with the sockets.
#[derive(Default)]
pub struct Pairs {
    pub without: Vec<f64>,
    pub with: Vec<f64>,
}

/// Measures what older sockets cost at the start.
pub fn snapshot(tools: &[Tool], plan: &Plan) -> Result<Snapshot> {
    let tool = tools.iter().find(|tool| tool.name == OUR_LIFE).context("sockeye cannot run here")?;
    let ss = crate::process::find("ss");
    let mut snapshot = Snapshot {
        sockets: plan.sockets,
        ours_ms: Pairs::default(),
        ours_cpu_ms: Pairs::default(),
        ss_cpu_ms: ss.is_some().then(Pairs::default),
    };
    let mut progress = Progress::new("snapshot", plan.groups * 2);
    for group in 0..plan.groups {
        // With, without, without, with: a drift of the machine's speed takes part on both sides.
        let first = group % 2 == 1;
        for with in [first, !first] {
            let group = progress.step(tool.name, || in_a_row(tool, ss.as_deref(), plan.sockets, with))?;
            for (all, some) in [
                (Some(&mut snapshot.ours_ms), group.ours_ms),
                (Some(&mut snapshot.ours_cpu_ms), group.ours_cpu_ms),
                (snapshot.ss_cpu_ms.as_mut(), group.ss_cpu_ms),
            ] {
                if let Some(all) = all {
                    if with { &mut all.with } else { &mut all.without }.extend(some);
                }
            }
        }
    }
    Ok(snapshot)
}

/// Samples of some starts in a row.
#[derive(Default)]
struct Group {
    ours_ms: Vec<f64>,
    ours_cpu_ms: Vec<f64>,
    ss_cpu_ms: Vec<f64>,
}

fn in_a_row(tool: &Tool, ss: Option<&Path>, sockets: u32, with: bool) -> Result<Group> {
    let _held = if with { Some(Held::new(sockets)?) } else { None };
    let mut group = Group::default();
    for _ in 0..IN_A_ROW {
        let (running, start) = Running::measure(tool)?;
        group.ours_ms.push(milliseconds(start.ready.context("sockeye was not ready")?));
        group.ours_cpu_ms.push(observe::cpu_ns(running.id())? as f64 / 1e6);
        running.stop()?;
        if let Some(ss) = ss {
            group.ss_cpu_ms.push(cpu_of(Command::new(ss).arg("-tinOH"))? * 1e3);
        }
    }
    Ok(group)
}

/// Runs a command to its end; seconds of CPU that it took.
fn cpu_of(command: &mut Command) -> Result<f64> {
    let started = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    // Ended, but still there to be asked.
    let ended = waitid(WaitId::Pid(Pid::from_child(&child)), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
    let used = observe::cpu_ns(child.id());
    child.wait().context("cannot wait for a child")?;
    ended.context("cannot wait for a child")?;
    let used = used? as f64 / 1e9;
    anyhow::ensure!(used <= started.elapsed().as_secs_f64() * 2.0, "CPU time that cannot be");
    Ok(used)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
