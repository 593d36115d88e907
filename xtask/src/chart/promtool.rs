//! promtool: this machine's, else Debian's, unpacked into the cache. (The package would start a server.)

use std::{path::PathBuf, process::Command};

use anyhow::{Context as _, Result};

use crate::{apt::Apt, process, tools::Have, workspace};

/// The steadiest first.
const SUITES: [&str; 3] = ["bookworm", "trixie", "sid"];

/// The program, if it is to be had.
pub fn get() -> Result<Have<PathBuf>> {
    if let Some(program) = process::find("promtool") {
        return Ok(Have::Yes(program));
    }
    let cache = workspace::cache("prometheus")?;
    let program = cache.join("root/usr/bin/promtool");
    if program.exists() {
        return Ok(Have::Yes(program));
    }
    if process::find("apt-get").is_none() {
        return Ok(Have::No("no promtool, and no apt-get to fetch it with".to_owned()));
    }
    eprintln!("promtool: unpacking Debian's …");
    for suite in SUITES {
        let Ok(apt) = Apt::open(&cache.join(format!("apt-{suite}")), &[suite], false) else { continue };
        apt.unpack(&["prometheus".to_owned()], &cache.join("root")).context("cannot unpack prometheus")?;
        process::output(Command::new(&program).arg("--version")).context("Debian's promtool does not run")?;
        return Ok(Have::Yes(program));
    }
    Ok(Have::No("no promtool here, and no archive of Debian that has it".to_owned()))
}
