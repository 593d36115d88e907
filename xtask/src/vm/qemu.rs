//! QEMU with software emulation: boots a guest, passes its lines on, knows how it ended.

use std::{
    collections::VecDeque,
    fs,
    io::Read as _,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::{process, vm::kernel::Kernel};

/// Marks in the guest's output, written by its init.
const UP: &str = "sockeye-vm: up ";
const EXIT: &str = "sockeye-vm: exit ";

/// A guest is up within seconds; one that is not by then never will be.
const BOOT_LIMIT: Duration = Duration::from_secs(120);

/// About one boot in a hundred dies early, because multi-threaded emulation loses a race with the kernel's
/// patching of its own text. To attach a tracepoint is to patch text, so a long run of live tests can meet it,
/// too. Those are tried again, and nothing else: after the init every other failure counts.
const BOOTS: usize = 3;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this status.
    Exit(i32),
    /// The emulation broke the guest meanwhile.
    Broken,
}

/// How the kernel's console tells of that race: no bug of a kernel or of a program looks so.
const LOST_RACE: &str = "Oops: int3";

/// How much of the console an error shows.
const CONSOLE_LINES: usize = 25;

/// The machine to boot.
pub struct Machine<'a> {
    pub kernel: &'a Kernel,
    /// The initramfs.
    pub initramfs: &'a Path,
    /// A file for the kernel's console.
    pub console: &'a Path,
    /// More words for the kernel's command line.
    pub append: &'a str,
    /// How long the command may take.
    pub limit: Duration,
}

/// How one boot ended.
enum End {
    /// The command's exit status.
    Exit(i32),
    /// QEMU ended, or the guest did not come up, before the init had started.
    NotUp,
    /// The kernel died or was reset while the command ran.
    Died,
    /// The limit was over.
    TooLong,
}

impl Machine<'_> {
    /// Boots, gives every line of the command to `line`, and tells how it ended.
    pub fn run(&self, mut line: impl FnMut(&str)) -> Result<Ended> {
        let mut what = "did not come up";
        for boot in 1..=BOOTS {
            match self.boot(&mut line)? {
                End::Exit(status) => return Ok(Ended::Exit(status)),
                End::NotUp if boot < BOOTS => {
                    eprintln!("kernel {}: the guest died before its init, trying again", self.kernel.release);
                    continue;
                }
                End::NotUp => {}
                End::Died if self.lost_race() => {
                    eprintln!("kernel {}: the emulation broke the guest", self.kernel.release);
                    return Ok(Ended::Broken);
                }
                End::Died => what = "died",
                End::TooLong => what = "took too long",
            }
            break;
        }
        bail!(
            "kernel {}: the guest {what}; the last of its console ({}):\n{}",
            self.kernel.release,
            self.console.display(),
            self.last_of_console()
        )
    }

    fn boot(&self, line: &mut impl FnMut(&str)) -> Result<End> {
        let mut qemu = self.start()?;
        let stdout = qemu.0.stdout.take().context("QEMU has no stdout")?;
        let pieces = read_pieces(stdout);
        let mut pending = Vec::new();
        let mut up = false;
        let mut deadline = Instant::now() + BOOT_LIMIT;
        loop {
            match pieces.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(piece) => pending.extend_from_slice(&piece),
                Err(RecvTimeoutError::Timeout) if !up => return Ok(End::NotUp),
                Err(RecvTimeoutError::Disconnected) if !up => return qemu.not_up(),
                Err(reason) => {
                    // What the command had begun to say: it names the test that hangs.
                    line(&String::from_utf8_lossy(&pending));
                    let timeout = reason == RecvTimeoutError::Timeout;
                    return Ok(if timeout { End::TooLong } else { End::Died });
                }
            }
            while let Some(end) = pending.iter().position(|&byte| byte == b'\n') {
                let text: Vec<u8> = pending.drain(..=end).collect();
                let text = String::from_utf8_lossy(&text);
                let text = text.trim_end_matches(['\n', '\r']);
                if !up {
                    up = text.starts_with(UP);
                    if up {
                        deadline = Instant::now() + self.limit;
                    }
                    continue;
                }
                // The command's last line may lack its end.
                let Some((rest, status)) = text.split_once(EXIT) else {
                    line(text);
                    continue;
                };
                if !rest.is_empty() {
                    line(rest);
                }
                let status = status.trim().parse().context("the guest's init wrote no exit status")?;
                return Ok(End::Exit(status));
            }
        }
    }

    fn start(&self) -> Result<Running> {
        let program = process::find("qemu-system-x86_64")
            .context("qemu-system-x86_64 is missing (Debian package qemu-system-x86)")?;
        let child = Command::new(program)
            .args(["-accel", "tcg,thread=multi", "-cpu", self.kernel.processor(), "-smp", "2", "-m", "2G"])
            .args(["-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none", "-no-reboot"])
            .args(["-serial", &format!("file:{}", self.console.display()), "-serial", "stdio"])
            .args(["-device", "virtio-rng-pci"])
            .arg("-kernel")
            .arg(&self.kernel.image)
            .arg("-initrd")
            .arg(self.initramfs)
            .arg("-append")
            .arg(format!(
                "console=ttyS0 quiet loglevel=4 panic=-1 oops=panic random.trust_cpu=on mitigations=off nokaslr \
                 tsc=reliable {}",
                self.append
            ))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start QEMU")?;
        Ok(Running(child))
    }

    fn lost_race(&self) -> bool {
        self.console().contains(LOST_RACE)
    }

    fn console(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.console).unwrap_or_default()).into_owned()
    }

    fn last_of_console(&self) -> String {
        let text = self.console();
        let mut last = VecDeque::new();
        for line in text.lines().map(|line| line.trim_matches('\r')).filter(|line| !line.trim().is_empty()) {
            if last.len() == CONSOLE_LINES {
                last.pop_front();
            }
            last.push_back(line);
        }
        last.make_contiguous().join("\n")
    }
}

/// A QEMU that ends when nobody holds it any more.
struct Running(Child);

impl Running {
    /// QEMU ended before the init was up: by itself, or because it could not run such a machine at all.
    fn not_up(&mut self) -> Result<End> {
        let status = self.0.wait().context("cannot wait for QEMU")?;
        if !status.success() {
            bail!("QEMU failed ({status}); its words are above");
        }
        Ok(End::NotUp)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the guest writes, from a thread of its own: reading a pipe has no time limit.
fn read_pieces(mut stdout: ChildStdout) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = stdout.read(&mut buffer) {
            if sender.send(buffer[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}
