//! The configuration file: YAML, one level, a setting a key. Its messages name the line.

use std::{cmp::Ordering, collections::BTreeMap, path::Path};

use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::Spanned;

use super::{
    ConfigError, read as read_file,
    settings::{self, Setting},
    sources::Text,
};

/// What the file says.
pub(super) fn read(path: &Path) -> Result<BTreeMap<&'static str, Text>, ConfigError> {
    let text = read_file(path)?;
    parse(path, &text)
}

/// What a file's text says.
pub(super) fn parse(path: &Path, text: &str) -> Result<BTreeMap<&'static str, Text>, ConfigError> {
    let wrong = |problem: String| ConfigError::File { path: path.to_owned(), problem };
    // Nothing but comments is a file too.
    let empty =
        text.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with('#') || line == "---");
    if empty {
        return Ok(BTreeMap::new());
    }
    let entries: BTreeMap<Key, Value> =
        serde_saphyr::from_str(text).map_err(|error| wrong(one_line(&error)))?;
    let mut values = BTreeMap::new();
    for (Key(name), value) in entries {
        let line = name.referenced.line();
        let place = format!("{}:{line}", path.display());
        let Some(setting) = settings::find(&name.value) else {
            let nearest = settings::nearest(&name.value);
            return Err(ConfigError::Unknown { place, name: name.value, nearest });
        };
        let place = format!("{place}: {}", setting.name);
        let texts =
            texts(setting, &value).map_err(|problem| ConfigError::Value { place: place.clone(), problem })?;
        // A key without a value is the default, as in a chart's empty value.
        if let Some(texts) = texts {
            values.insert(setting.name, Text { place, texts });
        }
    }
    Ok(values)
}

/// A key that knows its line.
#[derive(Deserialize)]
struct Key(Spanned<String>);

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.value.cmp(&other.0.value)
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0.value == other.0.value
    }
}

impl Eq for Key {}

fn one_line(error: &serde_saphyr::Error) -> String {
    // A snippet of the file would make several lines of it.
    let error = error.without_snippet();
    let words: Vec<String> = error.to_string().split_whitespace().map(str::to_owned).collect();
    format!("not a list of settings in YAML: {}", words.join(" "))
}

fn texts(setting: &Setting, value: &Value) -> Result<Option<Vec<String>>, String> {
    match value {
        Value::Null => Ok(None),
        Value::Array(items) if setting.list => items
            .iter()
            .map(|item| scalar(item).ok_or_else(|| expected(setting)))
            .collect::<Result<_, _>>()
            .map(Some),
        Value::String(text) if setting.list => Ok(Some(super::sources::split(text))),
        other => scalar(other).map(|text| Some(vec![text])).ok_or_else(|| expected(setting)),
    }
}

fn expected(setting: &Setting) -> String {
    let what = if setting.list { "a list of values" } else { "one value" };
    format!("takes {what}")
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(switch) => Some(switch.to_string()),
        _ => None,
    }
}
