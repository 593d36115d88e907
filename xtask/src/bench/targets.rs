//! What Sockeye wants to reach, and what it did.

use super::{
    figures::median,
    results::Results,
    table::Table,
    tool::{LIFE, OUR_LIFE, OUR_STATES, STATES},
};

/// Why a target is missed where the figures in docs/benchmarks come from; to be kept up to date by hand.
pub const REASONS: [(&str, &str); 8] = [
    (
        "sockeye tcpstates: connections slowed to",
        "Of some 7 µs a connection (both ends, 10 transitions) about 4 are the state program and 0.5 \
         those that see reads, writes and the end, by the kernel's statistics; 2 to 2.5 are the kernel's \
         making, cloning and freeing of socket storage at both ends, half of which no statistics show. \
         The prototype behind the target kept no state (1.05), or less of it (1.07).",
    ),
    ("sockeye tcplife: connections slowed to", "As for tcpstates."),
    (
        "sockeye tcpstates: in the kernel, a state event",
        "By profile a quarter is the kernel making socket storage (two charged slab allocations for a \
         connection's record), a tenth the clock, a tenth the ring; the rest is the record of 184 bytes \
         being kept and, for tcpstates, an event of 200 bytes ten times a connection. The prototype \
         behind the target kept no storage (117); with it, it took 206.",
    ),
    (
        "sockeye tcplife: in the kernel, a state event",
        "As for tcpstates, but for the events: it sends one a connection end and reads the clock half as \
         often.",
    ),
    (
        "sockeye tcpstates: in the kernel, a state event, below tcpstates",
        "Follows from the time of an event; the peer's own time varies by a quarter between runs, for it \
         allocates, too.",
    ),
    (
        "sockeye tcplife: in the kernel, a state event, below tcplife",
        "Follows from the time of an event; the peer's own time varies by a quarter between runs, for it \
         allocates, too.",
    ),
    (
        "sockeye tcplife: own CPU for a connection, below tcplife",
        "Our own is 1.9 to 2.0 µs in all runs, the peer's 12 to 18 µs: it prints with stdio and is woken \
         more often on a busy machine, so the ratio is 6 on a quiet one and 9 on a busy one.",
    ),
    ("sockeye tcplife: snapshot, CPU for a socket", "At the limit within its spread (0.9 to 1.6)."),
];

enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

/// Something wanted.
pub struct Target {
    pub what: String,
    limit: Limit,
    unit: &'static str,
    digits: usize,
    measured: Option<f64>,
}

impl Target {
    /// Not more than this.
    pub fn at_most(what: impl Into<String>, limit: f64, unit: &'static str, measured: Option<f64>) -> Self {
        Self { what: what.into(), limit: Limit::AtMost(limit), unit, digits: 2, measured }
    }

    /// So many times something.
    pub fn at_least(what: impl Into<String>, limit: f64, measured: Option<f64>) -> Self {
        Self { what: what.into(), limit: Limit::AtLeast(limit), unit: "x", digits: 1, measured }
    }

    /// So many of a unit.
    pub fn at_least_of(
        what: impl Into<String>,
        limit: f64,
        unit: &'static str,
        measured: Option<f64>,
    ) -> Self {
        Self { what: what.into(), limit: Limit::AtLeast(limit), unit, digits: 2, measured }
    }

    /// `None`: not measured, or not a number.
    pub fn is_met(&self) -> Option<bool> {
        let measured = self.measured.filter(|measured| measured.is_finite())?;
        Some(match self.limit {
            Limit::AtMost(limit) => measured <= limit,
            Limit::AtLeast(limit) => measured >= limit,
        })
    }

    fn row(&self) -> [String; 4] {
        let unit = match self.unit {
            "x" => "x".to_owned(),
            unit => format!(" {unit}"),
        };
        let wanted = match self.limit {
            Limit::AtMost(limit) => format!("≤ {limit}{unit}"),
            Limit::AtLeast(limit) => format!("≥ {limit}{unit}"),
        };
        let digits = self.digits;
        let measured =
            self.measured.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}{unit}"));
        let met = match self.is_met() {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "not measured",
        };
        [self.what.clone(), wanted, measured, met.to_owned()]
    }
}

/// What `cargo xtask bench` is about.
pub fn targets(results: &Results) -> Vec<Target> {
    let ours = [OUR_STATES, OUR_LIFE];
    let mut targets = Vec::new();
    for name in ours {
        let measured = results.slowdown.as_ref().and_then(|slowdown| slowdown.wall(slowdown.of(name)?));
        let what = format!("{name}: connections slowed to");
        targets.push(Target::at_most(what, 1.05, "x", measured.map(|estimate| estimate.value)));
    }
    for name in ours {
        let measured = results.state_event_ns(name);
        targets.push(Target::at_most(format!("{name}: in the kernel, a state event"), 150.0, "ns", measured));
    }
    for (ours, peer, times) in [(OUR_STATES, STATES, 40.0), (OUR_LIFE, LIFE, 12.0)] {
        let what = format!("{ours}: in the kernel, a state event, below {peer}");
        targets.push(Target::at_least(what, times, results.state_event_ratio(peer, ours)));
    }
    let cpu = results.slowdown.as_ref().and_then(|slowdown| slowdown.cpu_ratio(LIFE, OUR_LIFE));
    let what = format!("{OUR_LIFE}: own CPU for a connection, below {LIFE}");
    targets.push(Target::at_least(what, 8.0, cpu.map(|estimate| estimate.value)));
    for name in ours {
        let idle =
            results.silence.as_ref().and_then(|silence| silence.tools.iter().find(|tool| tool.name == name));
        let measured = idle.map(|tool| tool.wake_ups_per_second);
        targets.push(Target::at_most(format!("{name}: idle, wake-ups a second"), 2.0, "/s", measured));
    }
    let first = results.first_events.get(OUR_STATES).map(|samples| median(samples));
    targets.push(Target::at_most(format!("{OUR_STATES}: first event after silence"), 1.0, "ms", first));
    for name in ours {
        let attached = results.starts.get(name).map(|starts| median(&starts.attached_ms));
        targets.push(Target::at_most(format!("{name}: start to first attached"), 60.0, "ms", attached));
    }
    let snapshot =
        results.snapshot.as_ref().map(|snapshot| snapshot.ours_cpu_ms.us_per(snapshot.sockets).value);
    targets.push(Target::at_most(format!("{OUR_LIFE}: snapshot, CPU for a socket"), 1.3, "µs", snapshot));
    for name in ours {
        let resident = results.memory_mib(name).map(|(resident, _)| resident);
        targets.push(Target::at_most(
            format!("{name}: resident memory after the load"),
            16.0,
            "MiB",
            resident,
        ));
    }
    targets
}

/// The table, and below it why those are missed that are.
pub fn verdict(targets: &[Target], reasons: &[(&str, &str)]) -> String {
    let mut table = Table::new(&["target", "wanted", "measured", "met"]);
    for target in targets {
        table.row(target.row());
    }
    let mut text = table.to_string();
    let missed: Vec<&Target> = targets.iter().filter(|target| target.is_met() == Some(false)).collect();
    if !missed.is_empty() {
        text.push_str("\nMissed:\n\n");
    }
    for target in missed {
        let reason = reasons.iter().find(|(what, _)| *what == target.what).map(|(_, reason)| *reason);
        let reason = reason.unwrap_or("not explained yet; the tables below say what it is made of.");
        text.push_str(&format!("- {}: {reason}\n", target.what));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{REASONS, Results, Target, targets};

    #[test]
    fn every_reason_belongs_to_a_target() {
        let targets = targets(&Results::default());
        for (what, _) in REASONS {
            assert!(targets.iter().any(|target| target.what == what), "no target {what}");
        }
    }

    #[test]
    fn nothing_is_met_by_a_run_that_measured_nothing() {
        assert!(targets(&Results::default()).iter().all(|target| target.is_met().is_none()));
    }

    #[test]
    fn a_target_is_met_at_its_limit_and_never_by_what_was_not_measured() {
        let most = |measured| Target::at_most("", 1.05, "x", measured).is_met();
        assert_eq!(most(Some(1.05)), Some(true));
        assert_eq!(most(Some(1.06)), Some(false));
        assert_eq!(most(None), None);
        assert_eq!(most(Some(f64::NAN)), None);
        let least = |measured| Target::at_least("", 12.0, measured).is_met();
        assert_eq!(least(Some(12.0)), Some(true));
        assert_eq!(least(Some(11.9)), Some(false));
    }

    #[test]
    fn a_row_has_its_units() {
        let row = Target::at_most("idle", 2.0, "/s", Some(1.0)).row();
        assert_eq!(row, ["idle", "≤ 2 /s", "1.00 /s", "yes"]);
        let row = Target::at_least("CPU", 8.0, None).row();
        assert_eq!(row, ["CPU", "≥ 8x", "-", "not measured"]);
    }
}
