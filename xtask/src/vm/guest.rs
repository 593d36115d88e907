//! What is in the guest: busybox, this machine's tools with their libraries, the kernel's modules, the files
//! and the command that the caller gives.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{
    process,
    vm::{
        initramfs::Archive,
        kernel::{Kernel, MODULES},
    },
};

const INIT: &str = include_str!("init.sh");

/// Programs of this machine that tests use, where they are there. A real shell is among them: Debian's
/// busybox prefers its own applets to PATH. libbpf-tools are what sockeye is compared with.
const TOOLS: [&str; 12] = [
    "dash",
    "ip",
    "tc",
    "ss",
    "nft",
    "tcpstates",
    "tcplife",
    "tcpconnect",
    "tcpconnlat",
    "tcptracer",
    "journalctl",
    "/lib/systemd/systemd-journald",
];

/// Folders that the init mounts something on, and that programs expect.
const FOLDERS: [&str; 10] = [
    "/dev",
    "/proc",
    "/sys",
    "/run",
    "/root",
    "/usr/local/sbin",
    "/usr/local/bin",
    "/var/log",
    "/var/lib",
    "/etc/netns",
];

/// The links that every Debian has: `/bin` is `/usr/bin`.
const MERGED: [&str; 4] = ["bin", "sbin", "lib", "lib64"];

/// The guest to be.
#[derive(Clone, Debug, Default)]
pub struct Guest {
    files: Vec<(PathBuf, String)>,
    environment: Vec<(String, String)>,
    command: Vec<String>,
}

impl Guest {
    /// A guest that runs a command: one word is a line for the shell, more are a program and its arguments.
    pub fn new(command: &[String]) -> Self {
        Self { command: command.to_vec(), ..Self::default() }
    }

    /// Puts a file or a folder of this machine into the guest.
    pub fn with_file(mut self, from: &Path, to: &str) -> Self {
        self.files.push((from.to_owned(), to.to_owned()));
        self
    }

    /// Sets a variable for the command.
    pub fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The guest's initramfs for a kernel.
    pub fn initramfs(&self, kernel: &Kernel) -> Result<Vec<u8>> {
        let mut archive = Archive::default();
        for name in MERGED {
            archive.folder(&format!("/usr/{name}"))?;
            archive.link(&format!("/{name}"), &format!("usr/{name}"))?;
        }
        for folder in FOLDERS {
            archive.folder(folder)?;
        }
        // The kernel opens it for the init before the init has mounted devtmpfs.
        archive.device("/dev/console", 5, 1)?;
        archive.link("/var/run", "/run")?;
        archive.folder("/tmp")?;
        archive.file(
            "/etc/passwd",
            0o644,
            b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
        )?;
        archive.file("/etc/group", 0o644, b"root:x:0:\nnogroup:x:65534:\n")?;
        archive.file("/etc/hosts", 0o644, b"127.0.0.1 localhost\n::1 localhost\n")?;
        archive.file("/etc/nsswitch.conf", 0o644, b"hosts: files dns\n")?;
        archive.file("/etc/machine-id", 0o644, b"736f636b65796520766d207465737473\n")?;
        archive.file("/init", 0o755, INIT.as_bytes())?;
        archive.file("/sockeye/modules", 0o644, MODULES.join("\n").as_bytes())?;
        archive.file("/sockeye/command", 0o644, self.script().as_bytes())?;
        for (from, to) in &self.files {
            archive.copy(from, &merged(to))?;
        }
        archive.copy(&kernel.modules.join("lib/modules"), "/usr/lib/modules")?;
        for tool in TOOLS {
            let path = process::find(tool);
            if let Some(path) = path {
                add_program(&mut archive, &path)?;
            }
        }
        add_busybox(&mut archive)?;
        Ok(archive.finish())
    }

    fn script(&self) -> String {
        let variables =
            self.environment.iter().map(|(name, value)| format!("export {name}={}\n", quoted(value)));
        let command = match &self.command[..] {
            [line] => line.clone(),
            words => {
                let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
                format!("exec {}", words.join(" "))
            }
        };
        variables.chain([command, "\n".to_owned()]).collect()
    }
}

/// A program and the libraries that it is linked to, at the places where they are on this machine.
fn add_program(archive: &mut Archive, path: &Path) -> Result<()> {
    // /sbin/ip may be a link to /bin/ip: under the name by which it was found, so that PATH finds it there.
    let name = path.file_name().and_then(|name| name.to_str()).context("a program without a name")?;
    let folder = if path.starts_with("/lib") || path.starts_with("/usr/lib") { path.parent() } else { None };
    let to = folder.map_or_else(
        || format!("/usr/sbin/{name}"),
        |folder| format!("{}/{name}", merged(&folder.display().to_string())),
    );
    if !archive.has(&to) {
        archive.copy(path, &to)?;
    }
    // ldd fails on a static program, which needs nothing.
    let libraries = process::output(Command::new("ldd").arg(path)).unwrap_or_default();
    for library in libraries.split_whitespace().filter(|word| word.starts_with('/')) {
        let to = merged(library);
        if !archive.has(&to) {
            archive.copy(Path::new(library), &to)?;
        }
    }
    Ok(())
}

/// Busybox under every name that no real tool has taken. It goes in last.
fn add_busybox(archive: &mut Archive) -> Result<()> {
    let path = process::find("busybox").context("busybox is missing (Debian package busybox-static)")?;
    archive.copy(&path, "/usr/bin/busybox")?;
    for applet in process::output(Command::new(&path).arg("--list"))?.lines() {
        let taken = ["bin", "sbin"].iter().any(|folder| archive.has(&format!("/usr/{folder}/{applet}")));
        if applet == "sh" && archive.has("/usr/sbin/dash") {
            archive.link("/usr/bin/sh", "/usr/sbin/dash")?;
        } else if !taken {
            archive.link(&format!("/usr/bin/{applet}"), "busybox")?;
        }
    }
    Ok(())
}

/// The path without the links of [`MERGED`]: an archive cannot put a file below a link.
fn merged(path: &str) -> String {
    let rest = path.trim_start_matches('/');
    let first = rest.split('/').next().unwrap_or_default();
    if MERGED.contains(&first) { format!("/usr/{rest}") } else { format!("/{rest}") }
}

/// A word for the shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// What this machine lacks for guests, if anything.
pub fn missing() -> Option<String> {
    if std::env::consts::ARCH != "x86_64" {
        return Some(format!("the matrix is for x86_64, this machine is {}", std::env::consts::ARCH));
    }
    let needed = [
        ("qemu-system-x86_64", "qemu-system-x86"),
        ("busybox", "busybox-static"),
        ("modprobe", "kmod"),
        ("xz", "xz-utils"),
        ("zstd", "zstd"),
        ("apt-get", "apt"),
    ];
    let lacks = needed.into_iter().find(|(program, _)| process::find(program).is_none());
    lacks.map(|(program, package)| format!("{program} is missing (Debian package {package})"))
}

#[cfg(test)]
mod tests {
    use super::{Guest, merged, quoted};

    #[test]
    fn words_reach_the_program_as_they_are() {
        let guest = Guest::new(&["echo".into(), "it's $HOME".into()]).with_variable("A", "b c");
        assert_eq!(guest.script(), "export A='b c'\nexec 'echo' 'it'\\''s $HOME'\n");
        assert_eq!(quoted("a b"), "'a b'");
    }

    #[test]
    fn one_word_is_a_line_for_the_shell() {
        assert_eq!(Guest::new(&["ls | wc -l".into()]).script(), "ls | wc -l\n");
    }

    #[test]
    fn files_go_where_debians_links_point() {
        assert_eq!(merged("/sbin/ip"), "/usr/sbin/ip");
        assert_eq!(merged("/lib64/ld-linux-x86-64.so.2"), "/usr/lib64/ld-linux-x86-64.so.2");
        assert_eq!(merged("/usr/bin/sockeye"), "/usr/bin/sockeye");
        assert_eq!(merged("/libexec/x"), "/libexec/x");
    }
}
