//! All that was measured, and its tables.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{
    accounting::{Pass, Passes},
    figures::{Estimate, median},
    machine::Machine,
    plan::Plan,
    quiet::Silence,
    slowdown::{self, Slowdown},
    start::{Pairs, Snapshot, Starts},
    table::Table,
    targets,
    tool::{Absent, Tool},
};

const MIB: f64 = 1024.0 * 1024.0;

/// How the tools of this page run.
const FREE: &str = "the tool free to go elsewhere and writing to /dev/null";

/// What was measured; what was left out is empty.
#[derive(Default)]
pub struct Results {
    pub slowdown: Option<Slowdown>,
    pub passes: Passes,
    pub starts: BTreeMap<&'static str, Starts>,
    pub snapshot: Option<Snapshot>,
    pub silence: Option<Silence>,
    pub first_events: BTreeMap<&'static str, Vec<f64>>,
}

impl Results {
    /// In-kernel time for one state event of a tool: the median of its passes.
    pub fn state_event_ns(&self, name: &str) -> Option<f64> {
        let passes = self.passes.get(name)?;
        Some(median(&passes.iter().filter_map(Pass::state_event_ns).collect::<Vec<_>>()))
    }

    /// How many times ours a peer's is.
    pub fn state_event_ratio(&self, peer: &str, ours: &str) -> Option<f64> {
        Some(self.state_event_ns(peer)? / self.state_event_ns(ours)?)
    }

    fn connection_ns(&self, name: &str) -> Option<f64> {
        let passes = self.passes.get(name)?;
        Some(median(&passes.iter().map(Pass::connection_ns).collect::<Vec<_>>()))
    }

    /// Resident and anonymous memory after the load: the largest of all passes.
    pub fn memory_mib(&self, name: &str) -> Option<(f64, f64)> {
        let passes = self.passes.get(name)?;
        let largest = |of: fn(&Pass) -> u64| passes.iter().map(of).max().unwrap_or_default() as f64 / MIB;
        Some((largest(|pass| pass.memory.resident_bytes), largest(|pass| pass.memory.anonymous_bytes)))
    }

    /// The whole page.
    pub fn page(
        &self,
        date: &str,
        plan: &Plan,
        machine: &Machine,
        tools: &[Tool],
        absent: &[Absent],
    ) -> String {
        let mut head = "By `cargo xtask bench`. Ratios compare rounds of one run; absolute figures are this machine's.\n"
            .to_owned();
        for tool in absent {
            let _ = writeln!(head, "\nLeft out, for it does not run here: {} ({}).", tool.name, tool.why);
        }
        let sections = [
            ("Targets", Some(targets::verdict(&targets::targets(self), &targets::REASONS))),
            ("Machine", Some(facts(machine))),
            ("Connections slowed", self.slowdown.as_ref().map(|slowdown| slowed(slowdown, plan, FREE))),
            ("In the kernel", (!self.passes.is_empty()).then(|| self.in_kernel(tools, plan))),
            ("Start", (!self.starts.is_empty()).then(|| self.started(tools, plan))),
            ("Snapshot", self.snapshot.as_ref().map(|snapshot| older_sockets(snapshot, plan))),
            (
                "Idle, and the first event after silence",
                self.silence.as_ref().map(|silence| self.idle(silence)),
            ),
            ("Memory after the load", (!self.passes.is_empty()).then(|| self.memory(tools))),
        ];
        whole(&format!("Benchmark of {date}"), &head, &sections)
    }

    fn in_kernel(&self, tools: &[Tool], plan: &Plan) -> String {
        let mut summary =
            Table::new(&["tool", "ns/state event", "least", "most", "ns/connection", "times sockeye's"]);
        let mut programs =
            Table::new(&["program", "runs/connection", "ns/run", "instructions", "machine code, bytes"]);
        let mut floors = Vec::new();
        let mut lost = String::new();
        for (tool, passes) in tools.iter().filter_map(|tool| Some((tool, self.passes.get(tool.name)?))) {
            floors.extend(passes.iter().map(|pass| pass.floor_ns));
            let events: Vec<f64> = passes.iter().filter_map(Pass::state_event_ns).collect();
            let fold = |pick: fn(f64, f64) -> f64| events.iter().copied().reduce(pick).unwrap_or(f64::NAN);
            let counterpart = tool.counterpart().filter(|name| *name != tool.name);
            let times = counterpart.and_then(|ours| self.state_event_ratio(tool.name, ours));
            summary.row([
                tool.name.to_owned(),
                format!("{:.0}", median(&events)),
                format!("{:.0}", fold(f64::min)),
                format!("{:.0}", fold(f64::max)),
                self.connection_ns(tool.name).map_or_else(dash, |ns| format!("{ns:.0}")),
                times.map_or_else(dash, |times| format!("{times:.1}x")),
            ]);
            // The last pass stands for all: it is the split that matters here.
            for (pass, cost) in
                passes.last().into_iter().flat_map(|pass| pass.programs.iter().map(move |cost| (pass, cost)))
            {
                programs.row([
                    format!("{}: {}", tool.name, cost.name),
                    format!("{:.2}", pass.runs_per_connection(cost)),
                    format!("{:.0}", pass.run_ns(cost)),
                    cost.instructions.to_string(),
                    cost.code_bytes.to_string(),
                ]);
            }
            if let Some(words) = passes.iter().find_map(|pass| pass.lost.as_ref()) {
                let _ = writeln!(lost, "\n{} lost events: `{words}`", tool.name);
            }
        }
        format!(
            "By BPF_ENABLE_STATS, {} passes of {} connections for each tool, apart from the rounds above. Beside the \
             tool runs a program at the same hook that only returns; what a run of that costs ({:.1} ns: clock reads of \
             the statistics themselves) is subtracted from every run. A connection has both its ends here: 10 state \
             events.\n\n{summary}\nThe programs, in the last pass:\n\n{programs}{lost}",
            plan.passes,
            plan.pass_connections,
            median(&floors),
        )
    }

    fn started(&self, tools: &[Tool], plan: &Plan) -> String {
        let mut table = Table::new(&[
            "tool",
            "first attached, ms [95 %]",
            "all attached, ms [95 %]",
            "first line, ms [95 %]",
            "CPU, ms",
        ]);
        for (tool, starts) in tools.iter().filter_map(|tool| Some((tool, self.starts.get(tool.name)?))) {
            table.row([
                tool.name.to_owned(),
                estimate(Estimate::median(&starts.attached_ms), 1),
                estimate(Estimate::median(&starts.ready_ms), 1),
                estimate(Estimate::median(&starts.first_line_ms), 1),
                if starts.cpu_ms.is_empty() { dash() } else { format!("{:.1}", median(&starts.cpu_ms)) },
            ]);
        }
        format!(
            "From before fork and exec, {} starts each, medians. First attached: the first BPF link, looked for every \
             0.2 ms. All attached: sockeye's ready file, the snapshot of older sockets included. First line: read from \
             a pipe while connections are made every millisecond (libbpf-tools under `stdbuf --output=L`, for they keep \
             lines back in a pipe).\n\n{table}",
            plan.starts,
        )
    }

    fn idle(&self, silence: &Silence) -> String {
        let mut table =
            Table::new(&["tool", "wake-ups/s", "CPU, % of a core", "first event, ms [95 %]", "p90, ms"]);
        for tool in &silence.tools {
            let samples = self.first_events.get(tool.name);
            table.row([
                tool.name.to_owned(),
                format!("{:.2}", tool.wake_ups_per_second),
                format!("{:.4}", tool.cpu * 100.0),
                estimate(samples.and_then(|samples| Estimate::median(samples)), 3),
                samples
                    .map_or_else(dash, |samples| format!("{:.3}", super::figures::percentile(samples, 90.0))),
            ]);
        }
        format!(
            "All tools idle at the same time for {:.0} s, in which the machine had {} state events. First event: from \
             before connect() until its line can be read from a pipe, after 0.12 s of silence.\n\n{table}",
            silence.seconds, silence.events,
        )
    }

    fn memory(&self, tools: &[Tool]) -> String {
        let mut table = Table::new(&["tool", "RSS, MiB", "RssAnon, MiB"]);
        for (name, (resident, anonymous)) in
            tools.iter().filter_map(|tool| Some((tool.name, self.memory_mib(tool.name)?)))
        {
            table.row([name.to_owned(), format!("{resident:.1}"), format!("{anonymous:.1}")]);
        }
        format!(
            "A ring's pages count in RSS as often as its data is mapped: once in Sockeye, twice where libbpf's or aya's \
             reader is used.\n\n{table}"
        )
    }
}

impl Pairs {
    /// Microseconds that each of so many sockets adds.
    pub fn us_per(&self, sockets: u32) -> Estimate {
        let difference =
            |without: &[f64], with: &[f64]| (median(with) - median(without)) * 1e3 / f64::from(sockets);
        let count = self.without.len().min(self.with.len());
        let figure = |drawn: &[usize]| {
            difference(&super::figures::at(&self.without, drawn), &super::figures::at(&self.with, drawn))
        };
        Estimate::bootstrap(count, figure).unwrap_or(Estimate {
            value: f64::NAN,
            low: f64::NAN,
            high: f64::NAN,
        })
    }
}

/// A page: its title, what stands above everything, and the sections that there are.
pub fn whole(title: &str, head: &str, sections: &[(&str, Option<String>)]) -> String {
    let mut page = format!("# {title}\n\n{head}");
    for (title, text) in sections {
        if let Some(text) = text {
            let _ = write!(page, "\n## {title}\n\n{text}");
        }
    }
    page
}

/// What connections and tools cost; `tools` says how these run.
pub fn slowed(slowdown: &Slowdown, plan: &Plan, tools: &str) -> String {
    let mut table = Table::new(&[
        "tool",
        "median [95 %]",
        "p10 [95 %]",
        "load's CPU [95 %]",
        "µs/connection",
        "own CPU, µs/connection [95 %]",
    ]);
    for rounds in &slowdown.rounds {
        table.row([
            rounds.name.to_owned(),
            estimate(slowdown.wall(rounds), 3),
            estimate(slowdown.wall_p10(rounds), 3),
            estimate(slowdown.cpu(rounds), 3),
            format!("{:.1}", rounds.wall_us()),
            estimate(rounds.tool_cpu(), 2),
        ]);
    }
    let mut text = format!(
        "Connect, accept, one byte each way, close, on loopback: both ends in one thread on CPU 0, {tools}. {} shuffled blocks of rounds of {} connections; each round \
         divided by the untraced round of its block (a connection untraced: {} µs). `{}` shows what is noise; `{}` \
         is attached and returns. The load's CPU leaves out what other processes did meanwhile.\n\n{table}",
        plan.blocks,
        plan.connections,
        estimate(slowdown.base_us(), 1),
        slowdown::AGAIN,
        slowdown::FLOOR,
    );
    for rounds in &slowdown.rounds {
        if let Some(words) = rounds.lost.first() {
            let _ =
                writeln!(text, "\n{} lost events in {} rounds: `{words}`", rounds.name, rounds.lost.len());
        }
    }
    text
}

/// What the machine is.
pub fn facts(machine: &Machine) -> String {
    let mut table = Table::new(&["", ""]);
    for (name, value) in &machine.facts {
        table.row([(*name).to_owned(), value.clone()]);
    }
    table.to_string()
}

fn older_sockets(snapshot: &Snapshot, plan: &Plan) -> String {
    let mut table = Table::new(&["", "without, ms", "with, ms", "µs/socket [95 %]"]);
    let mut row = |name: &str, pairs: &Pairs| {
        table.row([
            name.to_owned(),
            format!("{:.1}", median(&pairs.without)),
            format!("{:.1}", median(&pairs.with)),
            format!("{:.2}", pairs.us_per(snapshot.sockets)),
        ]);
    };
    row("sockeye tcplife, CPU until ready", &snapshot.ours_cpu_ms);
    row("sockeye tcplife, time until ready", &snapshot.ours_ms);
    if let Some(pairs) = &snapshot.ss_cpu_ms {
        row("ss -tinOH, CPU", pairs);
    }
    format!(
        "Starts with and without {} idle loopback sockets held by another process, {} groups of three of each in \
         turn, medians.\n\n{table}",
        snapshot.sockets, plan.groups,
    )
}

/// A figure with its interval.
pub fn estimate(estimate: Option<Estimate>, digits: usize) -> String {
    estimate.map_or_else(dash, |estimate| format!("{estimate:.digits$}"))
}

fn dash() -> String {
    "-".to_owned()
}
