//! `cargo xtask vm`: a command, or the live tests, under a kernel of Debian's archive in QEMU.

mod guest;
mod initramfs;
mod kernel;
mod qemu;

use std::{
    fs::{self, File},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

pub use self::{
    guest::{Guest, missing},
    kernel::Series,
    qemu::Ended,
};
use crate::{
    build,
    live::Live,
    setup::{self, Scope},
    workspace,
};

#[derive(clap::Args)]
pub struct Arguments {
    /// The kernel's series: 5.10, 6.1, 6.12, 6.18 …, or newest
    kernel: Series,
    /// The kernel's lockdown mode
    #[arg(long, value_parser = ["none", "integrity", "confidentiality"], default_value = "none")]
    lockdown: String,
    /// Seconds that the command may take
    #[arg(long, default_value_t = 2400, value_name = "SECONDS")]
    limit: u64,
    /// Put a file or folder into the guest, by default into /root
    #[arg(long = "file", value_name = "PATH[:PATH IN THE GUEST]")]
    files: Vec<String>,
    /// Look for a newer kernel of the series, too
    #[arg(long)]
    update: bool,
    /// Only live tests whose names contain this
    #[arg(long, value_name = "FILTER", conflicts_with = "command")]
    only: Vec<String>,
    /// What to run instead of the live tests: one word is a line for the shell, more are a program and its
    /// arguments; sockeye is on PATH
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

pub fn main(arguments: &Arguments) -> Result<ExitCode> {
    let target = setup::ensure(Scope::Everything)?;
    let sockeye = build::sockeye()?;
    let boot = Boot::new(arguments.kernel, &arguments.lockdown, Duration::from_secs(arguments.limit));
    if arguments.update {
        kernel::get(arguments.kernel, true)?;
    }
    let print = |line: &str| println!("{line}");
    if arguments.command.is_empty() {
        let outcome = Live::build(&target, sockeye)?.in_guest(&boot, &arguments.only, print)?;
        println!("{}", outcome.slowest());
        outcome.check(&arguments.only)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut guest = Guest::new(&arguments.command).with_file(&sockeye, "/usr/bin/sockeye");
    for file in &arguments.files {
        let (from, to) = file.split_once(':').map_or((file.as_str(), None), |(from, to)| (from, Some(to)));
        let from = PathBuf::from(from);
        let name = from.file_name().with_context(|| format!("{file}: no file name"))?.to_string_lossy();
        guest = guest.with_file(&from, &to.map_or_else(|| format!("/root/{name}"), str::to_owned));
    }
    let status = match boot.run(&guest, print)? {
        Ended::Exit(status) => status,
        Ended::Broken => bail!("the emulation broke the guest: try again"),
    };
    Ok(ExitCode::from(u8::try_from(status).unwrap_or(u8::MAX)))
}

/// Which kernel, and how.
pub struct Boot {
    pub series: Series,
    /// `none`, `integrity` or `confidentiality`.
    pub lockdown: String,
    /// How long the command may take.
    pub limit: Duration,
}

impl Boot {
    /// Nothing is booted yet.
    pub fn new(series: Series, lockdown: &str, limit: Duration) -> Self {
        Self { series, lockdown: lockdown.to_owned(), limit }
    }

    /// Its name in a report.
    pub fn name(&self) -> String {
        match self.lockdown.as_str() {
            "none" => format!("live tests, kernel {}", self.series),
            mode => format!("live tests, kernel {}, lockdown {mode}", self.series),
        }
    }

    /// Gets the kernel into the cache, so that a machine without a network is told apart from a failure.
    pub fn fetch(&self) -> Result<()> {
        kernel::get(self.series, false).map(|_| ())
    }

    /// A file for what it writes while it runs.
    pub fn log(&self) -> Result<File> {
        let path = folder()?.join(format!("{}-{}.log", self.series, self.lockdown));
        File::create(&path).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Boots a guest, gives its lines to `line`, and tells how its command ended.
    pub fn run(&self, guest: &Guest, line: impl FnMut(&str)) -> Result<Ended> {
        let kernel = kernel::get(self.series, false)?;
        let folder = folder()?;
        // By process: two of them may run the same kernel at the same time.
        let name = format!("{}-{}-{}", self.series, self.lockdown, std::process::id());
        let initramfs = folder.join(format!("{name}.cpio"));
        let console = folder.join(format!("{name}.console"));
        fs::write(&initramfs, guest.initramfs(&kernel)?)
            .with_context(|| format!("cannot write {}", initramfs.display()))?;
        let append =
            if self.lockdown == "none" { String::new() } else { format!("lockdown={}", self.lockdown) };
        let machine = qemu::Machine {
            kernel: &kernel,
            initramfs: &initramfs,
            console: &console,
            append: &append,
            limit: self.limit,
        };
        let result = machine.run(line);
        // Large and of no use afterwards; the console of a failure is.
        let _ = fs::remove_file(&initramfs);
        if result.is_ok() {
            let _ = fs::remove_file(&console);
        }
        result
    }
}

/// What is needed while guests run.
fn folder() -> Result<PathBuf> {
    let folder = workspace::target().join("vm");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}
