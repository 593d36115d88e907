//! What came of the steps: a table, what was skipped and why, and whether all that is good enough.

use std::{
    env,
    fmt::{self, Write as _},
    time::{Duration, Instant},
};

use anyhow::{Error, Result};

use crate::live::Skip;

/// The steps so far.
#[derive(Default)]
pub struct Report {
    steps: Vec<Step>,
    skips: Vec<Skip>,
    /// Tests that passed, but not at once.
    second_tries: Vec<String>,
    /// Where nobody looks, a skip is a failure: nothing may go untested in silence.
    strict: bool,
}

struct Step {
    name: String,
    result: Result<()>,
    took: Duration,
}

impl Report {
    /// A report for CI (`strict`) or for somebody who reads it.
    pub fn new(strict: bool) -> Self {
        Self { strict, ..Self::default() }
    }

    /// A report for whoever started this process.
    pub fn here() -> Self {
        Self::new(env::var_os("CI").is_some_and(|value| value == "true"))
    }

    /// Runs a step and notes what came of it. Its value is there if it succeeded.
    pub fn step<T>(&mut self, name: &str, work: impl FnOnce() -> Result<T>) -> Option<T> {
        println!("\n== {name}");
        let start = Instant::now();
        let result = work();
        self.note(name, result, start.elapsed())
    }

    /// Notes a step that ran elsewhere.
    pub fn note<T>(&mut self, name: &str, result: Result<T>, took: Duration) -> Option<T> {
        let (value, result) = match result {
            Ok(value) => (Some(value), Ok(())),
            Err(error) => {
                println!("{name}: {error:#}");
                (None, Err(error))
            }
        };
        self.steps.push(Step { name: name.to_owned(), result, took });
        value
    }

    /// Notes that something was not done at all.
    pub fn skip(&mut self, what: &str, why: &str) {
        self.skips.push(Skip { what: what.to_owned(), why: why.to_owned(), by_kernel: false });
    }

    /// Notes what the live tests of a step skipped.
    pub fn skips_of(&mut self, step: &str, skips: Vec<Skip>) {
        self.skips
            .extend(skips.into_iter().map(|skip| Skip { what: format!("{step}: {}", skip.what), ..skip }));
    }

    /// Notes which tests of a step passed only when they ran once more.
    pub fn second_tries_of(&mut self, step: &str, tests: &[String]) {
        self.second_tries.extend(tests.iter().map(|test| format!("{step}: {test}")));
    }

    /// Whether all is well.
    pub fn success(&self) -> bool {
        let done = self.steps.iter().all(|step| step.result.is_ok());
        let tested = self.skips.iter().all(|skip| skip.by_kernel);
        done && (tested || !self.strict)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.steps.iter().map(|step| step.name.chars().count()).max().unwrap_or(0);
        writeln!(formatter, "\n== summary")?;
        for Step { name, result, took } in &self.steps {
            let word = if result.is_ok() { "ok" } else { "FAILED" };
            write!(formatter, "{name:width$}  {word:6}  {:6.1} s", took.as_secs_f64())?;
            if let Err(error) = result {
                write!(formatter, "  {}", first_line(error))?;
            }
            writeln!(formatter)?;
        }
        if !self.skips.is_empty() {
            writeln!(formatter, "\nskipped:")?;
        }
        for skip in &self.skips {
            let fatal = if self.strict && !skip.by_kernel { " (a failure with CI=true)" } else { "" };
            writeln!(formatter, "  {}: {}{fatal}", skip.what, skip.why)?;
        }
        if !self.second_tries.is_empty() {
            writeln!(formatter, "\npassed at the second try only:")?;
        }
        for test in &self.second_tries {
            writeln!(formatter, "  {test}")?;
        }
        formatter.write_char('\n')?;
        formatter.write_str(if self.success() { "all is well" } else { "FAILED" })
    }
}

fn first_line(error: &Error) -> String {
    format!("{error:#}").lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::{Report, Skip};
    use anyhow::anyhow;
    use std::time::Duration;

    fn skip(by_kernel: bool) -> Skip {
        Skip { what: "a".into(), why: "b".into(), by_kernel }
    }

    #[test]
    fn a_failed_step_fails_the_run_and_stands_in_the_table_with_its_reason() {
        let mut report = Report::new(false);
        report.note("unit", Ok(()), Duration::from_millis(1500));
        report.note::<()>("live", Err(anyhow!("first\nsecond")), Duration::ZERO);
        assert!(!report.success());
        let text = report.to_string();
        assert!(
            text.contains("unit  ok         1.5 s\n") && text.contains("live  FAILED     0.0 s  first\n"),
            "{text}"
        );
        assert!(text.ends_with("FAILED"));
    }

    #[test]
    fn a_skip_fails_in_ci_unless_the_kernel_lacks_the_hook() {
        for (strict, by_kernel, success) in
            [(false, false, true), (false, true, true), (true, true, true), (true, false, false)]
        {
            let mut report = Report::new(strict);
            report.skips_of("vm 6.12", vec![skip(by_kernel)]);
            assert_eq!(report.success(), success, "strict {strict}, by kernel {by_kernel}");
            assert!(report.to_string().contains("vm 6.12: a: b"));
        }
    }

    #[test]
    fn what_passed_at_the_second_try_is_named_and_no_failure() {
        let mut report = Report::new(true);
        report.second_tries_of("vm 6.12", &["peers::x".to_owned()]);
        assert!(report.success());
        assert!(report.to_string().contains("second try only:\n  vm 6.12: peers::x\n"));
    }

    #[test]
    fn whole_steps_that_are_skipped_are_listed() {
        let mut report = Report::new(true);
        report.skip("live", "not root");
        assert!(report.to_string().contains("  live: not root (a failure with CI=true)\n"));
        assert!(!report.success());
    }
}
