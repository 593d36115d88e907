//! Stands before runc where the node's cgroups are a view of version 2 on a hybrid machine: see `files`.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result};
use serde_json::Value;

/// Becomes runc, with the limits taken out of the bundle's configuration first.
pub fn main(arguments: &[String]) -> Result<ExitCode> {
    // Nothing but limits is ever updated.
    if arguments.iter().any(|argument| argument == "update") {
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.iter().any(|argument| argument == "create")
        && let Some(bundle) = bundle(arguments)
    {
        let path = bundle.join("config.json");
        let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut config = serde_json::from_slice(&text).context("a bundle's configuration that is no JSON")?;
        without_limits(&mut config);
        fs::write(&path, config.to_string()).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let error = Command::new("runc").args(arguments).exec();
    Err(error).context("cannot run runc")
}

fn bundle(arguments: &[String]) -> Option<PathBuf> {
    let mut arguments = arguments.iter().skip_while(|&argument| argument != "--bundle");
    arguments.nth(1).map(|path| Path::new(path).to_owned())
}

fn without_limits(config: &mut Value) {
    if let Some(resources) = config.pointer_mut("/linux/resources").and_then(Value::as_object_mut) {
        resources.retain(|name, _| name == "devices");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{bundle, without_limits};

    #[test]
    fn limits_go_and_devices_stay() {
        let mut config =
            json!({"linux": {"resources": {"devices": [1], "memory": {"limit": 5}}, "seccomp": {}}});
        without_limits(&mut config);
        assert_eq!(config, json!({"linux": {"resources": {"devices": [1]}, "seccomp": {}}}));
        let mut none = json!({"process": {}});
        without_limits(&mut none);
        assert_eq!(none, json!({"process": {}}));
    }

    #[test]
    fn the_bundle_is_behind_its_option() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let path = bundle(&words("--root /r create --bundle /b --pid-file p id")).unwrap();
        assert_eq!(path.to_str(), Some("/b"));
        assert_eq!(bundle(&words("state id")), None);
    }
}
