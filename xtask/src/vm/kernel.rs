//! Kernels of Debian's archive: found by series, downloaded, unpacked and kept in the cache; never installed.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    str::FromStr,
};

use anyhow::{Context as _, Result, bail};

use crate::{apt::Apt, process, workspace};

/// Suites that hold kernels, oldest first.
const SUITES: [&str; 7] =
    ["bullseye", "bookworm", "bookworm-backports", "trixie", "trixie-backports", "forky", "sid"];

/// What `newest` must be at least.
const NEWEST: (u32, u32) = (7, 2);

/// The oldest that sockeye works on.
const OLDEST: (u32, u32) = (5, 15);

/// From here on image and modules are packages of their own, and `linux-image` only points to them.
const SPLIT: (u32, u32) = (6, 19);

/// From here on socket storage is made of `kmalloc_nolock` (kernel/bpf/bpf_local_storage.c), which gives nothing
/// on a processor without cmpxchg16b: every socket would count as one that the store could not hold.
const NEEDS_CX16: (u32, u32) = (7, 0);

/// Modules that tests load, with what they depend on.
pub const MODULES: [&str; 29] = [
    "veth",
    "bridge",
    "dummy",
    "ifb",
    "ipv6",
    "overlay",
    "tcp_diag",
    "inet_diag",
    "sock_diag",
    "mptcp_diag",
    "tcp_bbr",
    "tls",
    "sch_netem",
    "sch_tbf",
    "sch_htb",
    "sch_fq",
    "sch_fq_codel",
    "sch_ingress",
    "cls_bpf",
    "act_bpf",
    "nf_tables",
    "nf_conntrack",
    "nft_ct",
    "nft_chain_nat",
    "nft_nat",
    "nft_redir",
    "nft_reject",
    "nft_reject_inet",
    "nft_reject_ipv4",
];

/// A kernel series as the user names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Series {
    /// `6.12`
    Numbered(u32, u32),
    /// The newest that Debian has.
    Newest,
}

impl Series {
    /// Whether sockeye refuses it as too old.
    pub fn is_refused(self) -> bool {
        matches!(self, Self::Numbered(major, minor) if (major, minor) < OLDEST)
    }
}

impl FromStr for Series {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "newest" {
            return Ok(Self::Newest);
        }
        let numbers =
            text.split_once('.').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        let (major, minor) =
            numbers.with_context(|| format!("no kernel series: {text} (right: 6.12, or newest)"))?;
        Ok(Self::Numbered(major, minor))
    }
}

impl std::fmt::Display for Series {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Numbered(major, minor) => write!(formatter, "{major}.{minor}"),
            Self::Newest => write!(formatter, "newest"),
        }
    }
}

/// A kernel that can be booted.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// Its full release (`6.12.107+deb13-cloud-amd64`).
    pub release: String,
    /// The image.
    pub image: PathBuf,
    /// A folder with `lib/modules/<release>`: uncompressed, only [`MODULES`] and what they need.
    pub modules: PathBuf,
}

impl Kernel {
    /// The processor to emulate.
    pub fn processor(&self) -> &'static str {
        // Emulated cmpxchg16b makes 6.12 panic in kmalloc now and then.
        if version(&self.release).is_some_and(|version| version >= NEEDS_CX16) { "max" } else { "max,-cx16" }
    }
}

/// The kernel of a series from the cache, else from the archive. `look_again` asks the archive in any case.
pub fn get(series: Series, look_again: bool) -> Result<Kernel> {
    let cache = workspace::cache("kernels")?;
    let folder = cache.join(series.to_string());
    // Another xtask may be getting the same one.
    let lock = File::create(cache.join("lock")).context("cannot make the lock of the kernel cache")?;
    lock.lock().context("cannot lock the kernel cache")?;
    if look_again || !folder.join("release").exists() {
        download(series, &cache, &folder, look_again)?;
    }
    let release = fs::read_to_string(folder.join("release"))?.trim().to_owned();
    let modules = folder.join("modules");
    let wanted = MODULES.join(" ");
    if !fs::read_to_string(folder.join("modules.wanted")).is_ok_and(|text| text == wanted) {
        prepare_modules(&folder.join("root"), &release, &modules)?;
        fs::write(folder.join("modules.wanted"), wanted)?;
    }
    Ok(Kernel { image: folder.join("vmlinuz"), release, modules })
}

fn download(series: Series, cache: &Path, folder: &Path, look_again: bool) -> Result<()> {
    eprintln!("kernel {series}: looking into Debian's archive …");
    let apt = Apt::open(&cache.join("apt"), &SUITES, look_again)?;
    let mut names = BTreeSet::new();
    for prefix in ["linux-image-", "linux-binary-", "linux-modules-"] {
        names.extend(apt.names(prefix)?);
    }
    let (release, packages) =
        choose(&names, series).with_context(|| format!("Debian's archive has no cloud kernel {series}"))?;
    eprintln!("kernel {series}: downloading {release} …");
    let part = folder.with_extension("part");
    let _ = fs::remove_dir_all(&part);
    let root = part.join("root");
    fs::create_dir_all(&root).with_context(|| format!("cannot make {}", root.display()))?;
    apt.unpack(&packages, &root)?;
    // Newer packages say /usr/lib, older ones /lib; modprobe and depmod want /lib.
    if !root.join("lib").exists() {
        std::os::unix::fs::symlink("usr/lib", root.join("lib")).context("cannot link lib")?;
    }
    // Since 7.3 the image lies beside the modules.
    let places = [format!("boot/vmlinuz-{release}"), format!("lib/modules/{release}/vmlinuz")];
    let image = places.iter().map(|place| root.join(place)).find(|image| image.is_file());
    let image = image.with_context(|| format!("no image of {release} in {}", packages.join(", ")))?;
    fs::copy(&image, part.join("vmlinuz")).with_context(|| format!("cannot copy {}", image.display()))?;
    fs::write(part.join("release"), &release)?;
    let _ = fs::remove_dir_all(folder);
    fs::rename(&part, folder).with_context(|| format!("cannot make {}", folder.display()))
}

/// Uncompresses the modules and what they depend on: the guest's modprobe knows no compression.
fn prepare_modules(root: &Path, release: &str, into: &Path) -> Result<()> {
    let _ = fs::remove_dir_all(into);
    let below = Path::new("lib/modules").join(release);
    let to = into.join(&below);
    fs::create_dir_all(&to).with_context(|| format!("cannot make {}", to.display()))?;
    let depmod = process::find("depmod").context("depmod is missing (Debian package kmod)")?;
    let modprobe = process::find("modprobe").context("modprobe is missing (Debian package kmod)")?;
    process::output(Command::new(&depmod).arg("-b").arg(root).arg(release))?;
    let mut files = BTreeSet::new();
    for module in MODULES {
        let mut command = Command::new(&modprobe);
        // No configuration: this machine's options would stand behind the file names.
        command.arg("-d").arg(root).args(["-C", "/dev/null", "-S", release, "--show-depends", module]);
        // A module that this kernel has built in or does not have: the tests will say what they miss.
        let Ok(text) = process::output(&mut command) else { continue };
        files.extend(
            text.lines()
                .filter_map(|line| line.strip_prefix("insmod "))
                .map(|line| PathBuf::from(line.trim())),
        );
    }
    for file in files {
        let name = file.file_name().and_then(|name| name.to_str()).context("a module without a name")?;
        let (name, decompress) = match name.rsplit_once('.') {
            Some((name, "xz")) => (name, Some(["xz", "-dc"])),
            Some((name, "zst")) => (name, Some(["zstd", "-qdc"])),
            _ => (name, None),
        };
        match decompress {
            None => {
                fs::copy(&file, to.join(name)).with_context(|| format!("cannot copy {name}"))?;
            }
            Some([program, option]) => {
                let output = Command::new(program).arg(option).arg(&file).stderr(Stdio::inherit()).output();
                let output = output.with_context(|| format!("cannot start {program}"))?;
                if !output.status.success() {
                    bail!("{program} failed on {}", file.display());
                }
                File::create(to.join(name))?.write_all(&output.stdout)?;
            }
        }
    }
    for list in ["modules.order", "modules.builtin", "modules.builtin.modinfo"] {
        // Not every kernel package has all of them; depmod says so if it minds.
        let _ = fs::copy(root.join(&below).join(list), to.join(list));
    }
    process::output(Command::new(&depmod).arg("-b").arg(into).arg(release))?;
    Ok(())
}

/// The newest release of a series that has an image and modules, and the packages to download for it.
fn choose(names: &BTreeSet<String>, series: Series) -> Option<(String, Vec<String>)> {
    let has = |name: &String| names.contains(name);
    let packages = |release: &str| -> Option<Vec<String>> {
        let modules = format!("linux-modules-{release}");
        let images = if version(release)? >= SPLIT {
            // Of a superseded release the image stays longer than its modules.
            [format!("linux-binary-{release}"), format!("linux-binary-unsigned-{release}")]
        } else {
            [format!("linux-image-{release}"), format!("linux-image-{release}-unsigned")]
        };
        let image = images.into_iter().find(has)?;
        if version(release)? < SPLIT {
            return Some(vec![image]);
        }
        has(&modules).then(|| vec![image, modules])
    };
    let mut releases: Vec<&str> = names.iter().filter_map(|name| release(name)).collect();
    releases.retain(|release| match (version(release), series) {
        (Some(found), Series::Numbered(major, minor)) => found == (major, minor),
        (Some(found), Series::Newest) => found >= NEWEST,
        (None, _) => false,
    });
    releases.sort_by_key(|release| std::cmp::Reverse(numbers(release)));
    releases.into_iter().find_map(|release| Some((release.to_owned(), packages(release)?)))
}

/// The release in a package's name, if it is a kernel for clouds: small, and everything tests need is in it.
fn release(package: &str) -> Option<&str> {
    let prefixes = ["linux-image-", "linux-binary-unsigned-", "linux-binary-"];
    let rest = prefixes.into_iter().find_map(|prefix| package.strip_prefix(prefix))?;
    let rest = rest.strip_suffix("-unsigned").unwrap_or(rest);
    (rest.ends_with("-cloud-amd64")
        && rest.starts_with(|first: char| first.is_ascii_digit())
        && !rest.contains("rc"))
    .then_some(rest)
}

fn version(release: &str) -> Option<(u32, u32)> {
    let [major, minor, ..] = numbers(release)[..] else { return None };
    Some((major, minor))
}

/// All numbers in a release, for comparing.
fn numbers(release: &str) -> Vec<u32> {
    let release = release.trim_end_matches("-cloud-amd64");
    release.split(|letter: char| !letter.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::{Series, choose};
    use std::collections::BTreeSet;

    fn names(list: &[&str]) -> BTreeSet<String> {
        list.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn the_newest_release_of_a_series_is_found_by_number_not_by_letter() {
        let names = names(&[
            "linux-image-6.1.0-9-cloud-amd64",
            "linux-image-6.1.0-50-cloud-amd64",
            "linux-image-6.1.0-50-cloud-amd64-dbg",
            "linux-image-6.1.0-51-amd64",
            "linux-image-6.12.107+deb13-cloud-amd64",
        ]);
        let (release, packages) = choose(&names, Series::Numbered(6, 1)).unwrap();
        assert_eq!(release, "6.1.0-50-cloud-amd64");
        assert_eq!(packages, ["linux-image-6.1.0-50-cloud-amd64"]);
    }

    #[test]
    fn a_release_whose_modules_are_gone_is_passed_over() {
        let names = names(&[
            "linux-image-7.2.14+deb14-cloud-amd64",
            "linux-binary-7.2.14+deb14-cloud-amd64",
            "linux-binary-7.2.13+deb14-cloud-amd64",
            "linux-modules-7.2.13+deb14-cloud-amd64",
        ]);
        let (release, packages) = choose(&names, Series::Newest).unwrap();
        assert_eq!(release, "7.2.13+deb14-cloud-amd64");
        assert_eq!(
            packages,
            ["linux-binary-7.2.13+deb14-cloud-amd64", "linux-modules-7.2.13+deb14-cloud-amd64"]
        );
    }

    #[test]
    fn an_unsigned_kernel_will_do_where_no_signed_one_is() {
        let names = names(&["linux-image-6.18.15+deb13-cloud-amd64-unsigned"]);
        let (release, packages) = choose(&names, Series::Numbered(6, 18)).unwrap();
        assert_eq!(release, "6.18.15+deb13-cloud-amd64");
        assert_eq!(packages, ["linux-image-6.18.15+deb13-cloud-amd64-unsigned"]);
    }

    #[test]
    fn newest_is_never_an_old_one() {
        let names = names(&["linux-image-6.18.15+deb13-cloud-amd64"]);
        assert_eq!(choose(&names, Series::Newest), None);
    }

    #[test]
    fn a_series_is_two_numbers_or_newest() {
        assert_eq!("6.12".parse::<Series>().unwrap(), Series::Numbered(6, 12));
        assert_eq!("newest".parse::<Series>().unwrap(), Series::Newest);
        assert!("6".parse::<Series>().is_err() && "6.12.1".parse::<Series>().is_err());
    }
}
