//! How far it is: one line on a terminal, written over and over; elsewhere one line for each part.

use std::io::{IsTerminal as _, Write as _, stderr};

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

    /// The next step begins.
    pub fn step(&mut self) {
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
