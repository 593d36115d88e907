//! From the bytes in the ring to events at the client, on one core, without kernel and network: an example of the
//! agent's that measures itself, built as the product is.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{
    figures::{Estimate, median},
    table::Table,
};
use crate::{
    build, cargo, process,
    setup::{self, Scope},
};

/// The ways that targets are about, as the example calls them.
/// The naive one of those that makes the most of its API: the others are slower for the allocator's sake.
const NAIVE: &str = "naive, buffer and message used again";
const OURS: &str = "compact: events shown at the client";
const DEFAULT: &str = "Default";
const LOOK_UP: &str = "look-up";

/// Builds an example of the agent's, static as the product.
pub fn example(name: &str) -> Result<PathBuf> {
    let target = setup::ensure(Scope::Build)?;
    let mut command = cargo::command();
    command.args(["build", "--release", "--package", "agent", "--example", name]);
    build::for_target(&mut command, &target);
    let executables = cargo::build(&mut command)?;
    let example = executables.into_iter().find(|executable| executable.name == name);
    Ok(example.with_context(|| format!("cargo built no example {name}"))?.path)
}

/// What the example measured.
#[derive(Debug, Default)]
pub struct Pipeline {
    ways: Vec<Way>,
}

/// One way of events, or a part of it.
#[derive(Debug, PartialEq)]
struct Way {
    /// What is sent.
    mix: String,
    name: String,
    /// An event's, on the wire; 0 where nothing is encoded.
    bytes: f64,
    /// Nanoseconds an event, of each round.
    ns: Vec<f64>,
}

/// Runs it and prints what it says: `cargo xtask bench pipeline`.
pub fn run() -> Result<()> {
    let pipeline = measure(&example("pipeline")?)?;
    println!("{}\n{}", pipeline.table(), pipeline.look_ups());
    Ok(())
}

/// Runs the example.
pub fn measure(example: &Path) -> Result<Pipeline> {
    let text = process::output(&mut Command::new(example))?;
    let ways = text.lines().map(|line| way(line).with_context(|| format!("the pipeline printed `{line}`")));
    Ok(Pipeline { ways: ways.collect::<Result<_>>()? })
}

fn way(line: &str) -> Option<Way> {
    let mut parts = line.split('\t');
    let (mix, name) = (parts.next()?.to_owned(), parts.next()?.to_owned());
    let bytes = parts.next()?.parse().ok()?;
    let ns: Vec<f64> = parts.next()?.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
    (parts.next().is_none() && !ns.is_empty()).then_some(Way { mix, name, bytes, ns })
}

impl Pipeline {
    fn way(&self, mix: &str, name: &str) -> Option<&Way> {
        self.ways.iter().find(|way| way.mix == mix && way.name == name)
    }

    /// Events a second on one core, in millions, of what a request without kinds gets.
    pub fn rate(&self) -> Option<f64> {
        Some(1e3 / median(&self.way(DEFAULT, OURS)?.ns))
    }

    /// How many times as fast as the naive way that is.
    pub fn times_naive(&self) -> Option<f64> {
        let (naive, ours) = (self.way(DEFAULT, NAIVE)?, self.way(DEFAULT, OURS)?);
        Some(naive.times(ours)?.value)
    }

    /// Nanoseconds of a look-up where so many containers are known.
    pub fn look_up_ns(&self, known: u32) -> Option<f64> {
        Some(median(&self.way(LOOK_UP, &known.to_string())?.ns))
    }

    /// All ways.
    pub fn table(&self) -> Table {
        let mut table = Table::new(&[
            "events, way",
            "ns/event [95 %]",
            "least",
            "M events/s",
            "times naive [95 %]",
            "bytes/event",
        ]);
        for way in self.ways.iter().filter(|way| way.mix != LOOK_UP) {
            let naive = self.way(&way.mix, NAIVE).and_then(|naive| naive.times(way));
            table.row([
                format!("{}, {}", way.mix, way.name),
                way.estimate(),
                format!("{:.0}", way.least()),
                format!("{:.2}", 1e3 / median(&way.ns)),
                naive.map_or_else(|| "-".to_owned(), |times| format!("{times:.1}")),
                if way.bytes > 0.0 { format!("{:.1}", way.bytes) } else { "-".to_owned() },
            ]);
        }
        table
    }

    /// The look-ups.
    pub fn look_ups(&self) -> Table {
        let mut table = Table::new(&["containers known", "ns/event [95 %]", "least"]);
        for way in self.ways.iter().filter(|way| way.mix == LOOK_UP) {
            table.row([way.name.clone(), way.estimate(), format!("{:.1}", way.least())]);
        }
        table
    }
}

impl Way {
    fn estimate(&self) -> String {
        Estimate::median(&self.ns).map_or_else(|| "-".to_owned(), |ns| format!("{ns:.1}"))
    }

    fn least(&self) -> f64 {
        self.ns.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// How many times `other` this takes, round by round.
    fn times(&self, other: &Self) -> Option<Estimate> {
        Estimate::median(&self.ns.iter().zip(&other.ns).map(|(own, other)| own / other).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::{Pipeline, way};

    #[test]
    fn the_examples_lines_are_read() {
        let lines = [
            "Default\tnaive, buffer and message used again\t480.0\t2000.0 2400.0 2200.0",
            "Default\tcompact: events shown at the client\t43.9\t500.0 600.0 500.0",
            "look-up\t10000\t0.0\t9.5 9.0 9.1",
        ];
        let pipeline = Pipeline { ways: lines.iter().map(|line| way(line).unwrap()).collect() };
        assert_eq!(pipeline.rate(), Some(2.0));
        assert_eq!(pipeline.times_naive(), Some(4.0));
        assert_eq!(pipeline.look_up_ns(10_000), Some(9.1));
        assert_eq!(pipeline.look_up_ns(100_000), None);
    }

    #[test]
    fn other_lines_are_refused() {
        for line in
            ["", "Default\tx\t1.0", "Default\tx\t1.0\t", "Default\tx\ty\t1.0", "Default\tx\t1.0\t2.0\t3"]
        {
            assert_eq!(way(line), None, "{line:?}");
        }
    }
}
