//! Programs that are written in Go and that no package archive has in the version we want: built once from
//! Go's modules, kept in the cache. Go itself comes from this machine, else from Debian's archive, unpacked into
//! the cache and not installed. Without Go nothing fails here: what needs a tool is skipped, with the reason.

use std::{
    fs,
    fs::File,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    time::Instant,
};

use anyhow::{Context as _, Result, bail};

use crate::{apt::Apt, process, workspace};

/// The oldest Go that the tools below compile with.
const OLDEST_GO: (u32, u32) = (1, 26);

/// Suites of Debian that may have it, the steadiest first.
const SUITES: [&str; 3] = ["trixie-backports", "forky", "sid"];

/// A program in Go.
#[derive(Clone, Copy, Debug)]
pub struct Tool {
    /// What it is called.
    pub name: &'static str,
    /// Its package.
    package: &'static str,
    /// The version of the package's module.
    pub version: &'static str,
    /// What its own build sets, beside `-s -w`.
    ldflags: &'static [&'static str],
}

/// Renders, checks and installs the chart. Without the flags it takes every cluster for Kubernetes 1.20.
pub const HELM: Tool = Tool {
    name: "helm",
    package: "helm.sh/helm/v3/cmd/helm",
    version: "v3.22.0",
    ldflags: &[
        "-X helm.sh/helm/v3/internal/version.version=v3.22.0",
        "-X helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor=1",
        "-X helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor=37",
        "-X helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1",
        "-X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=37",
    ],
};

/// Compares Kubernetes objects with the schemas of a release.
pub const KUBECONFORM: Tool = Tool {
    name: "kubeconform",
    package: "github.com/yannh/kubeconform/cmd/kubeconform",
    version: "v0.7.0",
    ldflags: &[],
};

/// A foreign client of the API: calls by reflection.
pub const GRPCURL: Tool = Tool {
    name: "grpcurl",
    package: "github.com/fullstorydev/grpcurl/cmd/grpcurl",
    version: "v1.9.3",
    ldflags: &["-X main.version=v1.9.3"],
};

/// A foreign client of the API: load.
pub const GHZ: Tool = Tool {
    name: "ghz",
    package: "github.com/bojand/ghz/cmd/ghz",
    version: "v0.120.0",
    ldflags: &["-X main.version=v0.120.0"],
};

/// All of them: what `cargo xtask setup` builds.
pub const ALL: [Tool; 4] = [HELM, KUBECONFORM, GRPCURL, GHZ];

/// What became of the wish for something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Have<T> {
    /// It is there.
    Yes(T),
    /// It is not to be had on this machine; why. A reason to skip, not to fail.
    No(String),
}

/// A Go that is new enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Go {
    program: PathBuf,
}

impl Tool {
    /// The program, built if it was not yet. An error is a build that failed.
    pub fn get(&self) -> Result<Have<PathBuf>> {
        let folder = workspace::cache("tools")?;
        let program = folder.join(self.file());
        if program.exists() {
            return Ok(Have::Yes(program));
        }
        let go = match Go::get()? {
            Have::Yes(go) => go,
            Have::No(why) => return Ok(Have::No(why)),
        };
        // Another xtask may be building the same one.
        let _lock = lock(&folder)?;
        if !program.exists() {
            self.build(&go, &folder, &program)?;
        }
        Ok(Have::Yes(program))
    }

    /// Whether it was built already.
    pub fn is_there(&self) -> bool {
        workspace::cache("tools").is_ok_and(|folder| folder.join(self.file()).exists())
    }

    /// Version in the name: a new version in the table is a new file, and nobody runs the old one.
    fn file(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }

    fn build(&self, go: &Go, folder: &Path, program: &Path) -> Result<()> {
        eprintln!("{} {}: building from Go modules, a minute or two …", self.name, self.version);
        let start = Instant::now();
        let new = folder.join(format!("{}.new", self.file()));
        let flags = ["-s", "-w"].iter().chain(self.ldflags).copied().collect::<Vec<_>>().join(" ");
        let mut command = go.command(folder);
        command.env("GOBIN", &new).args(["install", "-trimpath", "-ldflags", &flags]);
        let package = format!("{}@{}", self.package, self.version);
        process::output(command.arg(package)).with_context(|| format!("cannot build {}", self.name))?;
        // The name appears when the program is whole.
        fs::rename(new.join(self.name), program)
            .with_context(|| format!("go install made no program {}", self.name))?;
        let _ = fs::remove_dir_all(&new);
        eprintln!("{} {}: built in {} s", self.name, self.version, start.elapsed().as_secs());
        Ok(())
    }
}

impl Go {
    /// The Go of this machine if it is new enough, else Debian's.
    pub fn get() -> Result<Have<Self>> {
        static FOUND: OnceLock<Have<Go>> = OnceLock::new();
        if let Some(found) = FOUND.get() {
            return Ok(found.clone());
        }
        let found = find()?;
        Ok(FOUND.get_or_init(|| found).clone())
    }

    /// Go's command in a folder, free of what the user's environment says about the user's own projects.
    pub fn command(&self, folder: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(folder).stdin(Stdio::null());
        for name in ["GOOS", "GOARCH", "GOROOT", "GOTOOLDIR", "GOEXPERIMENT"] {
            command.env_remove(name);
        }
        // A static program without anything of this machine in it.
        command.env("CGO_ENABLED", "0").env("GOFLAGS", "-buildvcs=false").env("GOWORK", "off");
        command
    }

    /// A module of Go's module cache, downloaded if it is not there: its folder, which is not to be written to.
    pub fn module(&self, path: &str, version: &str) -> Result<PathBuf> {
        let folder = workspace::cache("tools")?;
        let mut command = self.command(&folder);
        let text = process::output(command.args(["mod", "download", "-json", &format!("{path}@{version}")]))?;
        let folder = text.lines().find_map(|line| line.trim().strip_prefix("\"Dir\": \""));
        let folder = folder.and_then(|rest| rest.strip_suffix("\",")).context("go names no folder")?;
        Ok(PathBuf::from(folder))
    }
}

fn find() -> Result<Have<Go>> {
    let places = [process::find("go"), Some(PathBuf::from("/usr/local/go/bin/go"))];
    let mut old = None;
    for program in places.into_iter().flatten() {
        let Some(version) = version(&program) else { continue };
        if version >= OLDEST_GO {
            return Ok(Have::Yes(Go { program }));
        }
        old = Some(version);
    }
    match debian() {
        Ok(program) => Ok(Have::Yes(Go { program })),
        Err(error) => {
            let (major, minor) = OLDEST_GO;
            let here = old.map_or_else(|| "none".to_owned(), |(major, minor)| format!("{major}.{minor}"));
            Ok(Have::No(format!("no Go {major}.{minor} or newer (here: {here}; from Debian: {error:#})")))
        }
    }
}

fn version(go: &Path) -> Option<(u32, u32)> {
    // Without the user's choice of another toolchain: what is there counts.
    let text = process::output(Command::new(go).arg("version").env("GOTOOLCHAIN", "local")).ok()?;
    version_in(&text)
}

/// `go version go1.26.8 linux/amd64` → 1.26
fn version_in(text: &str) -> Option<(u32, u32)> {
    let number = text.split_whitespace().find_map(|word| word.strip_prefix("go1."))?;
    let digits = number.split(|letter: char| !letter.is_ascii_digit()).next()?;
    Some((1, digits.parse().ok()?))
}

/// Go of Debian's archive, unpacked into the cache.
fn debian() -> Result<PathBuf> {
    let cache = workspace::cache("go")?;
    let _lock = lock(&cache)?;
    let root = cache.join("root");
    if let Some(program) = unpacked(&root) {
        return Ok(program);
    }
    if process::find("apt-get").is_none() {
        bail!("no apt-get on this machine");
    }
    eprintln!("go: unpacking Debian's …");
    for suite in SUITES {
        let Ok(apt) = Apt::open(&cache.join(format!("apt-{suite}")), &[suite], false) else { continue };
        let Some(series) = newest(&apt.names("golang-1.")?) else { continue };
        let packages = ["go", "src"].map(|part| format!("golang-{series}-{part}"));
        apt.unpack(&packages, &root)?;
        return unpacked(&root).with_context(|| format!("{} did not run", packages[0]));
    }
    bail!("no suite of {} has it", SUITES.join(", "));
}

fn unpacked(root: &Path) -> Option<PathBuf> {
    let folders = fs::read_dir(root.join("usr/lib")).ok()?.flatten().map(|entry| entry.path());
    let programs = folders.map(|folder| folder.join("bin/go"));
    programs.filter(|program| version(program).is_some_and(|version| version >= OLDEST_GO)).max()
}

/// The newest series among Debian's names (`golang-1.26-go`), if it is new enough.
fn newest(names: &[String]) -> Option<String> {
    let series = |name: &String| -> Option<(u32, u32)> {
        let number = name.strip_prefix("golang-1.")?.strip_suffix("-go")?;
        Some((1, number.parse().ok()?))
    };
    let newest = names.iter().filter_map(series).max().filter(|&version| version >= OLDEST_GO);
    newest.map(|(major, minor)| format!("{major}.{minor}"))
}

fn lock(folder: &Path) -> Result<File> {
    let lock = File::create(folder.join("lock")).context("cannot make the lock of a cache folder")?;
    lock.lock().context("cannot lock a cache folder")?;
    Ok(lock)
}

#[cfg(test)]
mod tests {
    use super::{Have, Tool, newest, version_in};

    #[test]
    fn gos_version_is_read_whatever_follows_it() {
        assert_eq!(version_in("go version go1.26.8 linux/amd64\n"), Some((1, 26)));
        assert_eq!(version_in("go version go1.27rc1 linux/arm64"), Some((1, 27)));
        assert_eq!(version_in("gccgo (Debian) 12.2.0"), None);
    }

    #[test]
    fn debians_newest_series_is_chosen_by_number_not_by_letters() {
        let names = |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let all = names(&["golang-1.9-go", "golang-1.27-go", "golang-1.26-go", "golang-1.27-doc"]);
        assert_eq!(newest(&all).as_deref(), Some("1.27"));
        assert_eq!(newest(&names(&["golang-1.19-go", "golang-1.30-src"])), None);
    }

    #[test]
    fn a_new_version_in_the_table_is_another_file() {
        let tool = |version| Tool { name: "helm", package: "a/b", version, ldflags: &[] };
        assert_ne!(tool("v1.0.0").file(), tool("v1.0.1").file());
        assert_ne!(Have::Yes(()), Have::No("why".into()));
    }
}
