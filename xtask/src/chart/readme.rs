//! The table of values in the chart's README: from values.yaml, where `# --` above a key says what it is for. A key
//! that says nothing is an error.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::{folder, yaml};

const BEGIN: &str = "<!-- values: written by `cargo xtask chart --write` -->\n";
const END: &str = "<!-- end of values -->";

/// Writes the table.
pub fn write() -> Result<()> {
    let (path, old) = readme()?;
    fs::write(&path, with_table(&old, &table()?)?).with_context(|| format!("cannot write {}", path.display()))
}

/// Compares the table.
pub fn compare() -> Result<()> {
    let (path, old) = readme()?;
    let same = with_table(&old, &table()?)? == old;
    ensure!(
        same,
        "the table in {} is not that of values.yaml; run `cargo xtask chart --write`",
        path.display()
    );
    Ok(())
}

fn readme() -> Result<(PathBuf, String)> {
    let path = folder().join("README.md");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok((path, text))
}

fn with_table(readme: &str, table: &str) -> Result<String> {
    let (before, rest) = readme.split_once(BEGIN).context("the README has no mark where the table begins")?;
    let (_, after) = rest.split_once(END).context("the README has no mark where the table ends")?;
    Ok(format!("{before}{BEGIN}{table}{END}{after}"))
}

fn table() -> Result<String> {
    let path = folder().join("values.yaml");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let values = yaml::one(&text).context("values.yaml")?;
    let mut table = "| key | default | what it is |\n|---|---|---|\n".to_owned();
    for row in rows(&text)? {
        let pointer: String = row.path.iter().map(|key| format!("/{}", key.replace('/', "~1"))).collect();
        let default = values.pointer(&pointer).with_context(|| format!("values.yaml has no {pointer}"))?;
        let default = shown(default).replace('|', "\\|");
        table += &format!("| `{}` | `{default}` | {} |\n", row.path.join("."), row.text.replace('|', "\\|"));
    }
    Ok(table)
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) if !text.is_empty() => text.clone(),
        other => other.to_string(),
    }
}

/// A key with its comment.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    path: Vec<String>,
    text: String,
}

fn rows(text: &str) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = Vec::new();
    let mut path: Vec<String> = Vec::new();
    let mut comment: Option<String> = None;
    // Keys that have no comment of their own, until one below has.
    let mut silent: Vec<Vec<String>> = Vec::new();
    for line in text.lines() {
        let bare = line.trim_start();
        if let Some(words) = bare.strip_prefix("# -- ") {
            comment = Some(words.to_owned());
        } else if let Some(words) = bare.strip_prefix('#') {
            // More of a comment, or of no account.
            if let Some(text) = &mut comment {
                *text = format!("{text} {}", words.trim());
            }
        } else if let Some((key, _)) = bare.split_once(':').filter(|_| !bare.starts_with('-')) {
            path.truncate((line.len() - bare.len()) / 2);
            path.push(key.to_owned());
            if let Some(text) = comment.take() {
                silent.retain(|outer| !path.starts_with(outer));
                rows.push(Row { path: path.clone(), text });
            } else if !rows.last().is_some_and(|row| path.starts_with(&row.path)) {
                silent.push(path.clone());
            }
        } else if bare.is_empty() {
            comment = None;
        }
    }
    if !silent.is_empty() {
        let names: Vec<String> = silent.iter().map(|path| path.join(".")).collect();
        bail!("values.yaml says not what {} is for (`# -- …` above it)", names.join(", "));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::{Row, rows, with_table};

    fn row(path: &[&str], text: &str) -> Row {
        Row { path: path.iter().map(|&key| key.to_owned()).collect(), text: text.to_owned() }
    }

    #[test]
    fn comments_of_several_lines_are_one_and_belong_to_the_next_key() {
        let text = "# About all.\n\n# -- The first\n# of them.\na: 1\nb:\n  # -- Inner.\n  c: {}\n  # -- With `x: y`.\n  d:\n    e: 1\n    - f: 2\n";
        let expected =
            [row(&["a"], "The first of them."), row(&["b", "c"], "Inner."), row(&["b", "d"], "With `x: y`.")];
        assert_eq!(rows(text).unwrap(), expected);
    }

    #[test]
    fn a_key_without_a_word_is_an_error() {
        let error = rows("# -- x\na: 1\nb:\n  # -- y\n  c: 1\n  d: 2\n").unwrap_err().to_string();
        assert!(error.contains("b.d") && !error.contains("b,"), "{error}");
    }

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let begin = super::BEGIN;
        let readme = format!("before\n{begin}old\n{}\nafter\n", super::END);
        let new = with_table(&readme, "new\n").unwrap();
        assert_eq!(new, format!("before\n{begin}new\n{}\nafter\n", super::END));
        assert!(with_table("nothing", "x").is_err());
    }
}
