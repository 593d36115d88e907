//! What the cluster is made of: Kubernetes and CoreDNS from Go modules, etcd, containerd, runc and the network
//! plugins of Debian. Built once for each state of `xtask/cluster`, kept in the cache.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use sha2::{Digest as _, Sha256};

use crate::{
    build, cargo,
    image::{Config, Tree, archive},
    process,
    setup::{self, Scope},
    tools::{Go, Have},
    workspace,
};

/// Programs of Debian's packages, that `cargo xtask setup` installs.
const DEBIAN: [&str; 6] = ["etcd", "containerd", "containerd-shim-runc-v2", "ctr", "runc", "nsenter"];
/// Where Debian has the network plugins.
pub const PLUGINS: &str = "/usr/lib/cni";
/// Files that decide what is built.
const SOURCES: [&str; 5] = ["go.mod", "go.sum", "kube/main.go", "kubectl/main.go", "coredns/main.go"];
/// What is built.
const PROGRAMS: [&str; 3] = ["kube", "kubectl", "coredns"];

/// The image of the pods of the tests, and of the pause container.
pub const WORKLOAD: &str = "e2e.test/workload:1";
/// CoreDNS.
pub const COREDNS: &str = "e2e.test/coredns:1";

/// All that was built.
pub struct Parts {
    /// The folder with `kube`, `kubectl` and `coredns`.
    programs: PathBuf,
    /// Archives to import.
    pub images: Vec<PathBuf>,
}

impl Parts {
    /// All parts, built if they were not yet; or why this machine cannot have them.
    pub fn get() -> Result<Have<Self>> {
        if let Some(why) = missing() {
            return Ok(Have::No(why));
        }
        let sources = workspace::root().join("xtask/cluster");
        let key = key(&sources)?;
        let cache = workspace::cache("cluster")?;
        let programs = cache.join(&key);
        // Another xtask may be building the same.
        let lock = File::create(cache.join("lock")).context("cannot make the lock of a cache folder")?;
        lock.lock().context("cannot lock a cache folder")?;
        if !programs.exists() {
            let go = match Go::get()? {
                Have::Yes(go) => go,
                Have::No(why) => return Ok(Have::No(why)),
            };
            kubernetes(&go, &sources, &cache, &programs)?;
        }
        let images = vec![dns(&programs)?, workload(&cache)?];
        Ok(Have::Yes(Self { programs, images }))
    }

    /// Kubernetes' servers in one program; the first argument is which.
    pub fn kube(&self) -> PathBuf {
        self.programs.join("kube")
    }

    /// kubectl of the cluster's version: one on PATH may be older.
    pub fn kubectl(&self) -> PathBuf {
        self.programs.join("kubectl")
    }
}

/// What this machine lacks for a cluster, apart from Go.
fn missing() -> Option<String> {
    if !process::is_root() {
        return Some("not root".to_owned());
    }
    let lacks: Vec<&str> = DEBIAN.into_iter().filter(|program| process::find(program).is_none()).collect();
    if !lacks.is_empty() {
        return Some(format!("no {} on this machine (cargo xtask setup)", lacks.join(", ")));
    }
    let lacks: Vec<&str> = ["bridge", "host-local", "loopback"]
        .into_iter()
        .filter(|plugin| !Path::new(PLUGINS).join(plugin).exists())
        .collect();
    (!lacks.is_empty())
        .then(|| format!("no network plugins {} in {PLUGINS} (cargo xtask setup)", lacks.join(", ")))
}

/// The release of Kubernetes, from the module's requirement.
pub fn version() -> Result<String> {
    let text =
        fs::read_to_string(workspace::root().join("xtask/cluster/go.mod")).context("cannot read go.mod")?;
    let word = text.split_whitespace().skip_while(|&word| word != "k8s.io/kubernetes").nth(1);
    word.map(str::to_owned).context("xtask/cluster/go.mod does not require k8s.io/kubernetes")
}

/// The same sources are the same programs.
fn key(sources: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    for name in SOURCES {
        let path = sources.join(name);
        hash.update(fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?);
    }
    let digits: String = hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{}-{digits}", version()?))
}

/// One build for all programs: what they share is compiled once, and they are linked side by side.
fn kubernetes(go: &Go, sources: &Path, cache: &Path, programs: &Path) -> Result<()> {
    let version = version()?;
    let mut numbers = version.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    eprintln!("cluster: building Kubernetes {version} from Go modules, five to ten minutes …");
    let start = Instant::now();
    let new = cache.join("new");
    let _ = fs::remove_dir_all(&new);
    fs::create_dir_all(&new).with_context(|| format!("cannot make {}", new.display()))?;
    let package = "k8s.io/component-base/version";
    let flags = format!(
        "-s -w -X {package}.gitVersion={version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor} \
         -X {package}.gitTreeState=clean"
    );
    let mut command = go.command(sources);
    // Nobody debugs them.
    command.args([
        "build",
        "-mod=readonly",
        "-trimpath",
        "-gcflags=all=-dwarf=false",
        "-ldflags",
        &flags,
        "-o",
    ]);
    process::run(command.arg(&new).arg("./..."))?;
    for program in PROGRAMS {
        ensure!(new.join(program).exists(), "go build made no program {program}");
    }
    // The name appears when all is there.
    fs::rename(&new, programs).with_context(|| format!("cannot make {}", programs.display()))?;
    eprintln!("cluster: built in {} s", start.elapsed().as_secs());
    Ok(())
}

fn dns(programs: &Path) -> Result<PathBuf> {
    let path = programs.join("coredns.tar");
    if !path.exists() {
        // Root: it listens on port 53.
        image(&path, COREDNS, "0:0", &["/coredns"], &programs.join("coredns"))?;
    }
    Ok(path)
}

/// Built each time: cargo knows whether it changed.
fn workload(cache: &Path) -> Result<PathBuf> {
    let target = setup::ensure(Scope::Build)?;
    let mut command = cargo::command();
    command.args(["build", "--release", "--package", "e2e-workload"]);
    build::for_target(&mut command, &target);
    let built = cargo::build(&mut command)?.into_iter().find(|executable| executable.name == "workload");
    let path = cache.join("workload.tar");
    image(
        &path,
        WORKLOAD,
        "65535:65535",
        &["/workload", "pause"],
        &built.context("cargo built no workload")?.path,
    )?;
    Ok(path)
}

/// An image with one program in it.
fn image(path: &Path, name: &str, user: &str, entrypoint: &[&str], program: &Path) -> Result<()> {
    let file = entrypoint.first().context("an image that runs nothing")?;
    let mut tree = Tree::default();
    tree.file(file, 0o755, fs::read(program).with_context(|| format!("cannot read {}", program.display()))?);
    let config = Config {
        entrypoint: entrypoint.iter().copied().map(str::to_owned).collect(),
        user: user.to_owned(),
        environment: Vec::new(),
        labels: Default::default(),
    };
    fs::write(path, archive(name, &config, &tree)?.bytes)
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::{key, version};
    use crate::workspace;

    #[test]
    fn the_release_is_the_one_that_the_module_requires() {
        let version = version().unwrap();
        assert!(version.starts_with("v1.") && version.split('.').count() == 3, "{version}");
        let key = key(&workspace::root().join("xtask/cluster")).unwrap();
        assert!(key.starts_with(&format!("{version}-")) && key.len() == version.len() + 13, "{key}");
    }
}
