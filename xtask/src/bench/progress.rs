//! How far it is: one line on a terminal, written over and over; elsewhere one line for each part.

use std::io::{IsTerminal as _, Write as _, stderr};

use anyhow::{Context as _, Result};

/// How often a step is tried: on a busy machine a tool may once not be ready in time, and that must not cost
/// the whole run.
const TRIES: u32 = 3;

pub struct Progress {
    part: &'static str,
    steps: u32,
    done: u32,
    terminal: bool,
}

impl Progress {
    pub fn new(part: &'static str, steps: u32) -> Self {
        let terminal = stderr().is_terminal();
        if !terminal {
            eprintln!("measuring: {part} …");
        }
        Self { part, steps, done: 0, terminal }
    }

    /// Does the next step; once more if it fails, and says so.
    pub fn step<T>(&mut self, of: &str, mut step: impl FnMut() -> Result<T>) -> Result<T> {
        self.show();
        for _ in 1..TRIES {
            match step() {
                Ok(result) => return Ok(result),
                Err(error) => eprintln!("once more: {}, {of}: {error:#}", self.part),
            }
        }
        step().with_context(|| format!("{}, {of}", self.part))
    }

    fn show(&mut self) {
        self.done += 1;
        if self.terminal {
            eprint!("\r\x1b[2Kmeasuring: {} {}/{}", self.part, self.done, self.steps);
            // A lost progress line is no reason to stop.
            let _ = stderr().flush();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.terminal {
            eprint!("\r\x1b[2K");
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::Progress;

    #[test]
    fn a_step_that_fails_is_tried_again_and_in_the_end_named() {
        let mut progress = Progress::new("start", 2);
        let mut failures = 2;
        let result = progress.step("tcplife", || {
            if failures > 0 {
                failures -= 1;
                bail!("not ready");
            }
            Ok(7)
        });
        assert_eq!(result.unwrap(), 7);
        let error = progress.step("tcplife", || -> anyhow::Result<()> { bail!("not ready") }).unwrap_err();
        assert_eq!(format!("{error:#}"), "start, tcplife: not ready");
    }
}
