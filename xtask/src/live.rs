//! The live tests: real programs loaded into a real kernel, here or in a guest. The contract with them
//! (`cli/tests/live`):
//!
//! - `SOCKEYE_BIN` is the static binary under test; they run as root, one at a time;
//! - a test that cannot run prints `SKIP <test>: <reason>`; only a reason that begins with
//!   [`LACKS`] is good enough for CI;
//! - with `SOCKEYE_EXPECT=refusal`, on a kernel that is too old, only the module `refusal` runs, elsewhere
//!   all others.

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    build,
    cargo::{self, Executable},
    process,
    setup::Target,
    vm::{Boot, Ended, Guest},
};

/// How a skip's reason begins that no machine set-up could change.
const LACKS: &str = "this kernel lacks";

/// As many failed tests are tried once more. More is no accident of a busy machine.
const SECOND_TRIES: usize = 4;

/// Guests for all of them: where the emulation breaks one, the next goes on behind it.
const GUESTS: usize = 6;

/// Seconds for all of them on this machine.
const LIMIT_SECONDS: &str = "1200";

/// Where things are in a guest.
const GUEST_SOCKEYE: &str = "/usr/bin/sockeye";
const GUEST_TESTS: &str = "/sockeye/live";

/// The two executables.
pub struct Live {
    sockeye: PathBuf,
    tests: Executable,
}

/// What came of one run.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Tests that passed, those among them that skipped.
    pub passed: usize,
    /// Whether the executable was content.
    pub success: bool,
    /// What was skipped.
    pub skips: Vec<Skip>,
    /// Tests that failed.
    pub failed: Vec<String>,
    /// Tests that came to their end.
    finished: Vec<String>,
    /// Tests that failed at first and passed when they ran once more by themselves.
    pub second_try: Vec<String>,
    /// How long each test took, as seen from here.
    times: Vec<(Duration, String)>,
    last: Option<Instant>,
}

/// A test that did not do its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skip {
    /// Its name.
    pub what: String,
    /// Why.
    pub why: String,
    /// Nothing that could be set up would change it.
    pub by_kernel: bool,
}

impl Live {
    /// From executables that were built already.
    pub fn new(sockeye: PathBuf, tests: Executable) -> Self {
        Self { sockeye, tests }
    }

    /// Builds them.
    pub fn build(target: &Target, sockeye: PathBuf) -> Result<Self> {
        let mut command = cargo::command();
        command.args(["test", "--no-run", "--package", "cli", "--test", "live"]);
        build::for_target(&mut command, target);
        let tests = cargo::build(&mut command)?.into_iter().find(Executable::is_live);
        Ok(Self::new(sockeye, tests.context("cargo built no live tests")?))
    }

    /// Runs them on the running kernel, those few that failed a second time by themselves.
    pub fn here(&self, filter: &[String]) -> Result<Outcome> {
        let outcome = self.once_here(filter)?;
        outcome.or_second_try(|failed| self.once_here(failed))
    }

    /// Runs them in a guest, those few that failed a second time in one of their own; gives every line to
    /// `line`.
    pub fn in_guest(&self, boot: &Boot, filter: &[String], mut line: impl FnMut(&str)) -> Result<Outcome> {
        let outcome = self.once_in_guest(boot, filter, &mut line)?;
        outcome.or_second_try(|failed| self.once_in_guest(boot, failed, line))
    }

    fn once_here(&self, filter: &[String]) -> Result<Outcome> {
        let mut command = Command::new("timeout");
        command
            .args(["--foreground", "--kill-after=10", LIMIT_SECONDS])
            .arg(&self.tests.path)
            .args(arguments(false, filter))
            .current_dir(&self.tests.folder)
            .env("SOCKEYE_BIN", &self.sockeye)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start the live tests")?;
        let stdout = child.stdout.take().context("the live tests have no stdout")?;
        let mut outcome = Outcome::default();
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line.context("cannot read what the live tests write")?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            outcome.read(&line);
        }
        let status = child.wait().context("cannot wait for the live tests")?;
        if status.code() == Some(124) {
            bail!("the live tests took longer than {LIMIT_SECONDS} s");
        }
        outcome.success = status.success();
        Ok(outcome)
    }

    fn once_in_guest(&self, boot: &Boot, filter: &[String], mut line: impl FnMut(&str)) -> Result<Outcome> {
        let refused = boot.series.is_refused();
        let mut arguments = arguments(refused, filter);
        let mut outcome = Outcome::default();
        for _ in 0..GUESTS {
            let command: Vec<String> =
                [GUEST_TESTS.to_owned()].into_iter().chain(arguments.clone()).collect();
            let mut guest = Guest::new(&command)
                .with_file(&self.sockeye, GUEST_SOCKEYE)
                .with_file(&self.tests.path, GUEST_TESTS)
                .with_variable("SOCKEYE_BIN", GUEST_SOCKEYE)
                .with_variable("SOCKEYE_EMULATED", "1");
            if refused {
                guest = guest.with_variable("SOCKEYE_EXPECT", "refusal");
            }
            let ended = boot.run(&guest, |text| {
                outcome.read(text);
                line(text);
            })?;
            if let Ended::Exit(status) = ended {
                outcome.success = status == 0 && outcome.failed.is_empty();
                return Ok(outcome);
            }
            // What those printed that came to their end is lost with the guest: also why they skipped.
            let left = outcome.left_of(&self.names(&arguments)?);
            line(&format!("{} tests are left for another guest", left.len()));
            arguments = exactly(&left);
        }
        bail!("the emulation broke {GUESTS} guests, one after the other")
    }

    /// The names of the tests that these arguments choose.
    fn names(&self, arguments: &[String]) -> Result<Vec<String>> {
        let mut command = Command::new(&self.tests.path);
        let list = process::output(command.args(arguments).args(["--list", "--format", "terse"]))?;
        Ok(list.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
    }
}

/// Arguments for the executable. What tests that pass print is shown, too: their skips are in it.
fn arguments(refused: bool, filter: &[String]) -> Vec<String> {
    let mut arguments = HOW.map(str::to_owned).to_vec();
    if refused {
        arguments.push("refusal::".to_owned());
    } else {
        arguments.extend(["--skip".to_owned(), "refusal::".to_owned()]);
        arguments.extend_from_slice(filter);
    }
    arguments
}

/// One at a time; what tests print that pass is shown, too.
const HOW: [&str; 3] = ["--test-threads=1", "--show-output", "--color=never"];

/// Arguments for these tests and no others.
fn exactly(tests: &[String]) -> Vec<String> {
    HOW.into_iter().chain(["--exact"]).map(str::to_owned).chain(tests.iter().cloned()).collect()
}

impl Outcome {
    /// Those of the tests that did not come to their end.
    fn left_of(&self, tests: &[String]) -> Vec<String> {
        tests.iter().filter(|test| !self.finished.contains(test)).cloned().collect()
    }

    /// Reads one line of the executable's output.
    fn read(&mut self, line: &str) {
        if line.starts_with("running ") {
            self.last = Some(Instant::now());
        }
        if let Some((test, end)) = line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... ")) {
            if let Some(last) = self.last.replace(Instant::now()) {
                self.times.push((last.elapsed(), test.to_owned()));
            }
            if end.starts_with("FAILED") {
                self.failed.push(test.to_owned());
            }
            if end.starts_with("FAILED") || end.starts_with("ok") {
                self.finished.push(test.to_owned());
                self.passed = self.finished.len() - self.failed.len();
            }
        }
        if let Some(rest) = line.strip_prefix("SKIP ")
            && let Some((what, why)) = rest.split_once(": ")
        {
            let (what, why) = (what.trim().to_owned(), why.trim().to_owned());
            let by_kernel = why.starts_with(LACKS);
            self.skips.push(Skip { what, why, by_kernel });
        }
    }

    /// A few failed tests once more, by themselves: the tests measure time, and a machine that emulates others
    /// stands still now and then. What passes only then is named at the end of all tests, not hidden.
    fn or_second_try(mut self, again: impl FnOnce(&[String]) -> Result<Self>) -> Result<Self> {
        if self.success || self.failed.is_empty() || self.failed.len() > SECOND_TRIES {
            return Ok(self);
        }
        let mut filter = vec!["--exact".to_owned()];
        filter.extend_from_slice(&self.failed);
        let second = again(&filter)?;
        self.success = second.success && second.passed == self.failed.len();
        if self.success {
            self.second_try = std::mem::take(&mut self.failed);
        }
        Ok(self)
    }

    /// One line with the tests that took longest: where the time of a run goes.
    pub fn slowest(&self) -> String {
        let mut times: Vec<&(Duration, String)> = self.times.iter().collect();
        times.sort_by(|a, b| b.cmp(a));
        let times = times.iter().take(5).map(|(took, test)| format!("{test} {:.0} s", took.as_secs_f64()));
        format!("slowest: {}", times.collect::<Vec<_>>().join(", "))
    }

    /// An error if a test failed, or if there was none where nobody filtered: an executable without tests
    /// must not look like a success.
    pub fn check(&self, filter: &[String]) -> Result<()> {
        if !self.success {
            bail!("live tests failed");
        }
        if self.passed == 0 && filter.is_empty() {
            bail!("no live test ran");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Outcome, arguments, exactly};

    fn read(text: &str) -> Outcome {
        let mut outcome = Outcome { success: true, ..Outcome::default() };
        text.lines().for_each(|line| outcome.read(line));
        outcome
    }

    #[test]
    fn skips_are_collected_and_those_by_the_kernel_told_apart() {
        let outcome = read(
            "test owner::x ... ok\nSKIP owner::x: this kernel lacks fexit/inet_csk_accept\nSKIP journal: no journald\n\
             test journal ... ok",
        );
        let skips: Vec<_> = outcome.skips.iter().map(|skip| (skip.what.as_str(), skip.by_kernel)).collect();
        assert_eq!(skips, [("owner::x", true), ("journal", false)]);
        assert_eq!(outcome.passed, 2);
        assert!(outcome.check(&[]).is_ok());
    }

    #[test]
    fn where_a_guest_breaks_the_next_goes_on_with_the_test_that_was_running() {
        let outcome = read("test a::b ... FAILED\ntest a::c ... ok\ntest a::d ... ");
        let all = ["a::b", "a::c", "a::d", "a::e"].map(str::to_owned);
        assert_eq!(outcome.left_of(&all), ["a::d", "a::e"]);
        assert_eq!((outcome.passed, &outcome.failed[..]), (1, &["a::b".to_owned()][..]));
        assert!(exactly(&all[..1]).ends_with(&["--exact".to_owned(), "a::b".to_owned()]));
    }

    #[test]
    fn a_few_failures_get_a_second_try_and_are_named() {
        let failed = || Outcome { success: false, ..read("test a::b ... FAILED\ntest a::c ... ok") };
        let passes = |filter: &[String]| {
            assert_eq!(filter, ["--exact", "a::b"]);
            Ok(read("test a::b ... ok\ntest result: ok. 1 passed; 0 failed"))
        };
        let outcome = failed().or_second_try(passes).unwrap();
        assert_eq!((outcome.success, outcome.second_try), (true, vec!["a::b".to_owned()]));

        let fails_again = |_: &[String]| Ok(Outcome { success: false, ..read("test a::b ... FAILED") });
        let outcome = failed().or_second_try(fails_again).unwrap();
        assert!(!outcome.success && outcome.second_try.is_empty());

        let ran_nothing = |_: &[String]| Ok(read("test result: ok. 0 passed; 0 failed"));
        assert!(!failed().or_second_try(ran_nothing).unwrap().success);
    }

    #[test]
    fn many_failures_get_no_second_try() {
        let lines: String = (0..5).map(|test| format!("test t{test} ... FAILED\n")).collect();
        let outcome = Outcome { success: false, ..read(&lines) };
        assert!(!outcome.or_second_try(|_| panic!("tried again")).unwrap().success);
    }

    #[test]
    fn a_run_without_tests_is_no_success() {
        let nothing = read("test result: ok. 0 passed; 0 failed; 0 ignored");
        assert!(nothing.check(&[]).is_err() && read("").check(&[]).is_err());
        assert!(nothing.check(&["a filter that matches nothing".to_owned()]).is_ok());
    }

    #[test]
    fn old_kernels_run_the_refusal_only_and_others_all_but_it() {
        let filter = ["tcplife".to_owned()];
        assert!(arguments(true, &filter).ends_with(&["refusal::".to_owned()]));
        assert!(arguments(false, &filter).ends_with(&[
            "--skip".into(),
            "refusal::".into(),
            "tcplife".into()
        ]));
    }
}
