//! What a tool writes, through a pipe: waited for line by line.

use std::{
    io::{ErrorKind, PipeReader, Read as _, pipe},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::{OFlags, fcntl_setfl},
    time::Timespec,
};

use super::running::Output;

/// The reading end.
pub struct Lines {
    pipe: PipeReader,
    text: Vec<u8>,
}

impl Lines {
    /// The reading end, and the other one for the tool.
    pub fn new() -> Result<(Self, Output)> {
        let (reader, writer) = pipe().context("cannot make a pipe")?;
        fcntl_setfl(&reader, OFlags::NONBLOCK).context("cannot make a pipe non-blocking")?;
        Ok((Self { pipe: reader, text: Vec::new() }, Output::Lines(writer.into())))
    }

    /// Forgets everything that is there.
    pub fn clear(&mut self) -> Result<()> {
        self.fill()?;
        self.text.clear();
        Ok(())
    }

    /// When a line with this word was there to be read; `None` if it did not come in time.
    pub fn wait_for(&mut self, word: &str, within: Duration) -> Result<Option<Instant>> {
        let asked = Instant::now();
        loop {
            self.fill()?;
            let now = Instant::now();
            if has_word(&self.text, word) {
                return Ok(Some(now));
            }
            let Some(left) = within.checked_sub(now - asked) else { return Ok(None) };
            let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
            let mut files = [PollFd::new(&self.pipe, PollFlags::IN)];
            poll(&mut files, Some(&left)).context("cannot wait for a line")?;
        }
    }

    fn fill(&mut self) -> Result<()> {
        let mut buffer = [0; 4096];
        loop {
            match self.pipe.read(&mut buffer) {
                // The tool has ended; whoever waits finds out by the time.
                Ok(0) => return Ok(()),
                Ok(count) => self.text.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("cannot read what a tool writes"),
            }
        }
    }
}

/// Whether a whole line has the word.
fn has_word(text: &[u8], word: &str) -> bool {
    let Some(end) = text.iter().rposition(|&byte| byte == b'\n') else { return false };
    text[..end].split(u8::is_ascii_whitespace).any(|found| found == word.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write as _,
        time::{Duration, Instant},
    };

    use super::{Lines, Output, has_word};

    #[test]
    fn a_word_counts_when_its_line_is_whole() {
        assert!(has_word(b"PID LPORT\n17 8080\n", "8080"));
        assert!(!has_word(b"PID LPORT\n17 8080", "8080"));
        assert!(!has_word(b"17 18080\n", "8080"));
    }

    #[test]
    fn a_line_is_waited_for_and_one_that_does_not_come_is_none() {
        let (mut lines, output) = Lines::new().unwrap();
        let Output::Lines(file) = output else { panic!("no pipe") };
        let mut writer = std::fs::File::from(file);
        writer.write_all(b"a 1\n").unwrap();
        let before = Instant::now();
        assert!(lines.wait_for("1", Duration::from_secs(5)).unwrap().unwrap() >= before);
        lines.clear().unwrap();
        assert_eq!(lines.wait_for("1", Duration::from_millis(1)).unwrap(), None);
    }
}
