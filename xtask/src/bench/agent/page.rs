//! All that was measured of the agent: wanted and measured, and the tables.

use super::{
    super::{
        machine::Machine,
        observe::Memory,
        pipeline::Pipeline,
        plan::Plan,
        results::{estimate, facts, slowed, whole},
        slowdown::Slowdown,
        table::Table,
        targets::{Target, verdict},
    },
    AGENT, AGENT_STATES, ENGINE, ENGINE_STATES, WARM_UP,
    memory::Over,
    node::PODS,
};

/// Why a target is missed where the figures in docs/benchmarks come from; to be kept up to date by hand.
const REASONS: [(&str, &str); 5] = [
    (
        "agent: own CPU for a connection, above the engine's",
        "A connection is four events here. By the pipeline below three quarters of the difference are theirs up to the \
         encoded message: a third of that naming, routing, queue and history, the rest the compact encoding. What is left \
         is the server's (tokio, HTTP/2, the socket).",
    ),
    (
        "agent: connections slowed to",
        "It is the kernel's part, as the load's CPU shows: the engine alone slows them as much. Why it does is on the \
         engine's page.",
    ),
    (
        "pipeline: events on one core",
        "In the order of the table: an eighth is decoding, a quarter naming, routing, queue and history, the larger half \
         the compact encoding (a look-up in a table for each address, place and process, and the differences to what the \
         socket said before), a quarter the client. musl's memcpy alone is a fifth of it all: an event of half a KiB is \
         copied twice. This machine's clock is not steady either: the naive way, in the same rounds, took 4.2 and 6.6 µs \
         an event in two runs of one hour.",
    ),
    (
        "look-up among 100,000 containers",
        "Two cache misses one after the other: the table's entry, and the count in the Arc that it names. A node has 110 \
         pods.",
    ),
    (
        "agent: resident memory, 110 pods",
        "After load, with a subscriber that keeps up: the rings' data 4.5 MiB, the history 4, the pages of the binary \
         that are in use 5 (the kernel maps sixteen around each), those that were relocated 0.7; the rest is heap. A \
         subscriber that does not keep up has its queue on top, 5 MiB if it is full, until it is empty.",
    ),
];

const MIB: f64 = 1024.0 * 1024.0;

/// How the tools of this page run.
const SETTING: &str =
    "the agent and its one subscriber free to go elsewhere; the load in a pod's cgroup, 110 pods known";

/// What was measured; what was left out is empty.
#[derive(Default)]
pub struct Results {
    pub pipeline: Option<Pipeline>,
    pub slowdown: Option<Slowdown>,
    pub memory: Option<Over>,
}

impl Results {
    fn targets(&self) -> Vec<Target> {
        let slowdown = self.slowdown.as_ref();
        let pipeline = self.pipeline.as_ref();
        let memory = self.memory.as_ref();
        let above = |agent, engine| Some(slowdown?.cpu_above(agent, engine)?.value);
        let slowed = |agent| {
            let slowdown = slowdown?;
            Some(slowdown.wall(slowdown.of(agent)?)?.value)
        };
        let look_up = |known| pipeline?.look_up_ns(known);
        vec![
            Target::at_most(
                "agent: own CPU for a connection, above the engine's",
                1.5,
                "µs",
                above(AGENT, ENGINE),
            ),
            Target::at_most("agent: connections slowed to", 1.05, "x", slowed(AGENT)),
            Target::at_least_of(
                "pipeline: events on one core",
                2.0,
                "M/s",
                pipeline.and_then(Pipeline::rate),
            ),
            Target::at_least(
                "pipeline: as fast as one message an event",
                4.0,
                pipeline.and_then(Pipeline::times_naive),
            ),
            Target::at_most("look-up among 10,000 containers", 12.0, "ns", look_up(10_000)),
            Target::at_most("look-up among 100,000 containers", 25.0, "ns", look_up(100_000)),
            Target::at_most(
                "agent: resident memory, 110 pods",
                16.0,
                "MiB",
                memory.map(|over| over.most_bytes() as f64 / MIB),
            ),
            Target::at_most(
                "agent: growth from the first tenth of the events to the last",
                1.0,
                "MiB",
                memory.and_then(Over::growth_bytes).map(|bytes| bytes / MIB),
            ),
        ]
    }

    /// The whole page.
    pub fn page(&self, date: &str, plan: &Plan, machine: &Machine) -> String {
        let head = "By `cargo xtask bench agent`. Ratios and differences compare rounds of one run; absolute figures are \
                    this machine's. That nothing allocates on an event's way is a test, not a figure: \
                    `agent/tests/no_allocation.rs`.\n";
        let sections = [
            ("Targets", Some(verdict(&self.targets(), &REASONS))),
            ("Machine", Some(facts(machine))),
            ("Agent and engine", self.slowdown.as_ref().map(agent_and_engine)),
            ("Connections slowed", self.slowdown.as_ref().map(|slowdown| slowed(slowdown, plan, SETTING))),
            ("Pipeline", self.pipeline.as_ref().map(pipeline)),
            ("Look-up", self.pipeline.as_ref().map(look_ups)),
            ("Memory", self.memory.as_ref().map(memory)),
        ];
        whole(&format!("Benchmark of the agent of {date}"), head, &sections)
    }
}

fn agent_and_engine(slowdown: &Slowdown) -> String {
    let mut table = Table::new(&[
        "kinds",
        "agent, µs/connection [95 %]",
        "engine alone [95 %]",
        "above it [95 %]",
        "events/connection",
    ]);
    for (kinds, agent, engine) in
        [("default", AGENT, ENGINE), ("default and states", AGENT_STATES, ENGINE_STATES)]
    {
        let cpu = |name| slowdown.of(name).and_then(|rounds| rounds.tool_cpu());
        let events = slowdown.of(agent).and_then(|rounds| rounds.events());
        table.row([
            kinds.to_owned(),
            estimate(cpu(agent), 2),
            estimate(cpu(engine), 2),
            estimate(slowdown.cpu_above(agent, engine), 2),
            events.map_or_else(|| "-".to_owned(), |(least, most)| format!("{least:.2} to {most:.2}")),
        ]);
    }
    format!(
        "CPU time of the agent with one subscriber, of all its threads, for a connection of the rounds below: named, \
         routed, kept in the history, encoded (compact) and sent to a unix socket. The engine alone is the agent's own \
         engine in a program that decodes and counts its events; the difference is taken block by block. Before a round \
         come {WARM_UP} connections that do not count: their events fill the history. Events: what arrived at the \
         subscriber, divided by all connections; one has both its ends here, 4 \
         events, 14 with states, and others' come on top.\n\n{table}"
    )
}

fn pipeline(pipeline: &Pipeline) -> String {
    format!(
        "One thread, no kernel, no network; CPU time; batches of 512. From the bytes of the ring: decoded, named among \
         110 pods, routed, put into history and queue, taken out, encoded, then at the client decoded by prost, in the \
         compact encoding also shown one by one. Naive: decoded, named, one message an event by prost, no queue and no \
         history. Rounds of all ways in turn.\n\n{}",
        pipeline.table()
    )
}

fn look_ups(pipeline: &Pipeline) -> String {
    format!(
        "Whose an event is, each another container's, in no order; with the clone of the `Arc`.\n\n{}",
        pipeline.look_ups()
    )
}

fn memory(over: &Over) -> String {
    let mut table = Table::new(&["events", "RSS, MiB", "RssAnon, MiB"]);
    let mut row = |events: String, memory: &Memory| {
        let mib = |bytes: u64| format!("{:.2}", bytes as f64 / MIB);
        table.row([events, mib(memory.resident_bytes), mib(memory.anonymous_bytes)]);
    };
    row("0, subscribed".to_owned(), &over.ready);
    let all = over.last.received.unwrap_or_default();
    for (look, memory) in (1..).zip(&over.looks) {
        row(format!("{:.1} M", all as f64 / 1e6 * f64::from(look) / over.looks.len() as f64), memory);
    }
    format!(
        "An agent with {PODS} pods and one subscriber to the default kinds and state changes, over {} connections in {:.0} \
         s: {} events arrived, {} of them of pods by name; {}. A ring's pages count in RSS, too.\n\n{table}",
        over.connections,
        over.took.as_secs_f64(),
        all,
        over.last.of_pods.unwrap_or_default(),
        over.last.lost.as_deref().unwrap_or("none was lost"),
    )
}

#[cfg(test)]
mod tests {
    use super::{REASONS, Results};

    #[test]
    fn every_reason_belongs_to_a_target() {
        let targets = Results::default().targets();
        for (what, _) in REASONS {
            assert!(targets.iter().any(|target| target.what == what), "no target {what}");
        }
    }

    #[test]
    fn nothing_is_met_by_a_run_that_measured_nothing() {
        assert!(Results::default().targets().iter().all(|target| target.is_met().is_none()));
    }
}
