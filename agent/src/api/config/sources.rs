//! Where values come from: flags, then variables, then the file, then defaults. A value remembers its place.

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    ConfigError, file,
    settings::{self, FILE, PREFIX, SETTINGS},
    value,
};

/// The flags that were given, by name; the file's own too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given(pub Vec<(String, Vec<String>)>);

impl Given {
    fn get(&self, name: &str) -> Option<&Vec<String>> {
        self.0.iter().find(|(given, _)| given == name).map(|(_, texts)| texts)
    }
}

/// One setting's texts, and where they stand.
#[derive(Clone, Debug)]
pub(super) struct Text {
    pub(super) place: String,
    pub(super) texts: Vec<String>,
}

/// All settings that have a value.
#[derive(Debug)]
pub(super) struct Values(BTreeMap<&'static str, Text>);

impl Values {
    pub(super) fn collect(flags: &Given, environment: &[(String, String)]) -> Result<Self, ConfigError> {
        let mut values = BTreeMap::new();
        for setting in SETTINGS {
            if let Some(default) = setting.default {
                let texts = vec![default.to_owned()];
                values.insert(setting.name, Text { place: setting.name.to_owned(), texts });
            }
        }
        let variables = variables(environment)?;
        let path = flags.get(FILE).and_then(|texts| texts.last()).or(variables.path.as_ref());
        if let Some(path) = path {
            values.extend(file::read(&PathBuf::from(path))?);
        }
        values.extend(variables.values);
        for setting in SETTINGS {
            if let Some(texts) = flags.get(setting.name) {
                let texts = if setting.list {
                    texts.iter().flat_map(|text| split(text)).collect()
                } else {
                    texts.clone()
                };
                values.insert(setting.name, Text { place: format!("--{}", setting.name), texts });
            }
        }
        Ok(Self(values))
    }

    /// What was given, as it was.
    pub(super) fn texts(&self, name: &str) -> Vec<&str> {
        self.0.get(name).map(|text| text.texts.iter().map(String::as_str).collect()).unwrap_or_default()
    }

    /// A setting that may be absent.
    pub(super) fn get<T>(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(Text { place, texts }) = self.0.get(name) else { return Ok(None) };
        let wrong = |problem| ConfigError::Value { place: place.clone(), problem };
        match texts.as_slice() {
            [text] => parse(text).map(Some).map_err(wrong),
            _ => Err(wrong("takes one value, not a list".to_owned())),
        }
    }

    /// A setting that has a default.
    pub(super) fn need<T>(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, ConfigError> {
        let missing = || ConfigError::Value { place: name.to_owned(), problem: "has no value".to_owned() };
        self.get(name, parse)?.ok_or_else(missing)
    }

    /// A setting that takes several values.
    pub(super) fn list<T>(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Vec<T>, ConfigError> {
        let Some(Text { place, texts }) = self.0.get(name) else { return Ok(Vec::new()) };
        let wrong = |problem| ConfigError::Value { place: place.clone(), problem };
        if texts.is_empty() {
            return Err(wrong("the list is empty".to_owned()));
        }
        texts.iter().map(|text| parse(text).map_err(wrong)).collect()
    }
}

/// What the environment says.
struct Variables {
    path: Option<String>,
    values: BTreeMap<&'static str, Text>,
}

fn variables(environment: &[(String, String)]) -> Result<Variables, ConfigError> {
    let mut found = Variables { path: None, values: BTreeMap::new() };
    for (variable, text) in environment {
        let Some(name) = variable.strip_prefix(PREFIX) else { continue };
        let name = name.to_ascii_lowercase().replace('_', "-");
        if name == FILE {
            found.path = Some(text.clone());
        } else if let Some(setting) = settings::find(&name) {
            let texts = if setting.list { split(text) } else { vec![text.clone()] };
            found.values.insert(setting.name, Text { place: variable.clone(), texts });
        } else if !of_a_service(&name) {
            let (place, nearest) = ("the environment".to_owned(), nearest_variable(&name));
            return Err(ConfigError::Unknown { place, name: variable.clone(), nearest });
        }
    }
    Ok(found)
}

/// Kubernetes sets such variables for each Service of the namespace, and one of them may be called sockeye.
fn of_a_service(name: &str) -> bool {
    name.ends_with("-port")
        || name == "port"
        || name.contains("service-host")
        || name.contains("service-port")
        || name.contains("-port-")
        || name.starts_with("port-")
}

fn nearest_variable(name: &str) -> String {
    let nearest = settings::nearest(name);
    let name = nearest.strip_prefix("; did you mean ").and_then(|rest| rest.strip_suffix('?'));
    let setting = name.and_then(settings::find);
    setting.map(|setting| format!("; did you mean {}?", setting.variable())).unwrap_or_default()
}

/// The items of a list in one text.
pub(super) fn split(text: &str) -> Vec<String> {
    if text.trim().is_empty() {
        return Vec::new();
    }
    text.split(',').map(|item| value::trimmed(item).to_owned()).collect()
}
