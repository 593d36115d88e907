//! A private apt: packages of Debian's archive, from any of its suites, without touching this machine's own
//! lists and without root. The archive's address comes from this machine's sources.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::process;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Lists and downloads of its own, in one folder.
pub struct Apt {
    folder: PathBuf,
}

impl Apt {
    /// Uses the lists in `folder` if they are there for the same suites and nobody wants them anew, else gets them.
    pub fn open(folder: &Path, suites: &[&str], anew: bool) -> Result<Self> {
        let apt = Self { folder: folder.to_owned() };
        let sources = sources(&archive()?, suites);
        let current = fs::read_to_string(apt.complete()).is_ok_and(|text| text == sources);
        if anew || !current {
            apt.update(&sources)?;
        }
        Ok(apt)
    }

    fn update(&self, sources: &str) -> Result<()> {
        for folder in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(self.folder.join(folder))
                .with_context(|| format!("cannot make {}", self.folder.join(folder).display()))?;
        }
        let path = self.folder.join("sources.list");
        fs::write(&path, sources).with_context(|| format!("cannot write {}", path.display()))?;
        // One suite that is gone (they move to another archive when they are old) fails the whole update,
        // though the others' lists are there afterwards.
        let result = process::output(self.command("apt-get").args(["-qq", "update"]));
        if !self.has_lists() {
            result.context("no package lists from Debian's archive")?;
            bail!("apt-get update gave no package lists in {}", self.folder.display());
        }
        // Written last: an update that was interrupted is done again.
        fs::write(self.complete(), sources).context("cannot write into the cache")
    }

    /// All package names that begin so.
    pub fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let text = process::output(self.command("apt-cache").args(["pkgnames", prefix]))?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// All versions of a package, as `apt-cache madison` orders them.
    pub fn versions(&self, package: &str) -> Result<Vec<String>> {
        let text = process::output(self.command("apt-cache").args(["madison", package]))?;
        Ok(text
            .lines()
            .filter_map(|line| line.split('|').nth(1))
            .map(|word| word.trim().to_owned())
            .collect())
    }

    /// Downloads packages (`name` or `name=version`) and unpacks them into a folder; installs nothing.
    pub fn unpack(&self, packages: &[String], into: &Path) -> Result<()> {
        let downloads = self.folder.join("downloads");
        let _ = fs::remove_dir_all(&downloads);
        fs::create_dir_all(&downloads).with_context(|| format!("cannot make {}", downloads.display()))?;
        process::output(
            self.command("apt-get").current_dir(&downloads).args(["-qq", "download"]).args(packages),
        )?;
        for entry in fs::read_dir(&downloads)? {
            process::output(Command::new("dpkg-deb").arg("-x").arg(entry?.path()).arg(into))?;
        }
        // Some hundred megabytes that nobody needs any more; what was unpacked stays.
        let _ = fs::remove_dir_all(&downloads);
        Ok(())
    }

    fn complete(&self) -> PathBuf {
        self.folder.join("complete")
    }

    fn has_lists(&self) -> bool {
        let entries = fs::read_dir(self.folder.join("lists")).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name()).any(|name| name.to_string_lossy().contains("_Packages"))
    }

    fn command(&self, program: &str) -> Command {
        let path = |name: &str| self.folder.join(name).display().to_string();
        let user = if process::is_root() { "root".to_owned() } else { env::var("USER").unwrap_or_default() };
        let mut command = Command::new(program);
        for option in [
            format!("Dir::State::lists={}", path("lists")),
            format!("Dir::Etc::sourcelist={}", path("sources.list")),
            "Dir::Etc::sourceparts=-".to_owned(),
            format!("Dir::Cache={}", path("cache")),
            "Dir::Cache::pkgcache=packages.bin".to_owned(),
            "Dir::Cache::srcpkgcache=sources.bin".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
            // The folder may be below a home that apt's own user cannot enter.
            format!("APT::Sandbox::User={user}"),
        ] {
            command.arg("-o").arg(option);
        }
        command.env("LC_ALL", "C");
        command
    }
}

/// Lines of a sources.list for the suites.
fn sources(archive: &str, suites: &[&str]) -> String {
    suites.iter().map(|suite| format!("deb [signed-by={KEYRING}] {archive} {suite} main\n")).collect()
}

/// The address of Debian's archive, from this machine's own sources.
fn archive() -> Result<String> {
    let mut paths = vec![PathBuf::from("/etc/apt/sources.list")];
    let entries = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten();
    let mut more: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    more.sort();
    paths.append(&mut more);
    let texts = paths.iter().filter_map(|path| fs::read_to_string(path).ok());
    let found = texts.filter_map(|text| archive_in(&text)).next();
    found.context("no Debian archive in /etc/apt/sources.list or /etc/apt/sources.list.d")
}

/// The first address that ends in `/debian`: not security, not another vendor's.
fn archive_in(text: &str) -> Option<String> {
    let words = text.lines().filter_map(|line| {
        let line = line.trim();
        line.strip_prefix("URIs:").or_else(|| line.strip_prefix("deb "))
    });
    let mut words = words.flat_map(str::split_whitespace);
    let word =
        words.find(|word| word.starts_with("http") && word.trim_end_matches('/').ends_with("/debian"))?;
    Some(word.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::{archive_in, sources};

    #[test]
    fn the_archive_is_read_from_both_formats_of_apt() {
        let deb822 = "Types: deb\n# http://other.example/debian\nURIs: http://a.example/debian-security http://a.example/debian/\n";
        assert_eq!(archive_in(deb822).unwrap(), "http://a.example/debian");
        let line = "# a comment\ndeb [arch=amd64] https://b.example/debian bookworm main\n";
        assert_eq!(archive_in(line).unwrap(), "https://b.example/debian");
    }

    #[test]
    fn another_vendors_archive_is_not_debians() {
        assert_eq!(archive_in("deb https://vendor.example/apt stable main\n"), None);
        assert_eq!(archive_in("URIs: http://a.example/debian-security\n"), None);
    }

    #[test]
    fn every_suite_gets_a_line() {
        let text = sources("http://a.example/debian", &["sid", "trixie"]);
        assert_eq!(text.lines().count(), 2);
        assert!(text.lines().all(|line| line.contains("signed-by=") && line.ends_with(" main")));
    }
}
