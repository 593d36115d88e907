//! The live tests under every kernel of the matrix.

use std::{
    collections::VecDeque,
    io::Write as _,
    sync::{Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Error, Result};

use super::report::Report;
use crate::{
    live::{Live, Outcome},
    vm::{self, Boot, Series},
};

/// Kernels and lockdown modes: the newest that is refused, Debian's stable ones, long-term ones, the newest;
/// and one under the strictest lockdown, where everybody else's tools fail.
const MATRIX: [(Series, &str); 6] = [
    (Series::Numbered(5, 10), "none"),
    (Series::Numbered(6, 1), "none"),
    (Series::Numbered(6, 12), "none"),
    (Series::Numbered(6, 18), "none"),
    (Series::Newest, "none"),
    (Series::Numbered(6, 12), "confidentiality"),
];

/// Guests at the same time.
const GUESTS: usize = 2;

/// For the live tests of one guest: about three times what they take on two idle cores.
const LIMIT: Duration = Duration::from_secs(40 * 60);

struct Run {
    name: String,
    output: String,
    result: Result<Outcome>,
    took: Duration,
}

/// Runs the matrix and notes one step for each guest. A guest's output is shown in one piece.
pub fn run(live: &Live, filter: &[String], report: &mut Report) {
    if let Some(why) = vm::missing() {
        report.skip("virtual machines", &why);
        return;
    }
    let mut boots = VecDeque::new();
    for boot in MATRIX.map(|(series, lockdown)| Boot::new(series, lockdown, LIMIT)) {
        match boot.fetch() {
            Ok(()) => boots.push_back(boot),
            Err(error) => report.skip(&boot.name(), &format!("{error:#}")),
        }
    }
    let boots = Mutex::new(boots);
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..GUESTS {
            let (sender, boots) = (sender.clone(), &boots);
            scope.spawn(move || {
                while let Some(boot) = next(boots) {
                    // The receiver lives as long as this scope.
                    let _ = sender.send(guest(live, &boot, filter));
                }
            });
        }
        drop(sender);
        for run in receiver {
            note(run, filter, report);
        }
    });
}

fn next(boots: &Mutex<VecDeque<Boot>>) -> Option<Boot> {
    boots.lock().ok()?.pop_front()
}

fn guest(live: &Live, boot: &Boot, filter: &[String]) -> Run {
    let start = Instant::now();
    let mut output = String::new();
    // For whoever cannot wait for its end.
    let mut log = boot.log().ok();
    let result = live.in_guest(boot, filter, |line| {
        output.push_str(line);
        output.push('\n');
        if let Some(log) = &mut log {
            let _ = writeln!(log, "{:5.0} {line}", start.elapsed().as_secs_f64());
        }
    });
    Run { name: boot.name(), output, result, took: start.elapsed() }
}

fn note(run: Run, filter: &[String], report: &mut Report) {
    let Run { name, output, result, took } = run;
    println!("\n== {name}\n{output}");
    let mut skips = Vec::new();
    let mut second_tries = Vec::new();
    let result: Result<(), Error> = result.and_then(|outcome| {
        println!("{}", outcome.slowest());
        let checked = outcome.check(filter);
        (skips, second_tries) = (outcome.skips, outcome.second_try);
        checked
    });
    report.note(&name, result, took);
    report.skips_of(&name, skips);
    report.second_tries_of(&name, &second_tries);
}
