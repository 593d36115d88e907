//! Tools when nothing happens: how often they wake, what CPU they use; and how soon the first event after
//! silence comes out.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, TcpListener, TcpStream},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use aya::{
    Btf,
    programs::loaded_programs,
    sys::{Stats, enable_stats},
};

use super::{
    floor::Floor,
    lines::Lines,
    observe,
    plan::Plan,
    progress::Progress,
    running::{Output, Running},
    tool::Tool,
};

/// Looks until one finds the machine without connections.
const LOOKS: u32 = 4;

/// Longer than any tool stays awake after an event.
const SILENCE: Duration = Duration::from_millis(120);

const EVENT_WITHIN: Duration = Duration::from_secs(2);

/// An idle tool.
pub struct Idle {
    pub name: &'static str,
    pub wake_ups_per_second: f64,
    /// Parts of one core.
    pub cpu: f64,
}

/// All tools, idle at the same time.
pub struct Silence {
    pub seconds: f64,
    /// State events on the machine meanwhile, of others: with any, nobody was idle.
    pub events: u64,
    pub tools: Vec<Idle>,
}

/// Watches idle tools.
pub fn idle(tools: &[Tool], plan: &Plan, types: &Btf) -> Result<Silence> {
    let mut progress = Progress::new("idle", LOOKS);
    let running: Vec<Running> =
        tools.iter().map(|tool| Running::start(tool, Output::Nowhere)).collect::<Result<_>>()?;
    let mut floor = Floor::attach(types)?;
    let id = floor.id()?;
    // Counts the machine's events: that costs a sleeping tool nothing.
    let _statistics = enable_stats(Stats::RunTime).context("cannot switch the statistics of programs on")?;
    let mut best: Option<Silence> = None;
    for _ in 0..LOOKS {
        sleep(Duration::from_secs(1));
        let look = progress.step("all tools", || look(&running, id, plan))?;
        if best.as_ref().is_none_or(|best| look.events < best.events) {
            best = Some(look);
        }
        if best.as_ref().is_some_and(|best| best.events == 0) {
            break;
        }
    }
    for running in running {
        running.stop()?;
    }
    best.context("nothing was measured")
}

fn look(running: &[Running], floor: u32, plan: &Plan) -> Result<Silence> {
    let read = || -> Result<Vec<(u64, u64)>> {
        let both = |tool: &Running| Ok((observe::sleeps(tool.id())?, observe::cpu_ns(tool.id())?));
        running.iter().map(both).collect()
    };
    let events_before = runs(floor);
    let started = Instant::now();
    let before = read()?;
    sleep(Duration::from_secs(plan.idle_seconds.into()));
    let after = read()?;
    let seconds = started.elapsed().as_secs_f64();
    let tools = running.iter().zip(before.iter().zip(&after)).map(|(tool, (before, after))| Idle {
        name: tool.tool().name,
        wake_ups_per_second: after.0.saturating_sub(before.0) as f64 / seconds,
        cpu: after.1.saturating_sub(before.1) as f64 / 1e9 / seconds,
    });
    Ok(Silence { seconds, events: runs(floor) - events_before, tools: tools.collect() })
}

/// How often a program ran while statistics were on.
fn runs(id: u32) -> u64 {
    let mut programs = loaded_programs().flatten();
    programs.find(|program| program.id() == id).map_or(0, |program| program.run_count())
}

/// Milliseconds from a connect to its line, after silence, by the tool's name.
pub fn first_events(tools: &[Tool], plan: &Plan) -> Result<BTreeMap<&'static str, Vec<f64>>> {
    let mut events = BTreeMap::new();
    let tools: Vec<&Tool> = tools.iter().filter(|tool| tool.prints_states()).collect();
    let mut progress = Progress::new("first event", tools.len() as u32);
    for tool in tools {
        let samples = progress.step(tool.name, || first_event(tool, plan))?;
        events.insert(tool.name, samples);
    }
    Ok(events)
}

fn first_event(tool: &Tool, plan: &Plan) -> Result<Vec<f64>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen")?;
    let address = listener.local_addr().context("a listener without a port")?;
    let word = address.port().to_string();
    let (mut lines, output) = Lines::new()?;
    let running = Running::start(tool, output)?;
    let mut samples = Vec::new();
    for _ in 0..plan.events {
        sleep(SILENCE);
        lines.clear()?;
        let connected = Instant::now();
        let client = TcpStream::connect(address).context("cannot connect")?;
        let at = lines.wait_for(&word, EVENT_WITHIN)?;
        let at = at.with_context(|| format!("no line within {EVENT_WITHIN:?}"))?;
        samples.push((at - connected).as_secs_f64() * 1e3);
        let (server, _) = listener.accept().context("cannot accept")?;
        drop(client);
        drop(server);
    }
    // Killed: nobody reads the pipe any more, and a tool that is about to write cannot stop.
    drop(running);
    Ok(samples)
}
