//! What an image runs, as whom, and what is known about it.

use std::{collections::BTreeMap, env::consts::ARCH};

use serde_json::{Value, json};

use super::BINARY;

/// The user: root, and numeric because the image has no /etc/passwd. Kubernetes gives a container's capabilities
/// to no other user: what the chart adds (BPF, PERFMON, SYS_PTRACE) is lost when a process that is not root is
/// started, for want of ambient capabilities, and `allowPrivilegeEscalation: false` forbids those of files.
/// The chart drops all others, so that this root may not even read another user's file.
const USER: &str = "0:0";

/// The part of an image's configuration that is chosen.
pub struct Config {
    /// What is run.
    pub entrypoint: Vec<String>,
    /// As whom.
    pub user: String,
    /// `NAME=value`.
    pub environment: Vec<String>,
    /// What is known about the image.
    pub labels: BTreeMap<String, String>,
}

impl Config {
    /// Sockeye's.
    pub fn sockeye(version: &str) -> Self {
        let label = |name: &str, value: &str| (format!("org.opencontainers.image.{name}"), value.to_owned());
        Self {
            entrypoint: vec![BINARY.to_owned()],
            user: USER.to_owned(),
            environment: vec!["PATH=/usr/bin".to_owned()],
            labels: BTreeMap::from([
                label("title", "sockeye"),
                label("description", "What the Linux TCP stack does to every pod"),
                label("version", version),
                // The program's; that of the kernel programs inside it is beside it, in the image.
                label("licenses", "Apache-2.0 AND (GPL-2.0-only OR MIT)"),
                label("source", env!("CARGO_PKG_REPOSITORY")),
            ]),
        }
    }

    /// As the image specification has it.
    pub fn json(&self, layer: &str) -> Value {
        json!({
            "architecture": architecture(),
            "os": "linux",
            "config": {
                "User": self.user,
                "Env": self.environment,
                "Entrypoint": self.entrypoint,
                "WorkingDir": "/",
                "Labels": self.labels,
            },
            "rootfs": { "type": "layers", "diff_ids": [layer] },
            "history": [{ "created_by": "cargo xtask image" }],
        })
    }
}

/// This machine's architecture, as images name it: the binary is built for the same.
pub fn architecture() -> &'static str {
    match ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{BINARY, Config, USER};
    use crate::workspace;

    #[test]
    fn the_dockerfile_makes_the_same_image() {
        let text = fs::read_to_string(workspace::root().join("Dockerfile")).unwrap();
        let last = text.split("\nFROM ").last().unwrap();
        assert!(last.starts_with("scratch\n"), "the last stage begins with nothing");
        assert!(last.contains(&format!("\nUSER {USER}\n")), "{USER}");
        assert!(last.contains(&format!("\nENTRYPOINT [\"{BINARY}\"]\n")), "{BINARY}");
        let config = Config::sockeye("1.2.3");
        for variable in &config.environment {
            assert!(last.contains(&format!("\nENV {variable}\n")), "{variable}");
        }
        for (name, value) in &config.labels {
            let value = if name.ends_with(".version") { "${VERSION}" } else { value };
            assert!(last.contains(&format!("{name}=\"{value}\"")), "{name}={value}");
        }
        let labels = last.matches("org.opencontainers.image.").count();
        assert_eq!(labels, config.labels.len(), "no label but these");
    }
}
