//! Where there is no poll(2): standard output as it is. Ctrl-C ends the process there without our doing.

use std::{
    io::{self, Write},
    time::Duration,
};

/// Standard output.
pub struct Patient(io::Stdout);

impl Patient {
    /// Standard output, for as long as it takes.
    pub fn of_stdout(_: Option<Duration>) -> io::Result<Self> {
        Ok(Self(io::stdout()))
    }
}

impl Write for Patient {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
