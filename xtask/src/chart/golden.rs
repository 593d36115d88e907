//! Renderings, word for word: whoever changes a template sees what changes in the cluster, and so does whoever
//! reads the change.

use std::{collections::BTreeSet, fs, path::PathBuf};

use anyhow::{Context as _, Result, bail};

use super::{
    folder,
    helm::{Case, Helm, NEWEST, cases},
};

/// Writes all of them, and removes those of cases that are gone.
pub fn write(helm: &Helm) -> Result<()> {
    let folder = goldens();
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let cases = cases()?;
    for case in &cases {
        let path = file(case);
        fs::write(&path, rendering(helm, case)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    for stale in stale(&cases)? {
        fs::remove_file(&stale).with_context(|| format!("cannot remove {}", stale.display()))?;
    }
    Ok(())
}

/// Compares all of them.
pub fn compare(helm: &Helm) -> Result<()> {
    let cases = cases()?;
    let mut wrong = Vec::new();
    for case in &cases {
        let golden = fs::read_to_string(file(case)).unwrap_or_default();
        if let Some(difference) = difference(&golden, &rendering(helm, case)?) {
            wrong.push(format!("{}: {difference}", case.name));
        }
    }
    wrong.extend(stale(&cases)?.iter().map(|path| format!("{}: no such case any more", path.display())));
    if !wrong.is_empty() {
        bail!("{}; if that is meant, run `cargo xtask chart --write`", wrong.join("; "));
    }
    Ok(())
}

fn rendering(helm: &Helm, case: &Case) -> Result<String> {
    Ok(masked(&helm.render(&case.values, NEWEST).with_context(|| format!("with {}", case.name))?))
}

fn goldens() -> PathBuf {
    folder().join("tests/golden")
}

fn file(case: &Case) -> PathBuf {
    goldens().join(format!("{}.yaml", case.name))
}

/// Golden files that no case has.
fn stale(cases: &[Case]) -> Result<Vec<PathBuf>> {
    let wanted: BTreeSet<PathBuf> = cases.iter().map(file).collect();
    let entries = fs::read_dir(goldens()).context("cannot read the golden renderings")?;
    let mut stale = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if !wanted.contains(&path) {
            stale.push(path);
        }
    }
    Ok(stale)
}

/// Without what is new every time: keys and certificates, and when they end.
fn masked(text: &str) -> String {
    const KEYS: [&str; 4] = ["ca.crt: ", "tls.crt: ", "tls.key: ", "sockeye/not-after: "];
    let mask = |line: &str| {
        let bare = line.trim_start();
        let key = KEYS.iter().find(|key| bare.starts_with(**key));
        let space = &line[..line.len() - bare.len()];
        key.map_or_else(|| format!("{line}\n"), |key| format!("{space}{key}<new every time>\n"))
    };
    text.lines().map(mask).collect()
}

/// The first line that differs.
fn difference(golden: &str, new: &str) -> Option<String> {
    if golden == new {
        return None;
    }
    let (mut golden, mut new) = (golden.lines(), new.lines());
    let mut number = 0;
    loop {
        number += 1;
        let (old, new) = (golden.next(), new.next());
        if old != new {
            let shown =
                |line: Option<&str>| line.map_or("the end".to_owned(), |line| format!("`{}`", line.trim()));
            return Some(format!("line {number} was {} and is {}", shown(old), shown(new)));
        }
        if old.is_none() {
            return Some("they differ in the ends of lines".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{difference, masked};

    #[test]
    fn keys_and_certificates_are_masked_and_paths_of_them_are_not() {
        let text = "data:\n  tls.key: c2VjcmV0\nargs:\n  tls-key-file: /etc/tls.key\n";
        assert_eq!(masked(text), "data:\n  tls.key: <new every time>\nargs:\n  tls-key-file: /etc/tls.key\n");
    }

    #[test]
    fn the_first_line_that_differs_is_named() {
        assert_eq!(difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(difference("a\nb\n", "a\n  c\n").unwrap(), "line 2 was `b` and is `c`");
        assert_eq!(difference("a\n", "a\nb\n").unwrap(), "line 2 was the end and is `b`");
        assert_eq!(difference("", "a\n").unwrap(), "line 1 was the end and is `a`");
    }
}
