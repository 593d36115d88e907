//! buf, which holds the API to its rules (proto/buf.yaml). Its binary comes as a package of npm's and is kept in
//! the cache; without npm the API's lint is skipped, and says so.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};

use crate::{process, tools::Have, workspace};

const VERSION: &str = "1.75.0";

/// Names of files in messages are relative to here.
const API: &str = "proto";

/// buf's program, fetched the first time.
pub fn get() -> Result<Have<PathBuf>> {
    let folder = workspace::cache("buf")?.join(VERSION);
    let program = folder.join("node_modules/.bin/buf");
    if !program.exists() {
        let Some(npm) = process::find("npm") else {
            return Ok(Have::No("no npm to fetch buf with".to_owned()));
        };
        install(&npm, &folder).context("cannot fetch buf")?;
    }
    Ok(Have::Yes(program))
}

fn install(npm: &Path, folder: &Path) -> Result<()> {
    let mut command = Command::new(npm);
    // No scripts: the package has one that only checks what is checked by running it.
    command.args(["install", "--no-audit", "--no-fund", "--no-save", "--ignore-scripts", "--prefix"]);
    process::output(command.arg(folder).arg(format!("@bufbuild/buf@{VERSION}"))).map(drop)
}

/// Lints the API: every rule of buf's STANDARD and COMMENTS.
pub fn lint(program: &Path) -> Result<()> {
    let mut command = Command::new(program);
    process::run(command.args(["lint", API]).current_dir(workspace::root()).stdin(Stdio::null()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::API;
    use crate::workspace;

    #[test]
    fn the_api_is_held_to_all_rules() {
        let rules = fs::read_to_string(workspace::root().join(API).join("buf.yaml")).unwrap();
        assert!(rules.contains("- STANDARD\n") && rules.contains("- COMMENTS\n"), "{rules}");
        assert!(!rules.contains("except") && !rules.contains("ignore"), "{rules}");
    }
}
